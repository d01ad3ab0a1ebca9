//! Tells an HTTP endpoint about bans: a JSON document by `POST`, retried by the host.
//!
//! Settings:
//! - `url`: where to post to; its origin has to be granted.
//! - `authorization`: value of the `Authorization` header.
//! - `header.NAME`: value of a further header.
//! - `batch`: `true` posts several bans in one list; by default each is a document of its own.
//!
//! One ban is `{"event":"ban","key":…,"jail":…,"ip":…,"at":…,"until":…,"failures":…,"bancount":…,
//! "matches":[…]}`, its end the same with `"unban"`. `ip` is an address or a network; what is neither
//! comes as `id`. Times are of RFC 3339 in UTC, `until` is `null` for ever. A list is
//! `{"event":…,"part":1,"parts":1,"bans":[…]}`. At start, and when calls may have been lost, a list
//! with the event `reconcile` has all bans that are in force, without their lines.
//!
//! 2xx is success; 408, 425, 429, 5xx and a failed connection are tried again; everything else is
//! refused for good. A repeated document has the same `Idempotency-Key`.

mod document;
mod target;

use stockade_sdk::action::{Action, Decision, Outcomes};
use stockade_sdk::{Error, Settings, log};

use document::{Event, List};
use target::Target;

/// The action.
#[derive(Debug)]
pub struct Webhook {
    target: Target,
    batch: bool,
}

impl Action for Webhook {
    fn configure(settings: &Settings) -> Result<Self, Error> {
        settings.only(&["url", "authorization", "header.", "batch"])?;
        Ok(Self {
            target: Target::of(settings)?,
            batch: settings.parse("batch")?.unwrap_or(false),
        })
    }

    fn apply(&mut self, decision: &Decision) -> Result<(), Error> {
        self.tell(Event::Ban, decision)
    }

    fn revoke(&mut self, decision: &Decision) -> Result<(), Error> {
        self.tell(Event::Unban, decision)
    }

    fn apply_all(&mut self, decisions: &[Decision]) -> Outcomes {
        self.tell_all(Event::Ban, decisions)
    }

    fn revoke_all(&mut self, decisions: &[Decision]) -> Outcomes {
        self.tell_all(Event::Unban, decisions)
    }

    /// All or nothing: with a part missing, the other side cannot tell which bans are over.
    fn reconcile(&mut self, active: &[Decision]) -> Outcomes {
        let mut lists = document::lists(Event::Reconcile, active).into_iter();
        let sent = lists.try_for_each(|list| self.send(list));
        if let Err(error) = &sent
            && active.is_empty()
        {
            // There is no decision whose outcome could say so.
            log::warn(format!("cannot tell that no ban is in force: {error}"));
        }
        vec![sent; active.len()]
    }

    fn probe(&mut self) -> Result<(), Error> {
        self.target.reach()
    }
}

impl Webhook {
    fn tell(&self, event: Event, decision: &Decision) -> Result<(), Error> {
        let body = document::single(event, decision);
        // A ban and its end have the same key, but are not the same document.
        let key = format!("{}:{}", event.as_str(), decision.key);
        self.target.post(body, Some(&key))
    }

    fn tell_all(&self, event: Event, decisions: &[Decision]) -> Outcomes {
        if !self.batch || decisions.is_empty() {
            return decisions.iter().map(|one| self.tell(event, one)).collect();
        }
        let mut outcomes = Vec::with_capacity(decisions.len());
        for list in document::lists(event, decisions) {
            let len = list.len;
            outcomes.extend(std::iter::repeat_n(self.send(list), len));
        }
        outcomes
    }

    fn send(&self, list: List) -> Result<(), Error> {
        self.target.post(list.body, None)
    }
}

stockade_sdk::export!(Webhook as action);

#[cfg(test)]
mod tests;
