//! `stockade compare`, with the logs of a real fail2ban and of a stockade that runs beside it.
#![cfg(test)]
#![cfg(target_os = "linux")]

use serde_json::Value;
use stockade_tests::{Fail2ban, LogFile, Place, copy_fail2ban, failure, in_namespace, wait_until};

/// Both daemons on one log.
struct Both<'p> {
    place: &'p Place,
    log: LogFile,
    /// How many addresses have failed once.
    passers_by: u16,
}

impl Both<'_> {
    /// Whether both logs, rotated ones included, hold a line with this text.
    fn said(&self, text: &str) -> bool {
        ["stderr", "fail2ban/log", "fail2ban/log.1"]
            .map(|name| std::fs::read_to_string(self.place.path(name)).unwrap_or_default())
            .iter()
            .filter(|log| log.contains(text))
            .count()
            >= 2
    }

    fn attack(&mut self, address: &str, count: usize, expected: &str) {
        self.log.failures(count, &[address]);
        wait_until(&format!("both have logged {expected:?}"), || {
            self.said(expected)
        });
    }

    /// Writes lines of one failure each until both have logged `seconds` more.
    fn pass(&mut self, seconds: i64) {
        let begin = self.second();
        wait_until("both logs have gone on", || {
            self.passers_by += 1;
            let [high, low] = self.passers_by.to_be_bytes();
            self.log.line(&failure(&format!("198.18.{high}.{low}")));
            self.second() >= begin + seconds
        });
    }

    /// The second of the last line that both have logged.
    fn second(&self) -> i64 {
        let last = |name: &str| {
            let text = std::fs::read_to_string(self.place.path(name)).unwrap_or_default();
            let stamps = text.lines().rev().filter_map(|line| line.get(..19));
            let mut times = stamps.filter_map(|it| it.parse::<jiff::civil::DateTime>().ok());
            let at = times.next()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(at.timestamp().as_second())
        };
        last("stderr").min(last("fail2ban/log")).unwrap_or(0)
    }

    fn compare(&self, logs: &[&str]) -> (i32, Value) {
        let logs: Vec<String> = logs
            .iter()
            .map(|name| self.place.path(name).display().to_string())
            .collect();
        let ours = self.place.path("stderr").display().to_string();
        let mut arguments = vec![
            "--json", "compare", "--within", "2s", "--ours", &ours, "--log",
        ];
        arguments.extend(logs.iter().map(String::as_str));
        let told = self.place.stockade(&arguments);
        (told.code, told.json())
    }
}

fn configure(place: &Place) -> Option<String> {
    let dir = place.path("fail2ban");
    if !copy_fail2ban(&dir) {
        return None;
    }
    place.write(
        "fail2ban/jail.d/test.local",
        &format!(
            "[DEFAULT]\naction =\nignoreself = false\nbackend = polling\nmaxretry = 3\nbantime = 1h\n\
             bantime.increment = true\n[sshd]\nenabled = true\nlogpath = {}/auth.log\n",
            place.dir()
        ),
    );
    Some(dir.display().to_string())
}

/// Both begin, and go on for as long as bans that only one makes are not looked at.
fn begin<'p>(place: &'p Place, dir: &str) -> (Both<'p>, Fail2ban, stockade_tests::Daemon<'p>) {
    let log = place.log_file("auth.log");
    let theirs = Fail2ban::start(place.path("fail2ban"));
    let state = place.path("state").display().to_string();
    let socket = place.path("control.sock").display().to_string();
    let ours = place.start_with(&[
        "--dry-run",
        "--fail2ban",
        dir,
        "--state-dir",
        &state,
        "--socket",
        &socket,
    ]);
    let mut both = Both {
        place,
        log,
        passers_by: 0,
    };
    both.attack("198.18.255.1", 1, "Found 198.18.255.1");
    both.pass(3);
    (both, theirs, ours)
}

#[test]
fn bans_of_both_are_paired_and_others_told() {
    in_namespace(|| {
        let place = Place::new("");
        let Some(dir) = configure(&place) else { return };
        let (mut both, theirs, _ours) = begin(&place, &dir);
        both.attack("192.0.2.1", 3, "[sshd] Ban 192.0.2.1\n");
        // Who goes on is banned already, which one of the two tells and the other may not.
        both.log.failures(3, &["192.0.2.1"]);
        both.attack("2001:db8::1", 3, "[sshd] Ban 2001:db8::1\n");
        theirs.client(&["set", "sshd", "unbanip", "192.0.2.1"]);
        place.stockade(&[
            "--socket",
            &place.path("control.sock").display().to_string(),
            "unban",
            "192.0.2.1",
        ]);
        wait_until("both have lifted it", || {
            both.said("[sshd] Unban 192.0.2.1")
        });
        both.pass(3);
        let (code, same) = both.compare(&["fail2ban/log"]);
        assert_eq!(
            (code, &same["same"], &same["only"]),
            (0, &2.into(), &Value::Array(Vec::new())),
            "{same}"
        );

        theirs.client(&["set", "sshd", "banip", "192.0.2.7"]);
        place.ask(r#"{"command":"ban","jail":"sshd","ids":["192.0.2.8"]}"#);
        both.pass(4);
        let (code, differ) = both.compare(&["fail2ban/log"]);
        let only: Vec<String> = differ["only"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| format!("{} {} {}", it["by"], it["jail"], it["id"]).replace('"', ""))
            .collect();
        assert_eq!(code, 1, "{differ}");
        let mut sorted = only.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            ["ours sshd 192.0.2.8", "theirs sshd 192.0.2.7"],
            "{differ}"
        );
    });
}

#[test]
fn a_rotated_log_is_read_as_a_whole_and_restored_bans_are_not_made_again() {
    in_namespace(|| {
        let place = Place::new("");
        let Some(dir) = configure(&place) else { return };
        let (mut both, theirs, _ours) = begin(&place, &dir);
        both.attack("192.0.2.1", 3, "[sshd] Ban 192.0.2.1\n");
        std::fs::rename(place.path("fail2ban/log"), place.path("fail2ban/log.1")).unwrap();
        theirs.client(&["flushlogs"]);
        both.attack("192.0.2.2", 3, "[sshd] Ban 192.0.2.2\n");
        both.pass(3);
        drop(theirs);
        let theirs = Fail2ban::start(place.path("fail2ban"));
        wait_until("fail2ban has restored its bans", || {
            let log = std::fs::read_to_string(place.path("fail2ban/log")).unwrap();
            log.contains("[sshd] Restore Ban 192.0.2.2")
        });
        both.attack("192.0.2.3", 3, "[sshd] Ban 192.0.2.3\n");
        both.pass(3);
        let (code, told) = both.compare(&["fail2ban/log.1", "fail2ban/log"]);
        assert_eq!((code, &told["same"]), (0, &3.into()), "{told}");
        // Half of their log covers half of the time.
        let (code, told) = both.compare(&["fail2ban/log"]);
        assert_eq!((code, &told["same"]), (0, &2.into()), "{told}");
        drop(theirs);
    });
}

#[test]
fn a_stockade_that_finds_nothing_is_not_taken_for_one_that_agrees() {
    in_namespace(|| {
        let place = Place::new("");
        let Some(_) = configure(&place) else { return };
        let theirs = "2026-11-23 05:00:00,000 fail2ban.server         [8]: INFO    Starting Fail2ban v1.0.2\n\
                      2026-11-23 06:00:00,123 fail2ban.actions        [8]: NOTICE  [sshd] Ban 192.0.2.1\n\
                      2026-11-23 07:00:00,000 fail2ban.filter         [8]: INFO    [sshd] Found 192.0.2.2\n";
        let ours = "2026-11-23 05:00:01,000 stockade [9]: INFO    protecting: sshd\n";
        place.write("fail2ban/log", theirs);
        place.write("stderr", ours);
        let both = Both {
            log: place.log_file("auth.log"),
            place: &place,
            passers_by: 0,
        };
        let (code, told) = both.compare(&["fail2ban/log"]);
        assert_eq!(
            (code, &told["only"][0]["id"]),
            (1, &"192.0.2.1".into()),
            "{told}"
        );
        place.write(
            "journal",
            "Nov 23 06:00:00 host fail2ban[8]: NOTICE [sshd] Ban 192.0.2.1\n",
        );
        let log = place.path("journal").display().to_string();
        let told = place.stockade(&["compare", "--log", &log, "--ours", &log]);
        told.assert_code(1);
        assert!(
            told.err.contains("begins with a date and time"),
            "{}",
            told.err
        );
    });
}
