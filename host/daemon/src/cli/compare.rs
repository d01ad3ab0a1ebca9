//! `stockade compare`: which bans only one of two daemons made, by their logs.
//!
//! A careful administrator lets `stockade run --dry-run` watch beside the fail2ban that protects the
//! host, and looks at the differences before changing over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use stockade_control::ExitCode;

use super::args::{CompareArgs, GlobalArgs};
use super::table::Table;
use super::{Failure, print, print_json};

/// Bans in the logs of one daemon, those of one or of several files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    /// When the first and the last line was written, in seconds of local time.
    span: Option<(i64, i64)>,
    /// When the daemon ended, where it was not started again. Of one that runs a silence says nothing:
    /// it found nobody, and that is to be compared as well.
    ended: Option<i64>,
    /// When each id was banned, by jail.
    bans: BTreeMap<(String, String), Vec<i64>>,
}

/// A ban that only one of the two made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Single {
    /// `theirs` or `ours`.
    by: &'static str,
    jail: String,
    id: String,
    at: String,
    #[serde(skip)]
    seconds: i64,
}

/// What the comparison came to.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Comparison {
    /// What both logs cover; `null` where that is nothing.
    from: Option<String>,
    to: Option<String>,
    /// Bans that both made.
    same: u64,
    only: Vec<Single>,
}

/// Compares two logs; exit code 1 where they differ.
pub(super) fn compare(global: &GlobalArgs, args: &CompareArgs) -> Result<ExitCode, Failure> {
    let theirs = read(&args.log)?;
    let ours = match args.ours.as_slice() {
        [] => read(&[own_log(global)?])?,
        paths => read(paths)?,
    };
    let within = i64::try_from(args.within.as_secs()).unwrap_or(i64::MAX);
    let comparison = difference(&theirs, &ours, within);
    if global.json {
        print_json(&comparison);
    } else {
        print(&shown(&comparison));
    }
    Ok(if comparison.from.is_some() && comparison.only.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Refused
    })
}

/// The log that the configuration names.
fn own_log(global: &GlobalArgs) -> Result<PathBuf, Failure> {
    let files = global.configuration().files();
    match stockade_config::load(&files).daemon.log_target {
        stockade_config::LogTarget::File(path) => Ok(path),
        _ => Err(
            Failure::text(ExitCode::Usage, "stockade's own log is not a file").hint(
                "name it with --ours FILE, or pipe it: journalctl -u stockade -o cat | stockade compare … --ours -",
            ),
        ),
    }
}

/// Reads files in any order.
fn read(paths: &[PathBuf]) -> Result<Log, Failure> {
    let mut log = Log::default();
    for path in paths {
        let before = log.span;
        read_into(&mut log, path)?;
        if log.span == before && before.is_none() {
            let message = format!(
                "no line of '{}' begins with a date and time",
                path.display()
            );
            return Err(Failure::text(ExitCode::Refused, message).hint(
                "it must be a log file that fail2ban or stockade writes itself, such as \
                 2026-11-23 05:54:13,123 fail2ban.actions [812]: NOTICE  [sshd] Ban 192.0.2.1",
            ));
        }
    }
    Ok(log)
}

fn read_into(log: &mut Log, path: &Path) -> Result<(), Failure> {
    let cannot = |error: io::Error| {
        let message = format!("cannot read '{}': {error}", path.display());
        Failure::text(ExitCode::Refused, message)
    };
    let mut input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(cannot)?))
    };
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).map_err(cannot)? > 0 {
        log.take(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

impl Log {
    /// `2026-11-23 05:54:13,123 fail2ban.actions [812]: NOTICE  [sshd] Ban 192.0.2.1`
    ///
    /// What began earlier (`Restore Ban`), goes on (`already banned`, `Increase Ban`) or ends (`Unban`) is
    /// no ban that was made.
    fn take(&mut self, line: &str) {
        let Some(at) = line.get(..19).and_then(seconds) else {
            return;
        };
        let newest = self.span.is_none_or(|(_, last)| at >= last);
        if newest {
            self.ended = None;
        }
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(at), last.max(at)),
            None => (at, at),
        });
        let Some((head, said)) = line.split_once("]: ") else {
            return;
        };
        // Date and time stand first; what a filter or a plugin says is none of it.
        let by = head.split_whitespace().nth(2).unwrap_or_default();
        let (level, said) = said.split_once(' ').unwrap_or_default();
        match (by, level, said.trim()) {
            ("fail2ban.server", "INFO", "Exiting Fail2ban") | ("stockade", "INFO", "stopped") => {
                self.ended = newest.then_some(at).or(self.ended);
            }
            ("fail2ban.actions" | "stockade.actions", "NOTICE", said) => self.take_action(at, said),
            _ => {}
        }
    }

    fn take_action(&mut self, at: i64, said: &str) {
        let banned = said
            .strip_prefix('[')
            .and_then(|said| said.split_once("] Ban "));
        if let Some((jail, id)) = banned {
            let id = id.split_whitespace().next().unwrap_or_default();
            let key = (jail.to_owned(), id.to_owned());
            self.bans.entry(key).or_default().push(at);
        }
    }
}

/// The time that both cover.
fn covered(theirs: &Log, ours: &Log) -> Option<(i64, i64)> {
    let (a, b) = (theirs.span?, ours.span?);
    let last = a.1.max(b.1);
    let end = |log: &Log| log.ended.unwrap_or(last);
    let (from, to) = (a.0.max(b.0), end(theirs).min(end(ours)));
    (from <= to).then_some((from, to))
}

/// Seconds of local time; both logs are written on one host.
fn seconds(stamp: &str) -> Option<i64> {
    let at = DateTime::strptime("%Y-%m-%d %H:%M:%S", stamp).ok()?;
    Some(
        at.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

fn stamp(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Pairs bans of the same id in the same jail that lie at most `within` seconds apart, in the time
/// that both logs cover; at its edges a ban whose partner may lie beyond is left out.
fn difference(theirs: &Log, ours: &Log, within: i64) -> Comparison {
    let Some((from, to)) = covered(theirs, ours) else {
        return Comparison::default();
    };
    let mut comparison = Comparison {
        from: Some(stamp(from)),
        to: Some(stamp(to)),
        ..Comparison::default()
    };
    let mut keys: Vec<_> = theirs.bans.keys().chain(ours.bans.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let of = |log: &Log| log.bans.get(key).cloned().unwrap_or_default();
        let (same, rest) = pair(of(theirs), of(ours), within);
        comparison.same += same;
        let single = |(by, at): (&'static str, i64)| Single {
            by,
            jail: key.0.clone(),
            id: key.1.clone(),
            at: stamp(at),
            seconds: at,
        };
        let covered = |(_, at): &(&str, i64)| (from + within..=to - within).contains(at);
        comparison
            .only
            .extend(rest.into_iter().filter(covered).map(single));
    }
    comparison.only.sort_by_key(|single| single.seconds);
    comparison
}

/// How many pairs there are, and what is left, by whom.
fn pair(mut theirs: Vec<i64>, mut ours: Vec<i64>, within: i64) -> (u64, Vec<(&'static str, i64)>) {
    theirs.sort_unstable();
    ours.sort_unstable();
    let mut same = 0;
    let mut rest = Vec::new();
    let (mut a, mut b) = (theirs.into_iter().peekable(), ours.into_iter().peekable());
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (Some(x), Some(y)) if x.abs_diff(y) <= within.unsigned_abs() => {
                same += 1;
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => {
                rest.push(("theirs", x));
                a.next();
            }
            (_, Some(y)) => {
                rest.push(("ours", y));
                b.next();
            }
            (_, None) => return (same, rest),
        }
    }
}

fn shown(comparison: &Comparison) -> String {
    let (Some(from), Some(to)) = (&comparison.from, &comparison.to) else {
        return "the two logs have no time in common\n".to_owned();
    };
    let mut text = format!("{} bans of both, from {from} to {to}\n", comparison.same);
    if comparison.only.is_empty() {
        text.push_str("no ban that only one of them made\n");
        return text;
    }
    let mut table = Table::new(&["only by", "jail", "id", "at"]);
    for single in &comparison.only {
        let by = if single.by == "ours" {
            "stockade"
        } else {
            "fail2ban"
        };
        let id = stockade_core::Escaped(single.id.as_bytes()).to_string();
        let jail = stockade_core::Escaped(single.jail.as_bytes()).to_string();
        table.row([by.to_owned(), jail, id, single.at.clone()]);
    }
    text.push_str(&format!("\n{table}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(&str, &str)]) -> Log {
        let mut log = Log::default();
        for (at, said) in lines {
            log.take(&format!(
                "2026-11-23 {at},123 fail2ban.actions        [812]: {said}\n"
            ));
        }
        log
    }

    fn only(theirs: &Log, ours: &Log) -> Vec<String> {
        let found = difference(theirs, ours, 60);
        let singles = found.only.iter();
        singles
            .map(|single| format!("{} {} {}", single.by, single.jail, single.id))
            .collect()
    }

    #[test]
    fn bans_that_only_one_made_are_told() {
        let edges = [("05:00:00", "INFO    start"), ("07:00:00", "INFO    end")];
        let ban = |at, said| [edges[0], (at, said), edges[1]];
        let theirs = log(&ban("06:00:00", "NOTICE  [sshd] Ban 192.0.2.1"));
        assert_eq!(
            only(
                &theirs,
                &log(&ban("06:00:59", "NOTICE  [sshd] Ban 192.0.2.1"))
            ),
            [""; 0]
        );
        assert_eq!(
            only(
                &theirs,
                &log(&ban("06:01:01", "NOTICE  [sshd] Ban 192.0.2.1"))
            ),
            ["theirs sshd 192.0.2.1", "ours sshd 192.0.2.1"]
        );
        assert_eq!(
            only(
                &theirs,
                &log(&ban("06:00:00", "NOTICE  [web] Ban 192.0.2.1"))
            ),
            ["theirs sshd 192.0.2.1", "ours web 192.0.2.1"]
        );
    }

    #[test]
    fn what_is_no_ban_of_an_action_does_not_count() {
        for said in [
            "NOTICE  [sshd] Unban 192.0.2.1",
            "NOTICE  [sshd] Restore Ban 192.0.2.1",
            "NOTICE  [sshd] 192.0.2.1 already banned",
            "NOTICE  [sshd] Increase Ban 192.0.2.1 (2 # 20m -> 2026-11-23 06:20:00)",
            "NOTICE  [sshd] Reban 192.0.2.1",
            "INFO    [sshd] Ban 192.0.2.1",
            "NOTICE  x [sshd] Ban 192.0.2.1",
        ] {
            assert_eq!(log(&[("06:00:00", said)]).bans, BTreeMap::new(), "{said}");
        }
        let mut forged = Log::default();
        forged
            .take("2026-11-23 06:00:00,1 fail2ban.filter [8]: INFO ]: NOTICE [sshd] Ban 192.0.2.1");
        assert_eq!(forged.bans, BTreeMap::new());
    }

    #[test]
    fn only_the_time_that_both_cover_is_compared() {
        let mut early = log(&[
            ("05:00:00", "NOTICE  [sshd] Ban 192.0.2.1"),
            ("06:00:00", "INFO    x"),
        ]);
        early.take("2026-11-23 06:00:00,1 fail2ban.server [8]: INFO    Exiting Fail2ban\n");
        let late = log(&[
            ("05:30:00", "INFO    x"),
            ("06:30:00", "NOTICE  [sshd] Ban 192.0.2.2"),
            ("07:30:00", "INFO    x"),
        ]);
        assert_eq!(only(&early, &late), [""; 0]);
        assert_eq!(
            difference(&early, &late, 60).to.as_deref(),
            Some("2026-11-23 06:00:00")
        );
        let none = log(&[("07:00:00", "INFO    x")]);
        assert_eq!(difference(&early, &none, 60).from, None);
    }

    #[test]
    fn who_runs_and_says_nothing_has_found_nobody() {
        let theirs = log(&[
            ("05:00:00", "INFO    x"),
            ("06:00:00", "NOTICE  [sshd] Ban 192.0.2.1"),
            ("07:00:00", "INFO    x"),
        ]);
        let mut ours = log(&[("05:00:01", "INFO    x")]);
        assert_eq!(only(&theirs, &ours), ["theirs sshd 192.0.2.1"]);
        // One that has ended has not: but one that was started again has.
        ours.take("2026-11-23 05:10:00,1 stockade [8]: INFO    stopped\n");
        assert_eq!(only(&theirs, &ours), [""; 0]);
        ours.take("2026-11-23 05:10:05,1 stockade [9]: INFO    protecting: sshd\n");
        assert_eq!(only(&theirs, &ours), ["theirs sshd 192.0.2.1"]);
    }
}
