//! What a program is told: its arguments, its environment, and one JSON object on standard input.

use std::error::Error as _;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use stockade_core::{IpNet, JailName};

use crate::contract::Change;
use crate::program::{Call, Ended, ProgramError, filled};
use crate::rules::{JailRules, Ports};
use crate::{ExecOptions, FirewallError};

/// How much of a list is read: a million bans of 60 bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Tags that stand for one ban, so that they make no sense where one call is about many.
const TAGS: [&str; 4] = ["<ip>", "<jail>", "<family>", "<timeout>"];

/// One ban or unban.
#[derive(Debug)]
pub(super) struct Item<'a> {
    jail: &'a JailName,
    net: IpNet,
    timeout: Option<Duration>,
}

impl<'a> Item<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        Self {
            jail: change.jail(),
            net: change.net().trunc(),
            timeout: match change {
                Change::Ban { timeout, .. } => *timeout,
                Change::Unban { .. } => None,
            },
        }
    }

    /// An address where it is one, else a network.
    fn ip(&self) -> String {
        if self.net.prefix_len() == self.net.max_prefix_len() {
            self.net.addr().to_string()
        } else {
            self.net.to_string()
        }
    }

    /// fail2ban's words.
    fn family(&self) -> &'static str {
        match self.net {
            IpNet::V4(_) => "inet4",
            IpNet::V6(_) => "inet6",
        }
    }

    /// Seconds that are left, rounded up so that none is missing; -1 for ever.
    fn timeout(&self) -> i64 {
        self.timeout.map_or(-1, |timeout| {
            let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
            i64::try_from(seconds).unwrap_or(i64::MAX)
        })
    }

    fn tags(&self) -> [(&'static str, String); 4] {
        let [ip, jail, family, timeout] = TAGS;
        [
            (ip, self.ip()),
            (jail, self.jail.to_string()),
            (family, self.family().to_owned()),
            (timeout, self.timeout().to_string()),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "jail": self.jail.to_string(),
            "ip": self.ip(),
            "family": self.family(),
            "timeout": self.timeout(),
        })
    }
}

/// What a program is called for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act<'a> {
    Start(&'a [JailRules]),
    Stop,
    Check,
    List,
    Ban(Option<&'a Item<'a>>),
    Unban(Option<&'a Item<'a>>),
    BanAll(&'a [Item<'a>]),
    UnbanAll(&'a [Item<'a>]),
}

impl Act<'_> {
    /// The word for it, as the program gets it.
    const fn word(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Stop => "stop",
            Self::Check => "check",
            Self::List => "list",
            Self::Ban(_) | Self::BanAll(_) => "ban",
            Self::Unban(_) | Self::UnbanAll(_) => "unban",
        }
    }

    const fn item(&self) -> Option<&Item<'_>> {
        match self {
            Self::Ban(item) | Self::Unban(item) => *item,
            _ => None,
        }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![("STOCKADE_ACTION", self.word().to_owned())];
        if let Some(item) = self.item() {
            environment.extend([
                ("STOCKADE_IP", item.ip()),
                ("STOCKADE_JAIL", item.jail.to_string()),
                ("STOCKADE_FAMILY", item.family().to_owned()),
                ("STOCKADE_TIMEOUT", item.timeout().to_string()),
            ]);
        }
        environment
    }

    fn input(&self) -> Vec<u8> {
        let mut input = match self {
            Self::Ban(Some(item)) | Self::Unban(Some(item)) => item.json(),
            Self::BanAll(items) | Self::UnbanAll(items) => {
                let changes: Vec<Value> = items.iter().map(Item::json).collect();
                json!({ "changes": changes })
            }
            Self::Start(rules) => {
                let jails: Vec<Value> = rules.iter().map(jail_json).collect();
                json!({ "jails": jails })
            }
            _ => json!({}),
        };
        if let Some(object) = input.as_object_mut() {
            object.insert("action".to_owned(), self.word().into());
        }
        format!("{input}\n").into_bytes()
    }
}

impl fmt::Display for Act<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ban(Some(item)) | Self::Unban(Some(item)) => {
                write!(f, "{} {} (jail '{}')", self.word(), item.net, item.jail)
            }
            Self::BanAll(items) | Self::UnbanAll(items) => {
                write!(f, "{} {} networks", self.word(), items.len())
            }
            Self::List => f.write_str("list bans"),
            _ => f.write_str(self.word()),
        }
    }
}

/// The rules of a jail; no ports and no protocols mean all.
fn jail_json(rules: &JailRules) -> Value {
    let ports: Vec<String> = match &rules.ports {
        Ports::All => Vec::new(),
        Ports::List(ranges) => ranges.iter().map(ToString::to_string).collect(),
    };
    let protocols: Vec<_> = rules.protocols.iter().map(|p| p.as_str()).collect();
    let hooks: Vec<_> = rules.hooks.iter().map(|hook| hook.as_str()).collect();
    json!({
        "jail": rules.jail.to_string(),
        "ports": ports,
        "protocols": protocols,
        "block": rules.block.as_str(),
        "hooks": hooks,
    })
}

/// Runs `argv` for `act`.
pub(super) fn call(
    options: &ExecOptions,
    argv: &[String],
    act: &Act<'_>,
) -> Result<Ended, ProgramError> {
    let tags = act.item().map(Item::tags);
    let tags = tags.as_ref().map_or(&[][..], |tags| tags.as_slice());
    let argv: Vec<String> = argv.iter().map(|word| filled(word, tags)).collect();
    Call {
        argv: &argv,
        environment: &act.environment(),
        input: &act.input(),
        timeout: options.timeout,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
    .run()
}

/// An error of a program with its cause, in one line.
pub(super) fn reason(error: &ProgramError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Checks what can be checked without running anything.
pub(super) fn check(options: &ExecOptions) -> Result<(), FirewallError> {
    let bad = |reason: String| FirewallError::Failed {
        act: format!("use '{}'", options.name),
        reason,
    };
    let of_one = [("ban", Some(&options.ban)), ("unban", Some(&options.unban))];
    let of_all = [
        ("list", options.list.as_ref()),
        ("check", options.check.as_ref()),
        ("start", options.start.as_ref()),
        ("stop", options.stop.as_ref()),
    ];
    for (key, argv) in of_one.into_iter().chain(of_all) {
        let Some(argv) = argv else {
            continue;
        };
        let Some(program) = argv.first() else {
            return Err(bad(format!("'{key}' names no program")));
        };
        if !Path::new(program).is_absolute() {
            return Err(bad(format!("'{program}' of '{key}' is no absolute path")));
        }
        if !Path::new(program).is_file() {
            return Err(bad(format!("there is no program '{program}' ('{key}')")));
        }
        let is_about_one = of_one.iter().any(|(one, _)| *one == key) && !options.batch;
        let tag = TAGS
            .iter()
            .find(|tag| argv.iter().any(|word| word.contains(**tag)));
        if let Some(tag) = tag.filter(|_| !is_about_one) {
            let why = if options.batch {
                ", where 'batch' is on"
            } else {
                ""
            };
            return Err(bad(format!("'{tag}' means nothing in '{key}'{why}")));
        }
    }
    Ok(())
}
