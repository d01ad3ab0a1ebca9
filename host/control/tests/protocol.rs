//! The document and the types say the same: each example in `docs/control-protocol.md` is exactly what
//! the types write, spread over lines.
//!
//! After a change that is meant, run the test with `STOCKADE_UPDATE_DOCS=1` and review the difference;
//! a change that is not an addition also raises `PROTOCOL`.
#![cfg(test)]

use std::path::PathBuf;
use std::time::Duration;

use stockade_control::{
    AbsentJail, AttemptReply, BackendStatus, BanEntry, BanReply, BannedReply, BrokenJail, Check,
    ConfirmReply, ControlReply, Diagnostic, DoctorReply, ErrorKind, ErrorReply, Excerpt,
    FirewallStatus, HeldStatus, Increment, ItemResult, JailStatus, LogStatus, Outcome, PluginRole,
    PluginState, PluginStatus, ProtectedStatus, ReloadReply, RulesReply, Severity, SourceKind,
    SourceStatus, State, StatusReply, StopReply, Stopped, StoreStatus, Time, UnbanReply,
    VersionReply, decode_reply, encode,
};
use stockade_core::{
    Ban, BanTimeIncrement, Factor, FailureId, Growth, IgnoreReason, JailName, Timestamp,
};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_772_600_767 + secs)
}

fn ban(id: &str, until: Option<i64>) -> BanEntry {
    BanEntry::from(&Ban {
        jail: JailName::try_new("sshd").unwrap(),
        id: FailureId::parse(id),
        at: at(0),
        until: until.map(at),
        failures: 5,
        bancount: 1,
    })
}

fn increment() -> BanTimeIncrement {
    BanTimeIncrement {
        growth: Growth::Multipliers([1, 2, 4].map(Factor::from).into()),
        factor: Factor::try_new(1.5).unwrap(),
        maxtime: Some(Duration::from_secs(5 * 7 * 86_400)),
        rndtime: Duration::from_secs(600),
        overalljails: false,
    }
}

fn plugin() -> PluginStatus {
    PluginStatus {
        name: "webhook".into(),
        role: PluginRole::Action,
        jails: vec!["sshd".into()],
        state: PluginState::Quarantined,
        quarantined_until: Some(Time::from(at(60))),
        message: Some("plugin 'webhook' exceeded 10 s in apply".into()),
        faults: 3,
        skipped_lines: 0,
        queue: 2,
    }
}

fn doctor() -> DoctorReply {
    let hint =
        "where a jail protects a published port, give it hooks = [\"input\", \"prerouting\"]";
    DoctorReply {
        checks: vec![
            Check::good("nftables has all our rules"),
            Check::bad(
                "chain DOCKER of table nat sends connections on to other hosts or containers",
                Some(hint.into()),
            ),
            Check::unknown("no firewall knows of the bans of pam (firewall = \"none\")"),
        ],
    }
}

fn firewall() -> FirewallStatus {
    FirewallStatus {
        state: State::Failed,
        message: Some("route: not permitted to use route".into()),
        dry_run: false,
        backends: vec![
            BackendStatus {
                name: "nftables".into(),
                because: Some("the kernel has nf_tables".into()),
                state: State::Ok,
                message: None,
                bans: Some(2),
            },
            BackendStatus {
                name: "route".into(),
                because: None,
                state: State::Failed,
                message: Some("not permitted to use route".into()),
                bans: None,
            },
        ],
    }
}

fn held() -> HeldStatus {
    HeldStatus {
        bans_per_minute: Some(1000),
        waiting: 412,
        since: Some(Time::from(at(0))),
        total: 412,
        dropped: 0,
    }
}

fn protected() -> ProtectedStatus {
    ProtectedStatus {
        gateways: vec!["192.0.2.254".into()],
        resolvers: vec!["192.0.2.53".into()],
        ssh_sessions: vec!["203.0.113.9".into()],
        message: None,
    }
}

fn status() -> StatusReply {
    let source = SourceStatus {
        name: "/var/log/auth.log".into(),
        kind: SourceKind::File,
        state: State::Ok,
        message: None,
        lines: 10_412,
        overlong: 1,
    };
    let jail = JailStatus {
        name: "sshd".into(),
        state: State::Ok,
        message: None,
        filter: "sshd".into(),
        sources: vec!["/var/log/auth.log".into()],
        actions: vec!["webhook".into()],
        firewall: vec!["nftables".into()],
        stopped: Some(Stopped {
            packets: 31,
            bytes: 1860,
        }),
        maxretry: 5,
        findtime_s: 600,
        bantime_s: Some(600),
        bantime_increment: Some(Increment::from(&increment())),
        currently_failing: 3,
        total_failed: 120,
        currently_banned: 2,
        banned_again: 1,
        longest_ban_s: Some(1200),
        remembered: 9,
        total_banned: 17,
        total_ignored: 4,
        total_too_old: 0,
        total_while_banned: 9,
        forgotten: 0,
        total_ambiguous: 2,
        total_gave_up: 0,
    };
    StatusReply {
        version: "0.1.0".into(),
        pid: 812,
        started_at: at(-3600).into(),
        uptime_s: 3600,
        firewall: firewall(),
        held: held(),
        protected: protected(),
        store: StoreStatus {
            path: "/var/lib/stockade/bans.sqlite3".into(),
            state: State::Degraded,
            message: Some("no space left for '/var/lib/stockade/bans.sqlite3'".into()),
            purge_age_s: 86_400,
        },
        log: LogStatus {
            target: "stderr".into(),
            level: "info".into(),
        },
        sources: vec![source],
        jails: vec![jail],
        absent: vec![AbsentJail {
            name: "nginx-auth".into(),
            message: "no file /var/log/nginx/error.log".into(),
        }],
        plugins: vec![plugin()],
    }
}

fn rules() -> RulesReply {
    RulesReply {
        jail: "sshd".into(),
        filter: "sshd".into(),
        logpath: vec!["/var/log/auth.log".into()],
        journalmatch: vec![vec!["_SYSTEMD_UNIT=ssh.service".into()]],
        maxretry: 5,
        findtime_s: 600,
        bantime_s: Some(600),
        bantime_increment: None,
        maxmatches: 5,
        ignoreip: vec!["127.0.0.0/8".into(), "::1".into()],
        ignoreself: true,
        prefregex: None,
        failregex: vec!["^Invalid user <F-USER>.*</F-USER> from <ADDR> port \\d+$".into()],
        ignoreregex: Vec::new(),
        datepattern: vec!["default".into()],
        maxlines: 1,
        usedns: "no".into(),
        logencoding: "auto".into(),
        logtimezone: "local".into(),
        actions: Vec::new(),
    }
}

fn diagnostic() -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        path: "/etc/stockade/jails/sshd.toml".into(),
        line: Some(7),
        column: Some(12),
        message: "'maxretry' must be at least 1, found 0".into(),
        hint: None,
        excerpt: Some(Excerpt {
            text: "maxretry = 0".into(),
            mark_start: 11,
            mark_len: 1,
        }),
    }
}

fn reload() -> ReloadReply {
    ReloadReply {
        added: vec!["nginx".into()],
        removed: vec![],
        changed: vec!["sshd".into()],
        broken: vec![BrokenJail {
            name: "web".into(),
            message: "/etc/stockade/jails/web.toml:7:12: 'maxretry' must be at least 1, found 0"
                .into(),
            kept: true,
        }],
        restart_needed: vec!["socket.path".into()],
        diagnostics: vec![],
    }
}

/// Each example of the document, by its name there.
fn examples() -> Vec<(&'static str, ControlReply)> {
    let banned = BannedReply {
        bans: vec![
            BanEntry {
                in_firewall: Some(true),
                ..ban("192.0.2.1", Some(600))
            },
            BanEntry {
                in_firewall: Some(false),
                ..ban("2001:db8::/64", None)
            },
            ban("alice", Some(600)),
        ],
    };
    let attempt = AttemptReply {
        failures: 2,
        result: ItemResult::new("192.0.2.1", Outcome::Counted).in_jail("sshd"),
    };
    let ban = BanReply {
        banned: 1,
        results: vec![
            ItemResult::new("192.0.2.1", Outcome::Banned).in_jail("sshd"),
            ItemResult::ignored("127.0.0.1", IgnoreReason::OwnAddress).in_jail("sshd"),
            ItemResult::new("exmaple", Outcome::NotAnAddress),
        ],
    };
    let unban = UnbanReply {
        unbanned: 1,
        results: vec![
            ItemResult::new("192.0.2.1", Outcome::Unbanned).in_jail("sshd"),
            ItemResult::new("198.51.100.7", Outcome::NotBanned)
                .because("it stays banned with 198.51.100.0/24"),
        ],
    };
    let config = ErrorReply {
        kind: ErrorKind::Config,
        message: "the new configuration has 1 error; the old one stays in force".into(),
        hint: Some("'stockade check' shows the same".into()),
        diagnostics: vec![diagnostic()],
    };
    vec![
        ("ping", ControlReply::Ping {}),
        ("version", ControlReply::Version(VersionReply::new("0.1.0"))),
        ("status", ControlReply::Status(Box::new(status()))),
        ("banned", ControlReply::Banned(banned)),
        ("rules", ControlReply::Rules(Box::new(rules()))),
        ("attempt", ControlReply::Attempt(attempt)),
        ("ban", ControlReply::Ban(ban)),
        ("unban", ControlReply::Unban(unban)),
        (
            "confirm",
            ControlReply::Confirm(ConfirmReply {
                held: 412,
                banned: 411,
            }),
        ),
        ("reload", ControlReply::Reload(reload())),
        ("doctor", ControlReply::Doctor(doctor())),
        (
            "stop",
            ControlReply::Stop(StopReply {
                flushed: false,
                bans_left: 2,
            }),
        ),
        ("error", ControlReply::unknown_jail("ngnix")),
        ("error-config", ControlReply::Error(config)),
    ]
}

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/control-protocol.md")
}

/// The part of `text` between the mark of `name` and the end of its block.
fn block_of(text: &str, name: &str) -> std::ops::Range<usize> {
    let mark = format!("<!-- reply: {name} -->\n```json\n");
    let start = text
        .find(&mark)
        .unwrap_or_else(|| panic!("no {mark:?} in the document"));
    let start = start + mark.len();
    let len = text
        .get(start..)
        .and_then(|rest| rest.find("\n```"))
        .expect("an end");
    start..start + len
}

#[test]
fn the_document_shows_exactly_what_is_written() {
    let path = document();
    let mut text = std::fs::read_to_string(&path).unwrap();
    let update = std::env::var_os("STOCKADE_UPDATE_DOCS").is_some();
    for (name, reply) in examples() {
        let written = serde_json::to_string_pretty(&reply).unwrap();
        let block = block_of(&text, name);
        if update {
            text.replace_range(block, &written);
        } else {
            assert_eq!(
                text.get(block),
                Some(written.as_str()),
                "the example of '{name}' differs"
            );
        }
    }
    if update {
        std::fs::write(&path, text).unwrap();
    }
}

#[test]
fn every_reply_is_one_line_and_is_read_as_itself() {
    for (name, reply) in examples() {
        let line = encode(&reply);
        assert_eq!(line.matches('\n').count(), 1, "{name}");
        assert!(line.ends_with('\n'), "{name}");
        assert_eq!(decode_reply(line.as_bytes()).unwrap(), reply, "{name}");
        // A reply of an older daemon, with nothing but its name.
        let bare = format!("{{\"reply\":\"{}\"}}", name.split('-').next().unwrap());
        assert!(decode_reply(bare.as_bytes()).is_ok(), "{bare}");
    }
}

#[test]
fn the_document_names_every_command_kind_and_outcome() {
    let text = std::fs::read_to_string(document()).unwrap();
    let word = |value: serde_json::Value| format!("`{}`", value.as_str().unwrap());
    let kinds = [
        ErrorKind::BadRequest,
        ErrorKind::UnknownCommand,
        ErrorKind::RequestTooLong,
        ErrorKind::ReplyTooLong,
        ErrorKind::UnknownJail,
        ErrorKind::Config,
        ErrorKind::Firewall,
        ErrorKind::Store,
        ErrorKind::NotPermitted,
        ErrorKind::Stopping,
        ErrorKind::Internal,
    ];
    let outcomes = [
        Outcome::Banned,
        Outcome::AlreadyBanned,
        Outcome::Ignored,
        Outcome::TableFull,
        Outcome::Unbanned,
        Outcome::NotBanned,
        Outcome::NotAnAddress,
        Outcome::Counted,
        Outcome::Held,
        Outcome::Failed,
    ];
    let commands = stockade_control::ControlRequest::COMMANDS.map(|c| format!("\"{c}\""));
    let words = kinds
        .into_iter()
        .map(|kind| word(serde_json::to_value(kind).unwrap()))
        .chain(
            outcomes
                .into_iter()
                .map(|o| word(serde_json::to_value(o).unwrap())),
        )
        .chain(commands);
    for word in words {
        assert!(text.contains(&word), "the document does not have {word}");
    }
}
