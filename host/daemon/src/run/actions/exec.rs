//! `[exec.NAME]`: a program run for each ban.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use stockade_config::ExecSettings;
use stockade_core::{PluginName, Timestamp};
use stockade_plugins::{ActionError, ActionErrorKind, Decision, PluginStatus, Role, State};

use super::super::program::{self, INPUT_BYTES_MAX, family, filled};

/// Shows how the program does while its thread runs it.
pub(super) type ExecStatus = Arc<Mutex<PluginStatus>>;

/// A program that is told of bans. It knows which it was told of in this run of the daemon, because a
/// program, unlike a plugin, cannot be asked to agree with a list.
#[derive(Debug)]
pub(in crate::run) struct Exec {
    name: PluginName,
    settings: ExecSettings,
    told: BTreeMap<String, Decision>,
    /// The bans that there were at the start have been told, or left out.
    started: bool,
    status: ExecStatus,
}

impl Exec {
    pub(super) fn new(name: PluginName, settings: ExecSettings) -> Self {
        let status = PluginStatus {
            name: name.clone(),
            role: Role::Action,
            state: State::Healthy,
            calls: 0,
            items: 0,
            skipped: 0,
            dropped: 0,
            faults: 0,
            quarantines: 0,
            last_fault: None,
            queued: 0,
        };
        Self {
            name,
            settings,
            told: BTreeMap::new(),
            started: false,
            status: Arc::new(Mutex::new(status)),
        }
    }

    pub(super) fn name(&self) -> &PluginName {
        &self.name
    }

    pub(super) fn status(&self) -> ExecStatus {
        Arc::clone(&self.status)
    }

    pub(super) fn apply(&mut self, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        let each = decisions.iter();
        each.map(|decision| self.ban(decision, false)).collect()
    }

    pub(super) fn revoke(&mut self, decisions: &[Decision]) -> Vec<Result<(), ActionError>> {
        decisions
            .iter()
            .map(|decision| self.unban(decision))
            .collect()
    }

    /// Tells what is missing on either side.
    pub(super) fn reconcile(&mut self, active: &[Decision]) -> Vec<Result<(), ActionError>> {
        let restored = !std::mem::replace(&mut self.started, true);
        let gone: Vec<Decision> = self
            .told
            .values()
            .filter(|told| active.iter().all(|decision| decision.key() != told.key()))
            .cloned()
            .collect();
        for decision in &gone {
            if let Err(error) = self.unban(decision) {
                tracing::warn!("action '{}': {error}", self.name);
            }
        }
        active
            .iter()
            .map(|decision| {
                if self.told.contains_key(decision.key()) {
                    return Ok(());
                }
                if restored && !self.settings.restored {
                    self.told
                        .insert(decision.key().to_owned(), decision.clone());
                    return Ok(());
                }
                self.ban(decision, restored)
            })
            .collect()
    }

    fn ban(&mut self, decision: &Decision, restored: bool) -> Result<(), ActionError> {
        let argv = self.settings.ban.clone();
        self.run(&argv, decision, restored)?;
        self.told
            .insert(decision.key().to_owned(), decision.clone());
        Ok(())
    }

    fn unban(&mut self, decision: &Decision) -> Result<(), ActionError> {
        if let Some(argv) = self.settings.unban.clone() {
            self.run(&argv, decision, false)?;
        }
        self.told.remove(decision.key());
        Ok(())
    }

    fn run(&self, argv: &[String], decision: &Decision, restored: bool) -> Result<(), ActionError> {
        let result = arguments(argv, decision, restored).and_then(|argv| {
            let input = input(decision, restored);
            program::run(&argv, &input, self.settings.timeout).map_err(|error| ActionError {
                kind: ActionErrorKind::Unavailable,
                message: crate::cli::chain(&error),
                retry: true,
            })
        });
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.items += 1;
        match &result {
            Ok(()) => status.calls += 1,
            Err(error) => {
                status.faults += 1;
                status.last_fault = Some(error.message.clone());
            }
        }
        result
    }
}

/// Fills in the tags, each argument for itself.
fn arguments(
    argv: &[String],
    decision: &Decision,
    restored: bool,
) -> Result<Vec<String>, ActionError> {
    program::check_id(decision.subject()).map_err(|message| ActionError {
        kind: ActionErrorKind::Invalid,
        message,
        retry: false,
    })?;
    let tags = [
        ("<ip>", decision.subject().to_string()),
        ("<family>", family(decision.subject()).to_owned()),
        ("<jail>", decision.jail().to_string()),
        ("<time>", decision.at().as_secs().to_string()),
        ("<bantime>", bantime(decision)),
        ("<bancount>", decision.bancount().to_string()),
        ("<failures>", decision.failures().to_string()),
        ("<restored>", u8::from(restored).to_string()),
    ];
    Ok(argv.iter().map(|word| filled(word, &tags)).collect())
}

/// Seconds from the ban to its end; -1 for ever.
fn bantime(decision: &Decision) -> String {
    match decision.until() {
        Some(until) => until.saturating_since(decision.at()).as_secs().to_string(),
        None => "-1".to_owned(),
    }
}

/// The ban as one JSON object. The oldest lines are left out where all are too long.
fn input(decision: &Decision, restored: bool) -> Vec<u8> {
    let seconds = |at: Timestamp| at.as_secs();
    let mut matches: Vec<&str> = Vec::new();
    let mut room = INPUT_BYTES_MAX / 2;
    for line in decision.matches().iter().rev() {
        // Six bytes at most for each of a line in JSON.
        let Some(left) = room.checked_sub(line.len() * 6) else {
            break;
        };
        room = left;
        matches.push(line);
    }
    matches.reverse();
    let ban = serde_json::json!({
        "jail": decision.jail().as_str(),
        "ip": decision.subject().to_string(),
        "family": family(decision.subject()),
        "time": seconds(decision.at()),
        "until": decision.until().map(seconds),
        "bancount": decision.bancount(),
        "failures": decision.failures(),
        "restored": restored,
        "matches": matches,
    });
    format!("{ban}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use stockade_core::{Ban, FailureId, JailName};

    use super::*;

    fn decision(id: &str) -> Decision {
        let ban = Ban {
            jail: JailName::try_new("web").unwrap(),
            id: FailureId::parse(id),
            at: Timestamp::from_secs(100),
            until: Some(Timestamp::from_secs(700)),
            failures: 5,
            bancount: 2,
        };
        Decision::new(&ban, [b"a line".as_slice()])
    }

    fn exec(script: &str) -> Exec {
        let argv = |verb: &str| {
            vec![
                "/bin/sh".to_owned(),
                "-c".to_owned(),
                script.to_owned(),
                "sh".to_owned(),
                verb.to_owned(),
                "<ip> <restored>".to_owned(),
            ]
        };
        let settings = ExecSettings {
            ban: argv("ban"),
            unban: Some(argv("unban")),
            timeout: std::time::Duration::from_secs(60),
            restored: true,
        };
        Exec::new(PluginName::try_new("x").unwrap(), settings)
    }

    #[test]
    fn tags_are_filled_in_once_and_unknown_ones_stay() {
        let words = ["<ip>/<jail> <bantime><family>", "<<ip>>", "<x>", "a<b"].map(str::to_owned);
        let filled = arguments(&words, &decision("192.0.2.1"), true).unwrap();
        assert_eq!(
            filled,
            ["192.0.2.1/web 600inet4", "<192.0.2.1>", "<x>", "a<b"]
        );
        let nested = arguments(&words[..1], &decision("<jail>"), true).unwrap();
        assert_eq!(nested, ["<jail>/web 600text"]);
    }

    #[test]
    fn an_id_that_looks_like_an_option_is_not_handed_over() {
        let error = arguments(&["<ip>".to_owned()], &decision("-rf"), false).unwrap_err();
        assert!(!error.retry);
    }

    #[test]
    fn what_was_missed_is_made_up_and_nothing_told_twice() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut exec = exec(&format!("echo \"$@\" >> {}", log.display()));
        let (first, second) = (decision("192.0.2.1"), decision("192.0.2.2"));
        assert_eq!(exec.reconcile(std::slice::from_ref(&first)), [Ok(())]);
        assert_eq!(exec.reconcile(std::slice::from_ref(&first)), [Ok(())]);
        assert_eq!(exec.reconcile(&[second]), [Ok(())]);
        assert_eq!(exec.apply(std::slice::from_ref(&first)), [Ok(())]);
        let told = std::fs::read_to_string(log).unwrap();
        let expected = "ban 192.0.2.1 1\nunban 192.0.2.1 0\nban 192.0.2.2 0\nban 192.0.2.1 0\n";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_failure_is_counted_and_worth_another_try() {
        let mut exec = exec("exit 1");
        let results = exec.apply(&[decision("192.0.2.1")]);
        assert!(results[0].as_ref().is_err_and(|error| error.retry));
        assert_eq!(exec.status().lock().unwrap().faults, 1);
    }

    #[test]
    fn long_matches_do_not_outgrow_the_input() {
        let ban = Ban {
            jail: JailName::try_new("web").unwrap(),
            id: FailureId::parse("192.0.2.1"),
            at: Timestamp::from_secs(100),
            until: None,
            failures: 5,
            bancount: 2,
        };
        let lines = vec![vec![1_u8; 300]; 50];
        let decision = Decision::new(&ban, lines.iter().map(Vec::as_slice));
        let input = input(&decision, false);
        assert!(input.len() <= INPUT_BYTES_MAX, "{}", input.len());
        let json: serde_json::Value = serde_json::from_slice(&input).unwrap();
        assert_eq!(json["matches"].as_array().unwrap().len(), 1);
    }
}
