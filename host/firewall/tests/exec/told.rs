//! What programs are told, and what their answers mean.

use std::path::Path;
use std::time::Duration;

use stockade_firewall::{Backend, Exec, ExecOptions, Firewall, FirewallError, Health};

use crate::{LONG, apply, ban, listed, options, rules, unban, words};

/// Writes down what it is told, and does as the files `fails-VERB` and `bans` say.
const SCRIPT: &str = r#"
cd "$1"; shift
{ echo "$*"; env | grep ^STOCKADE_ | LC_ALL=C sort; cat; echo; } >> log
[ ! -e "fails-$STOCKADE_ACTION" ] || { cat "fails-$STOCKADE_ACTION" >&2; exit 4; }
[ "$STOCKADE_ACTION" != list ] || cat bans
"#;

struct Programs {
    dir: tempfile::TempDir,
}

impl Programs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn argv(&self, arguments: &[&str]) -> Vec<String> {
        let dir = self.dir.path().to_str().unwrap();
        let mut argv = words(&["/bin/sh", "-c", SCRIPT, "sh", dir]);
        argv.extend(words(arguments));
        argv
    }

    fn options(&self) -> ExecOptions {
        let mut options = options(&[], &[]);
        options.ban = self.argv(&["+<ip>", "<jail>/<family>", "<timeout>", "<bantime>"]);
        options.unban = self.argv(&["-<ip>"]);
        options
    }

    /// What was told since the last time.
    fn told(&self) -> String {
        let log = self.dir.path().join("log");
        let told = std::fs::read_to_string(&log).unwrap_or_default();
        drop(std::fs::remove_file(log));
        told
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join(name)).unwrap();
    }
}

fn open(options: ExecOptions) -> Exec {
    let mut firewall = Exec::open(options).unwrap();
    firewall.configure(&[rules("sshd"), rules("web")]).unwrap();
    firewall
}

#[test]
fn each_change_is_told_by_arguments_environment_and_json() {
    let programs = Programs::new();
    let mut firewall = open(programs.options());
    apply(&mut firewall, &[ban("sshd", "192.0.2.1/32", Some(600))]);
    // Tags that are not known stay.
    assert_eq!(
        programs.told(),
        "+192.0.2.1 sshd/inet4 600 <bantime>\n\
         STOCKADE_ACTION=ban\nSTOCKADE_FAMILY=inet4\nSTOCKADE_IP=192.0.2.1\n\
         STOCKADE_JAIL=sshd\nSTOCKADE_TIMEOUT=600\n\
         {\"action\":\"ban\",\"family\":\"inet4\",\"ip\":\"192.0.2.1\",\"jail\":\"sshd\",\"timeout\":600}\n\n"
    );
    apply(&mut firewall, &[ban("web", "2001:db8::1/64", None)]);
    let told = programs.told();
    assert!(
        told.starts_with("+2001:db8::/64 web/inet6 -1 <bantime>\n"),
        "{told}"
    );
    apply(&mut firewall, &[unban("web", "2001:db8::/64")]);
    let told = programs.told();
    assert!(
        told.starts_with("-2001:db8::/64\nSTOCKADE_ACTION=unban\n"),
        "{told}"
    );
    assert_eq!(listed(&mut firewall), ["sshd 192.0.2.1/32"]);
}

#[test]
fn a_batch_is_one_call_for_unbans_and_one_for_bans() {
    let programs = Programs::new();
    let mut options = programs.options();
    options.batch = true;
    options.ban = programs.argv(&["all"]);
    options.unban = programs.argv(&["all"]);
    let mut firewall = open(options);
    let changes = [
        ban("sshd", "192.0.2.1/32", Some(60)),
        ban("sshd", "192.0.2.2/32", Some(60)),
        unban("sshd", "192.0.2.2/32"),
        ban("web", "192.0.2.1/32", None),
    ];
    apply(&mut firewall, &changes);
    let told = programs.told();
    let json: Vec<serde_json::Value> = told
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let change = |jail: &str, ip: &str, timeout: i64| serde_json::json!({"jail": jail, "ip": ip, "family": "inet4", "timeout": timeout});
    assert_eq!(
        json,
        [
            serde_json::json!({"action": "unban", "changes": [change("sshd", "192.0.2.2", -1)]}),
            serde_json::json!({"action": "ban", "changes": [
                change("sshd", "192.0.2.1", 60), change("web", "192.0.2.1", -1),
            ]}),
        ]
    );
    assert_eq!(told.matches("all\nSTOCKADE_ACTION=").count(), 2, "{told}");
    assert_eq!(
        listed(&mut firewall),
        ["sshd 192.0.2.1/32", "web 192.0.2.1/32"]
    );

    programs.write("fails-ban", "the disk is full");
    let refused = firewall
        .apply(&[
            ban("web", "192.0.2.8/32", None),
            ban("web", "192.0.2.9/32", None),
        ])
        .unwrap();
    assert_eq!((refused.len(), refused[0].changes.len()), (1, 2));
    let error = refused[0].error.to_string();
    assert_eq!(
        error,
        "cannot ban 2 networks by 'mine': '/bin/sh' ended with exit status: 4: the disk is full"
    );
}

#[test]
fn a_program_that_fails_refuses_its_own_change_only() {
    let programs = Programs::new();
    let mut options = programs.options();
    let script = "case $1 in *.2) printf 'no \\033[2J' >&2; exit 1;; esac";
    options.ban = words(&["/bin/sh", "-c", script, "sh", "<ip>"]);
    let mut firewall = open(options);
    let nets = ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"];
    let refused = firewall
        .apply(&nets.map(|net| ban("sshd", net, None)))
        .unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].changes, [ban("sshd", nets[1], None)]);
    assert_eq!(
        refused[0].error.to_string(),
        "cannot ban 192.0.2.2/32 (jail 'sshd') by 'mine': '/bin/sh' ended with exit status: 1: no \\u{1b}[2J"
    );
    assert_eq!(
        listed(&mut firewall),
        ["sshd 192.0.2.1/32", "sshd 192.0.2.3/32"]
    );
    for bad in [
        ban("other", "192.0.2.1/32", None),
        ban("sshd", "0.0.0.0/0", None),
    ] {
        assert_eq!(firewall.apply(&[bad]).unwrap().len(), 1);
    }
}

#[test]
fn after_one_that_takes_too_long_the_others_are_not_tried() {
    let mut slow = options(&["/bin/sleep", "1000"], &["/bin/true"]);
    slow.timeout = Duration::from_millis(300);
    let mut firewall = open(slow);
    let nets = ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"];
    let refused = firewall
        .apply(&nets.map(|net| ban("sshd", net, None)))
        .unwrap();
    let counts: Vec<_> = refused
        .iter()
        .map(|refusal| refusal.changes.len())
        .collect();
    assert_eq!(counts, [1, 2]);
    assert_eq!(
        refused[1].error.to_string(),
        "cannot ban by 'mine': not tried, after '/bin/sleep' was killed after 0.3 seconds"
    );
}

#[test]
fn start_is_told_the_jails_and_bans_of_jails_that_are_gone_end() {
    let programs = Programs::new();
    let mut options = programs.options();
    options.start = Some(programs.argv(&["up"]));
    options.stop = Some(programs.argv(&["down"]));
    let mut firewall = open(options);
    let told = programs.told();
    assert!(told.starts_with("up\nSTOCKADE_ACTION=start\n{"), "{told}");
    assert!(
        told.contains(
            r#"{"block":"drop","hooks":["input"],"jail":"sshd","ports":["22"],"protocols":["tcp"]}"#
        ),
        "{told}"
    );
    apply(&mut firewall, &[ban("web", "192.0.2.1/32", None)]);
    programs.told();
    firewall.configure(&[rules("sshd")]).unwrap();
    let told = programs.told();
    assert!(
        told.starts_with("up\n") && told.contains("\n-192.0.2.1\n"),
        "{told}"
    );
    assert_eq!(listed(&mut firewall), [""; 0]);

    programs.write("fails-start", "not today");
    let error = firewall
        .configure(&[rules("sshd")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot start by 'mine': ") && error.ends_with("not today"),
        "{error}"
    );
    firewall.teardown().unwrap();
    assert!(
        programs
            .told()
            .ends_with("down\nSTOCKADE_ACTION=stop\n{\"action\":\"stop\"}\n\n")
    );
}

#[test]
fn a_list_is_believed_and_what_is_not_understood_is_shown() {
    let programs = Programs::new();
    let mut options = programs.options();
    options.list = Some(programs.argv(&[]));
    programs.write(
        "bans",
        "sshd 192.0.2.1\n\n  web   2001:db8::/64 \nold 192.0.2.7\n",
    );
    let mut firewall = open(options.clone());
    assert_eq!(firewall.notes(), [""; 0]);
    // The jail that is not there any more loses its ban.
    assert!(programs.told().contains("\n-192.0.2.7\n"));
    programs.write("bans", "sshd 192.0.2.1\nweb 2001:db8::/64\n");
    assert_eq!(
        listed(&mut firewall),
        ["sshd 192.0.2.1/32", "web 2001:db8::/64"]
    );

    for (line, shown) in [
        ("sshd", "'sshd'"),
        ("sshd 192.0.2.1 600", "'sshd 192.0.2.1 600'"),
        ("sshd nobody", "'sshd nobody'"),
        ("\u{1b}[2J 192.0.2.1", "'\\u{1b}[2J 192.0.2.1'"),
    ] {
        programs.write("bans", &format!("sshd 192.0.2.1\n{line}\n"));
        let error = firewall.list().unwrap_err().to_string();
        let expected = format!(
            "cannot list bans by 'mine': line 2 of its answer is not a jail and an address: {shown}"
        );
        assert_eq!(error, expected);
    }
    programs.write("bans", "sshd 192.0.2.1\nweb 192.0.2.2\n");
    programs.told();
    firewall.teardown().unwrap();
    let told = programs.told();
    assert!(
        told.contains("\n-192.0.2.1\n") && told.contains("\n-192.0.2.2\n"),
        "{told}"
    );
}

#[test]
fn a_check_that_fails_is_told_and_all_bans_are_made_again() {
    let programs = Programs::new();
    let mut options = programs.options();
    options.check = Some(programs.argv(&[]));
    let mut firewall = Exec::open(options).unwrap();
    assert!(matches!(firewall.probe().unwrap(), Health::Missing { .. }));
    firewall.configure(&[rules("sshd")]).unwrap();
    apply(&mut firewall, &[ban("sshd", "192.0.2.1/32", None)]);
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
    assert!(!firewall.sees_loopback());
    assert!(firewall.notes()[0].starts_with("'mine' has no 'list'"));

    programs.write("fails-check", "the table is gone");
    let Health::Missing { what } = firewall.probe().unwrap() else {
        panic!("the check failed");
    };
    assert_eq!(
        what,
        ["'/bin/sh' ended with exit status: 4: the table is gone"]
    );
    assert_eq!(listed(&mut firewall), [""; 0]);
    programs.remove("fails-check");
    assert_eq!(firewall.probe().unwrap(), Health::InPlace);
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_runs() {
    let good = || options(&["/bin/true", "<ip>"], &["/bin/true"]);
    let told = |options: ExecOptions| {
        let opened = Backend::Exec(options).open();
        opened.map(drop).map_err(|error| {
            assert!(matches!(error, FirewallError::Failed { .. }));
            error.to_string()
        })
    };
    assert_eq!(told(good()), Ok(()));
    assert_eq!(Backend::Exec(good()).name(), "mine");
    let not_there = Path::new("/nonexistent/x").to_str().unwrap();
    for (change, expected) in [
        (
            (|o: &mut ExecOptions, _: &str| o.batch = true) as fn(&mut ExecOptions, &str),
            "'<ip>' means nothing in 'ban', where 'batch' is on",
        ),
        (|o, _| o.ban.clear(), "'ban' names no program"),
        (
            |o, _| o.unban = words(&["true"]),
            "'true' of 'unban' is no absolute path",
        ),
        (
            |o, path| o.list = Some(words(&[path])),
            "there is no program '/nonexistent/x' ('list')",
        ),
        (
            |o, _| o.start = Some(words(&["/bin/true", "--<jail>"])),
            "'<jail>' means nothing in 'start'",
        ),
    ] {
        let mut options = good();
        change(&mut options, not_there);
        assert_eq!(told(options), Err(format!("cannot use 'mine': {expected}")));
    }
    assert_eq!(good().timeout, LONG);
}
