//! The answer to `attempt`: a failure that no log tells of.

use std::sync::Arc;

use stockade_control::{AttemptReply, ControlReply, ItemResult, Outcome};
use stockade_core::{Effect, Event, Failure, FailureId, Failures, JailName, Span, Timestamp};

use crate::clock;
use crate::run::main_loop::Daemon;

impl Daemon {
    /// Counts a failure of `text` for each of `lines`, and one where there is none.
    pub(super) async fn attempt(
        &mut self,
        jail: JailName,
        text: &str,
        lines: &[String],
    ) -> ControlReply {
        if !self.has_jail(&jail) {
            return ControlReply::unknown_jail(jail.as_str());
        }
        let id = FailureId::parse(text);
        if id.network().is_none() {
            return ControlReply::Attempt(AttemptReply {
                failures: 0,
                result: ItemResult::new(text, Outcome::NotAnAddress),
            });
        }
        let now = clock::now();
        let failures = failures(&jail, &id, lines, now);
        if self.engine.decider.may_ban(&failures) {
            self.look_before_ban(now);
        }
        let event = Event::Failures(failures);
        let effects = self.engine.decider.handle(event, now);
        let mut counted = effects.iter().filter_map(|effect| match effect {
            Effect::Found { count, .. } => Some(*count),
            _ => None,
        });
        let failures = counted.next_back().unwrap_or(0);
        let results: Vec<ItemResult> = effects.iter().filter_map(result).collect();
        let banned = |item: &&ItemResult| item.outcome == Outcome::Banned;
        let result = results.iter().find(banned).or(results.last()).cloned();
        // A ban is told of once a minute only.
        let result = result.unwrap_or_else(|| ItemResult::new(text, Outcome::AlreadyBanned));
        self.engine.take_up(effects, now);
        self.settle().await;
        ControlReply::Attempt(AttemptReply {
            failures,
            result: result.in_jail(jail.as_str()),
        })
    }
}

/// One failure for each line, and one where there is none.
fn failures(jail: &JailName, id: &FailureId, lines: &[String], at: Timestamp) -> Failures {
    let mut text = Vec::new();
    let mut items = Vec::new();
    let none = [String::new()];
    for line in if lines.is_empty() { &none } else { lines } {
        let start = text.len();
        text.extend_from_slice(line.as_bytes());
        items.push(Failure {
            id: id.clone(),
            at,
            line: span(start, text.len()),
            user: None,
        });
    }
    Failures {
        jail: jail.clone(),
        text: Arc::from(text),
        items: Arc::from(items),
    }
}

/// A request is far shorter than what a span can tell.
fn span(start: usize, end: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span {
        start: offset(start),
        end: offset(end),
    }
}

fn result(effect: &Effect) -> Option<ItemResult> {
    match effect {
        Effect::Ban { ban, .. } => Some(ItemResult::new(ban.id.to_string(), Outcome::Banned)),
        Effect::Found { id, .. } => Some(ItemResult::new(id.to_string(), Outcome::Counted)),
        Effect::Ignored { id, reason, .. } => Some(ItemResult::ignored(id.to_string(), *reason)),
        Effect::TooBroad { id, .. } => Some(
            ItemResult::new(id.to_string(), Outcome::Ignored)
                .because("it is a network of more than one owner"),
        ),
        Effect::AlreadyBanned { id, .. } | Effect::StillSeen { id, .. } => {
            Some(ItemResult::new(id.to_string(), Outcome::AlreadyBanned))
        }
        Effect::Held { id, .. } => Some(
            ItemResult::new(id.to_string(), Outcome::Held).because("too many bans within a minute"),
        ),
        Effect::TableFull { id, .. } => Some(ItemResult::new(id.to_string(), Outcome::TableFull)),
        _ => None,
    }
}
