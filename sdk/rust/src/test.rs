//! Runs plugins natively, with a double in place of the host. Not part of a component.

use std::net::IpAddr;
use std::time::Duration;

use regex::bytes::RegexSet;

use crate::action::{Decision, Subject as Banned};
use crate::bindings::filter::exports::stockade::filter::filter as wit;
use crate::double;
use crate::filter::{Filter, Findings, Lines, Plan, Subject};
use crate::http::{Error as HttpError, Request, Response};
use crate::kv;
use crate::log::Level;
use crate::{Error, Settings, Timestamp};

/// The host hands over at most so many lines at once.
const BATCH_LINES_MAX: usize = 256;

/// Configures a filter as the host would.
///
/// # Errors
/// What `configure` refused, or a plan that the host would refuse.
pub fn filter<F: Filter>(settings: &[(&str, &str)]) -> Result<FilterRun<F>, Error> {
    let (filter, plan) = F::configure(&Settings::from(settings))?;
    FilterRun::new(filter, plan)
}

/// A filter and its plan, applied natively as the host would.
#[derive(Debug)]
pub struct FilterRun<F> {
    filter: F,
    plan: Plan,
    patterns: RegexSet,
}

/// One failure that a filter found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which line of the text it was, from 0.
    pub line: usize,
    /// Whom it is counted for.
    pub subject: Subject,
    /// The user name, where the filter found one.
    pub user: Option<Vec<u8>>,
}

impl<F: Filter> FilterRun<F> {
    fn new(filter: F, plan: Plan) -> Result<Self, Error> {
        const COUNT_MAX: usize = 256;
        const LITERAL_LEN_MAX: usize = 256;
        const PATTERN_LEN_MAX: usize = 4_096;
        if plan.literals.len() > COUNT_MAX || plan.patterns.len() > COUNT_MAX {
            return Err(Error::invalid("the plan has too many literals or patterns"));
        }
        let mut literals = plan.literals.iter();
        if !literals.all(|literal| (1..=LITERAL_LEN_MAX).contains(&literal.len())) {
            return Err(Error::invalid("a literal of the plan is empty or too long"));
        }
        if plan
            .patterns
            .iter()
            .any(|regex| regex.len() > PATTERN_LEN_MAX)
        {
            return Err(Error::invalid("a pattern of the plan is too long"));
        }
        let patterns = regex::bytes::RegexSetBuilder::new(&plan.patterns)
            .unicode(false)
            .build()
            .map_err(|cause| Error::invalid(format!("cannot compile the plan: {cause}")))?;
        Ok(Self {
            filter,
            plan,
            patterns,
        })
    }

    /// The plan that the filter made.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Judges every line of `text` that the plan does not rule out. Lines are given as a filter gets
    /// them: without their dates. Their time is what [`Host::set_now`] says.
    pub fn judge(&mut self, text: impl AsRef<[u8]>) -> Vec<Found> {
        let text = text.as_ref();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let survivors: Vec<_> = text
            .split(|byte| *byte == b'\n')
            .enumerate()
            .filter_map(|(number, line)| Some((number, line, self.pattern_of(line)?)))
            .collect();
        let mut found = Vec::new();
        for part in survivors.chunks(BATCH_LINES_MAX) {
            self.judge_batch(part, &mut found);
        }
        found
    }

    /// Index of the first pattern that matches, or nothing where the host would drop the line.
    fn pattern_of(&self, line: &[u8]) -> Option<usize> {
        let contains = |literal: &String| {
            let literal = literal.as_bytes();
            line.windows(literal.len()).any(|part| part == literal)
        };
        if !self.plan.literals.is_empty() && !self.plan.literals.iter().any(contains) {
            return None;
        }
        if self.plan.patterns.is_empty() {
            return Some(0);
        }
        self.patterns.matches(line).iter().next()
    }

    fn judge_batch(&mut self, lines: &[(usize, &[u8], usize)], found: &mut Vec<Found>) {
        let now = double::with(|host| host.now.as_micros());
        let mut batch = wit::Batch {
            text: Vec::new(),
            ends: Vec::new(),
            times: vec![now; lines.len()],
            patterns: Vec::new(),
        };
        for (_, line, pattern) in lines {
            batch.text.extend_from_slice(line);
            // A test's log of more than 4 GiB would not be a batch.
            batch
                .ends
                .push(u32::try_from(batch.text.len()).unwrap_or(u32::MAX));
            batch
                .patterns
                .push(u32::try_from(*pattern).unwrap_or(u32::MAX));
        }
        let mut findings = Findings::default();
        if let Ok(all) = Lines::of(&batch) {
            self.filter.judge_all(all, &mut findings);
        }
        for finding in findings.into_sorted() {
            let place = usize::try_from(finding.line).ok();
            let Some((number, line, _)) = place.and_then(|place| lines.get(place)) else {
                continue;
            };
            let user = finding.user.and_then(|(start, end)| {
                line.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
            });
            found.push(Found {
                line: *number,
                subject: finding.subject,
                user: user.map(<[u8]>::to_vec),
            });
        }
    }
}

/// A ban for a test: of an address, or of a text where `subject` is none. It began at the epoch, never
/// ends, has three failures and no matches; change what matters.
#[must_use]
pub fn decision(subject: &str) -> Decision {
    Decision {
        key: format!("test:{subject}"),
        jail: "test".to_owned(),
        subject: match subject.parse::<IpAddr>() {
            Ok(addr) => Banned::Network(addr.into()),
            Err(_) => Banned::Text(subject.to_owned()),
        },
        at: Timestamp::EPOCH,
        until: None,
        failures: 3,
        bancount: 1,
        matches: Vec::new(),
    }
}

/// The double that stands in for the host on this thread: reads what a plugin did, and scripts what it
/// gets.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Host;

impl Host {
    /// A double that remembers nothing: an empty store, nothing logged, 1970, no network.
    #[must_use]
    pub fn fresh() -> Self {
        double::with(|host| *host = double::Double::default());
        Self
    }

    /// Makes it `now`. The monotonic clock follows where that is later.
    pub fn set_now(self, now: Timestamp) {
        double::with(|host| {
            let step = now.as_micros().saturating_sub(host.now.as_micros());
            host.monotonic += Duration::from_micros(step);
            host.now = now;
        });
    }

    /// Lets `answer` answer every request from now on. Until then every request is denied.
    pub fn answer(self, answer: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) {
        double::with(|host| host.answer = Some(Box::new(answer)));
    }

    /// Every request that was sent, in order.
    #[must_use]
    pub fn requests(self) -> Vec<Request> {
        double::with(|host| host.requests.clone())
    }

    /// Every line that was logged, in order.
    #[must_use]
    pub fn logged(self) -> Vec<(Level, String)> {
        double::with(|host| host.logged.clone())
    }

    /// What the store holds for a key.
    #[must_use]
    pub fn stored(self, key: &str) -> Option<Vec<u8>> {
        kv::get(key).ok().flatten()
    }
}

#[cfg(test)]
mod tests;
