//! `fail2ban-client`, ours and Debian's: the same commands to both, and the same answers.
#![cfg(test)]
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "both programs are run as a script runs them"
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stockade_tests::{MUST_RUN, Place, in_namespace, stockade, wait_until};

/// Debian's package fail2ban.
const THEIRS: &str = "/usr/bin/fail2ban-client";

fn is_installed() -> bool {
    let installed = Path::new(THEIRS).exists();
    assert!(
        installed || std::env::var_os(MUST_RUN).is_none(),
        "install Debian's fail2ban"
    );
    installed
}

const OURS_CONFIGURED: &str = "
[defaults]
backend = \"file\"
ignoreip = []
ignoreself = false
maxretry = 3
[jails.sshd]
filter = \"sshd\"
logpath = [\"{dir}/auth.log\"]
[jails.web]
filter = \"sshd\"
logpath = [\"{dir}/web.log\"]
";

/// A filter that needs no tag of theirs, so that both read the same lines.
const THEIR_FILTER: &str = "[Definition]\nfailregex = Failed password for .* from <ADDR> port\n";

fn their_jails(dir: &Path) -> String {
    let jail = |name: &str, log: &str| {
        let dir = dir.display();
        format!("[{name}]\nenabled = true\nfilter = plain\nlogpath = {dir}/{log}\n")
    };
    format!(
        "[DEFAULT]\nbackend = polling\nmaxretry = 3\nmaxmatches = 3\nignoreself = false\nbantime = 10m\nfindtime = 10m\nusedns = no\n\
         action =\n{}{}",
        jail("sshd", "auth.log"),
        jail("web", "web.log")
    )
}

/// Debian's server with a configuration of its own; stopped with this value.
struct Theirs {
    dir: PathBuf,
}

impl Theirs {
    fn start(place: &Place) -> Self {
        let dir = place.path("fail2ban");
        let shown = dir.display();
        place.write("fail2ban/filter.d/plain.conf", THEIR_FILTER);
        place.write(
            "fail2ban/fail2ban.conf",
            &format!(
                "[Definition]\nloglevel = DEBUG\nlogtarget = {shown}/log\nsyslogsocket = auto\n\
                 socket = {shown}/socket\npidfile = {shown}/pid\ndbfile = :memory:\n\
                 dbpurgeage = 1d\ndbmaxmatches = 10\nallowipv6 = auto\n"
            ),
        );
        let logs = Path::new(&place.dir()).to_owned();
        place.write("fail2ban/jail.conf", &their_jails(&logs));
        let theirs = Self { dir };
        let started = theirs.client(&["start"]);
        assert!(started.status.success(), "{started:?}");
        theirs
    }

    fn client(&self, words: &[&str]) -> Output {
        let at = |name: &str| self.dir.join(name);
        Command::new(THEIRS)
            .arg("-c")
            .arg(&self.dir)
            .arg("-s")
            .arg(at("socket"))
            .arg("-p")
            .arg(at("pid"))
            .args(words)
            .output()
            .unwrap()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        self.client(&["stop"]);
    }
}

/// stockade through a link named fail2ban-client.
fn ours(place: &Place, words: &[&str]) -> Output {
    Command::new(place.path("fail2ban-client"))
        .arg("-s")
        .arg(place.path("control.sock"))
        .args(words)
        .output()
        .unwrap()
}

/// What a script sees, with times made equal.
fn seen(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout);
    let masked = text.split(' ').map(|word| {
        let is_time = word.trim_end().len() == 8 && word.matches(':').count() == 2;
        if is_time { "TIME" } else { word }
    });
    (
        output.status.code(),
        masked.collect::<Vec<_>>().join(" ").trim_end().to_owned(),
    )
}

/// Where the two differ.
fn difference(place: &Place, theirs: &Theirs, words: &[&str]) -> Option<String> {
    let (ours, theirs) = (seen(&ours(place, words)), seen(&theirs.client(words)));
    (ours != theirs).then(|| format!("{words:?}\n  ours   {ours:?}\n  theirs {theirs:?}\n"))
}

#[test]
fn both_clients_say_the_same() {
    if !is_installed() {
        return;
    }
    in_namespace(|| {
        let place = Place::new(OURS_CONFIGURED);
        symlink(stockade(), place.path("fail2ban-client")).unwrap();
        let (mut log, _other) = (place.log_file("auth.log"), place.log_file("web.log"));
        let _daemon = place.start();
        let theirs = Theirs::start(&place);
        let both = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            difference(&place, &theirs, &words)
        };
        for line in [
            "ping",
            "status",
            "status sshd",
            "banned",
            "banned 192.0.2.1",
        ] {
            assert_eq!(both(line), None);
        }
        log.failures(3, &["192.0.2.1"]);
        log.failures(1, &["192.0.2.2"]);
        for client in [
            &(|w: &[&str]| ours(&place, w)) as &dyn Fn(&[&str]) -> Output,
            &|w| theirs.client(w),
        ] {
            wait_until("both have banned", || {
                let told = client(&["status", "sshd"]);
                let text = String::from_utf8_lossy(&told.stdout).into_owned();
                text.contains("Total failed:\t4") && text.contains("Banned IP list:\t192.0.2.1")
            });
        }
        let asked = ASKED.lines().filter(|line| !line.is_empty());
        let different: String = asked.filter_map(both).collect();
        assert_eq!(different, "");
        wait_until("both have banned who failed without a log", || {
            let banned = both("banned 192.0.2.8").is_none();
            banned && seen(&ours(&place, &["banned", "192.0.2.8"])).1 == "[['web']]"
        });
    });
}

/// What scripts, checks and exporters ask, in an order in which each changes what the next sees.
const ASKED: &str = "
status sshd
status web
status sshd extra
status sshd short
status sshd basic
echo one two
status nojail
banned
banned 192.0.2.1
banned 192.0.2.1 192.0.2.9
get sshd banip
get sshd banip --with-time
get sshd banned 192.0.2.1
get sshd banned 192.0.2.1 192.0.2.9
get sshd banned
get sshd bantime
get sshd findtime
get sshd maxretry
get sshd maxmatches
get sshd ignoreself
get sshd ignoreip
get sshd ignoreregex
get sshd logpath
get sshd journalmatch
get sshd maxlines
get sshd logencoding
get sshd datepattern
get sshd logtimezone
get sshd usedns
get loglevel
get dbpurgeage
get nojail bantime
get sshd nothing
get sshd
get
set
set sshd bogus
bogus
unban
set sshd banip 198.51.100.1 198.51.100.2
set sshd banip 198.51.100.1
get web banip ,
set web banip 198.51.100.1
banned 198.51.100.1
set sshd unbanip 198.51.100.2
set sshd unbanip 198.51.100.99
set sshd unbanip --report-absent 198.51.100.99
set sshd unbanip
set nojail banip 192.0.2.1
unban 198.51.100.1 198.51.100.77
unban --all
unban --all
status sshd
set sshd addignoreip 198.51.100.0/24 10.0.0.1
get sshd ignoreip
set sshd delignoreip 10.0.0.1
set sshd bantime 1h
set sshd findtime 2m
set sshd maxretry 7
set sshd maxmatches 4
get sshd maxmatches
set sshd ignoreself true
get sshd ignoreself
set sshd ignoreself off
set nojail attempt 192.0.2.7
set sshd attempt 192.0.2.7
set web attempt 192.0.2.8 one two three
get sshd bantime
set sshd bantime -1
get sshd bantime
reload
stop nojail
--str2sec 1d12h
";

#[test]
fn a_client_without_a_server_ends_as_theirs_does() {
    if !is_installed() {
        return;
    }
    let place = Place::new(OURS_CONFIGURED);
    symlink(stockade(), place.path("fail2ban-client")).unwrap();
    for words in [["ping"], ["status"], ["banned"]] {
        let theirs = Command::new(THEIRS)
            .args(["-s", "/nonexistent/socket"])
            .args(words)
            .output()
            .unwrap();
        assert_eq!(seen(&ours(&place, &words)), seen(&theirs), "{words:?}");
    }
}

#[test]
fn start_and_stop_end_and_begin_the_daemon() {
    in_namespace(|| {
        let place = Place::new(OURS_CONFIGURED);
        symlink(stockade(), place.path("fail2ban-client")).unwrap();
        let _daemon = place.start();
        let told = ours(&place, &["start"]);
        assert_eq!(told.status.code(), Some(255));
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.contains("Server already running"), "{told}");
        let told = ours(&place, &["stop"]);
        assert_eq!(seen(&told), (Some(0), "Shutdown successful".to_owned()));
        wait_until("the daemon is gone", || {
            ours(&place, &["ping"]).status.code() == Some(255)
        });
    });
}
