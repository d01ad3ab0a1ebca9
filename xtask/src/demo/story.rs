//! What happens, told while it happens, and remembered.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::{ATTACKER, GOOD_HOST};
use crate::lab::clock;
use crate::say;

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A line was written to the log that stockade reads.
    Logged(String),
    /// stockade wrote a line to its own log.
    Said(String),
    /// The webhook got a document.
    Told(Value),
    /// The attacker's first packet was dropped then, or why that is not known.
    Dropped(Result<Instant, String>),
}

/// Takes events from all threads.
#[derive(Clone, Debug)]
pub(super) struct Reporter(Sender<(Instant, Event)>);

impl Reporter {
    pub(super) fn report(&self, event: Event) {
        self.report_at(clock::now(), event);
    }

    pub(super) fn report_at(&self, at: Instant, event: Event) {
        // Nobody listens once the demo ends.
        drop(self.0.send((at, event)));
    }
}

/// Everything that happened until now.
#[derive(Debug)]
pub(super) struct Story {
    begun: Instant,
    inbox: Receiver<(Instant, Event)>,
    /// Lines of the log that stockade reads, each with the time before it was written.
    pub(super) logged: Vec<(Instant, String)>,
    /// Lines of stockade's own log.
    pub(super) said: Vec<(Instant, String)>,
    /// Documents that the webhook got.
    pub(super) told: Vec<Value>,
    pub(super) dropped: Option<Result<Instant, String>>,
}

/// How often a condition is looked at while nothing happens.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Lines of each log that are shown after a failure.
const TAIL_LEN: usize = 40;

/// Lines about them are told; the others are about sshd's own start.
const CLIENTS: [&str; 2] = [ATTACKER, GOOD_HOST];

/// What is told of stockade's own log; the rest is shown only after a failure.
const TOLD_WORDS: [&str; 6] = [
    "] Found ",
    "] Ban ",
    "] Unban ",
    "already banned",
    "WARN",
    "ERROR",
];

impl Story {
    pub(super) fn new() -> (Self, Reporter) {
        let (sender, inbox) = channel();
        let story = Self {
            begun: clock::now(),
            inbox,
            logged: Vec::new(),
            said: Vec::new(),
            told: Vec::new(),
            dropped: None,
        };
        (story, Reporter(sender))
    }

    /// From now on times are shown as since now.
    pub(super) fn begin(&mut self) {
        self.begun = clock::now();
    }

    /// Takes in what happens until `condition` holds or `limit` is over; whether it holds.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> bool {
        let end = clock::now() + limit;
        loop {
            while let Ok(event) = self.inbox.try_recv() {
                self.take(event);
            }
            if condition(self) {
                return true;
            }
            if clock::now() >= end {
                return false;
            }
            match self.inbox.recv_timeout(LOOK_AGAIN) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => clock::pause(LOOK_AGAIN),
            }
        }
    }

    /// Tells what somebody does.
    pub(super) fn tell(&self, who: &str, what: impl std::fmt::Display) {
        self.tell_at(clock::now(), who, what);
    }

    pub(super) fn tell_at(&self, at: Instant, who: &str, what: impl std::fmt::Display) {
        let since = at.saturating_duration_since(self.begun).as_secs_f64();
        say(format_args!("{since:>8.3} s  {who:<9} {what}"));
    }

    /// Tells what a command printed.
    pub(super) fn show(command: &str, output: &str) {
        say(format_args!("  $ {command}"));
        for line in output.lines() {
            say(format_args!("  {line}"));
        }
        say("");
    }

    /// Whether stockade has said this of `address`.
    pub(super) fn has_said(&self, word: &str, address: &str) -> bool {
        self.count_said(word, address) > 0
    }

    pub(super) fn count_said(&self, word: &str, address: &str) -> usize {
        let wanted = format!("] {word} {address}");
        let said = |line: &str| {
            // Not a part of a longer address.
            let after = line.split_once(&wanted).map(|(_, after)| after);
            after.is_some_and(|after| after.is_empty() || after.starts_with(' '))
        };
        self.said.iter().filter(|(_, line)| said(line)).count()
    }

    /// Shows the end of both logs.
    pub(super) fn show_logs(&self) {
        for (name, lines) in [
            ("the log it reads", &self.logged),
            ("its own log", &self.said),
        ] {
            say(format_args!("\nstockade, {name}, the last lines:"));
            for (_, line) in lines.iter().skip(lines.len().saturating_sub(TAIL_LEN)) {
                say(format_args!("  {line}"));
            }
        }
    }

    fn take(&mut self, (at, event): (Instant, Event)) {
        match event {
            Event::Logged(line) => {
                let message = line
                    .split_once(": ")
                    .map_or(line.as_str(), |(_, message)| message);
                if CLIENTS.iter().any(|client| message.contains(client)) {
                    self.tell_at(at, "sshd", message);
                }
                self.logged.push((at, line));
            }
            Event::Said(line) => {
                if TOLD_WORDS.iter().any(|word| line.contains(word)) {
                    let message = line
                        .split_once("]: ")
                        .map_or(line.as_str(), |(_, text)| text);
                    self.tell_at(at, "stockade", message);
                }
                self.said.push((at, line));
            }
            Event::Told(document) => {
                self.tell_at(at, "webhook", short(&document));
                self.told.push(document);
            }
            Event::Dropped(result) => self.dropped = Some(result),
        }
    }
}

/// A document of the webhook without the lines of the log.
fn short(document: &Value) -> String {
    let mut document = document.clone();
    if let Some(matches) = document.get_mut("matches") {
        let count = matches.as_array().map_or(0, Vec::len);
        *matches = Value::String(format!("{count} lines"));
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_longer_address_does_not_count() {
        let (mut story, reporter) = Story::new();
        for line in [
            "[sshd] Ban 192.0.2.10",
            "[sshd] Found 192.0.2.1 - 2026-11-23 05:54:13",
        ] {
            reporter.report(Event::Said(line.to_owned()));
        }
        assert!(story.wait(Duration::from_secs(60), |story| story.said.len() == 2));
        assert!(!story.has_said("Ban", "192.0.2.1"));
        assert!(story.has_said("Ban", "192.0.2.10"));
        assert_eq!(story.count_said("Found", "192.0.2.1"), 1);
    }
}
