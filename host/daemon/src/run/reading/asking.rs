//! `ignorecommand`: a program of the operator's is asked before a failure is counted.
//!
//! It is asked on the thread of the jail's own reader, so that nobody else waits for it. A chunk whose
//! answers are still out when the reader is to end is given up as a whole, and read again by the next
//! one: nothing of it was counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stockade_config::IgnoreCache;
use stockade_core::{Failure, FailureId, Failures, JailName, Timestamp};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::super::Event;
use super::super::program::{self, Answer, INPUT_BYTES_MAX};
use crate::clock;

/// fail2ban's bound for a command.
const ASK_TIME_MAX: Duration = Duration::from_secs(60);
/// How much of a line or a user name a program is shown: with six bytes for each in JSON, a line and a
/// user fit into its input.
const SHOWN_BYTES_MAX: usize = 300;

/// What a jail asks.
#[derive(Clone, Debug)]
pub(in crate::run) struct Question {
    pub(in crate::run) jail: JailName,
    /// The program and its arguments, with tags.
    pub(in crate::run) argv: Vec<String>,
    pub(in crate::run) cache: Option<IgnoreCache>,
}

/// Asks for one reader.
#[derive(Debug)]
pub(super) struct Asker {
    question: Question,
    answers: Answers,
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
}

/// The reader is to end before all answers are there.
#[derive(Debug)]
pub(super) struct GivenUp;

/// Failures by whether they are counted.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) counted: Vec<Failures>,
    /// The program said that they are not to be counted.
    pub(super) spared: Vec<Failures>,
}

impl Asker {
    pub(super) fn new(question: Question, events: Sender<Event>, stop: Arc<AtomicBool>) -> Self {
        Self {
            answers: Answers::new(question.cache.as_ref()),
            question,
            events,
            stop,
        }
    }

    /// What is asked, for who asks the same beside it.
    pub(super) fn question(&self) -> Question {
        self.question.clone()
    }

    /// Sorts the failures of a chunk. `again` says that the chunk can be read again, so that it may be
    /// given up.
    pub(super) fn sort(&mut self, failures: Vec<Failures>, again: bool) -> Result<Sorted, GivenUp> {
        let mut sorted = Sorted::default();
        // What is asked once in a chunk holds for all of it, whether answers are kept or not.
        let mut in_chunk = BTreeMap::new();
        for failures in failures {
            let open = self.open(&failures)?;
            let mut counted = Vec::new();
            let mut spared = Vec::new();
            for (failure, open) in failures.items.iter().zip(open) {
                if open && self.is_spared(failure, &failures.text, &mut in_chunk, again)? {
                    spared.push(failure.clone());
                } else {
                    counted.push(failure.clone());
                }
            }
            let of = |items: Vec<Failure>| Failures {
                jail: failures.jail.clone(),
                text: Arc::clone(&failures.text),
                items: items.into(),
            };
            if !counted.is_empty() {
                sorted.counted.push(of(counted));
            }
            if !spared.is_empty() {
                sorted.spared.push(of(spared));
            }
        }
        Ok(sorted)
    }

    /// Which failures would be counted: nobody is asked for the others.
    fn open(&self, failures: &Failures) -> Result<Vec<bool>, GivenUp> {
        let (reply, told) = oneshot::channel();
        let asked = Event::WhoCounts(failures.clone(), reply);
        self.events.blocking_send(asked).map_err(|_| GivenUp)?;
        told.blocking_recv().map_err(|_| GivenUp)
    }

    fn is_spared(
        &mut self,
        failure: &Failure,
        text: &[u8],
        in_chunk: &mut BTreeMap<String, bool>,
        again: bool,
    ) -> Result<bool, GivenUp> {
        let shown = Shown::of(failure, text);
        let key = match &self.question.cache {
            Some(cache) => shown.key(&cache.key, &self.question.jail),
            None => failure.id.to_string(),
        };
        if let Some(known) = in_chunk.get(&key) {
            return Ok(*known);
        }
        let now = clock::now();
        let spared = match self.answers.get(&key, now) {
            Some(known) => known,
            None => {
                let spared = self.ask(&shown, again)?;
                self.answers.keep(key.clone(), spared, now);
                spared
            }
        };
        in_chunk.insert(key, spared);
        Ok(spared)
    }

    /// Whoever the program says nothing sensible about is counted.
    fn ask(&self, shown: &Shown<'_>, again: bool) -> Result<bool, GivenUp> {
        let jail = &self.question.jail;
        let is_stopped = || again && self.stop.load(Ordering::Acquire);
        let argv = match shown.arguments(&self.question.argv, jail) {
            Ok(argv) => argv,
            Err(why) => {
                tracing::error!("[{jail}] ignorecommand is not asked: {why}");
                return Ok(false);
            }
        };
        match program::ask(&argv, &shown.input(jail), ASK_TIME_MAX, is_stopped) {
            Ok(Answer::Yes) => Ok(true),
            Ok(Answer::No) => Ok(false),
            Ok(Answer::Stopped) => Err(GivenUp),
            Err(error) => {
                let why = crate::cli::chain(&error);
                tracing::error!(
                    "[{jail}] ignorecommand gave no answer, so the failure counts: {why}"
                );
                Ok(false)
            }
        }
    }
}

/// A failure as the program is shown it.
struct Shown<'a> {
    id: &'a FailureId,
    at: Timestamp,
    line: &'a [u8],
    user: Option<&'a [u8]>,
}

impl<'a> Shown<'a> {
    fn of(failure: &'a Failure, text: &'a [u8]) -> Self {
        Self {
            id: &failure.id,
            at: failure.at,
            line: failure.line.of(text),
            user: failure.user.map(|user| user.of(text)),
        }
    }

    fn tags(&self, jail: &JailName) -> [(&'static str, String); 4] {
        [
            ("<ip>", self.id.to_string()),
            ("<family>", program::family(self.id).to_owned()),
            ("<jail>", jail.to_string()),
            ("<time>", self.at.as_secs().to_string()),
        ]
    }

    fn arguments(&self, argv: &[String], jail: &JailName) -> Result<Vec<String>, String> {
        program::check_id(self.id)?;
        let tags = self.tags(jail);
        let words = argv.iter();
        Ok(words.map(|word| program::filled(word, &tags)).collect())
    }

    fn key(&self, key: &str, jail: &JailName) -> String {
        let [ip, family, jail, _] = self.tags(jail);
        let user = String::from_utf8_lossy(self.user.unwrap_or_default()).into_owned();
        program::filled(key, &[ip, family, jail, ("<F-USER>", user)])
    }

    /// The failure as one JSON object.
    fn input(&self, jail: &JailName) -> Vec<u8> {
        let text = |bytes: &[u8]| {
            let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
            String::from_utf8_lossy(shown).into_owned()
        };
        let failure = serde_json::json!({
            "jail": jail.as_str(),
            "ip": self.id.to_string(),
            "family": program::family(self.id),
            "time": self.at.as_secs(),
            "user": self.user.map(text),
            "line": text(self.line),
        });
        let mut input = format!("{failure}\n").into_bytes();
        input.truncate(INPUT_BYTES_MAX);
        input
    }
}

/// Answers that are remembered.
#[derive(Debug)]
struct Answers {
    known: HashMap<String, (bool, Timestamp)>,
    /// Keys by age.
    ages: VecDeque<String>,
    max_count: usize,
    max_time: Duration,
}

impl Answers {
    fn new(cache: Option<&IgnoreCache>) -> Self {
        Self {
            known: HashMap::new(),
            ages: VecDeque::new(),
            max_count: cache.map_or(0, |cache| usize::try_from(cache.max_count).unwrap_or(0)),
            max_time: cache.map_or(Duration::ZERO, |cache| cache.max_time),
        }
    }

    fn get(&self, key: &str, now: Timestamp) -> Option<bool> {
        let (answer, until) = self.known.get(key)?;
        (now < *until).then_some(*answer)
    }

    fn keep(&mut self, key: String, answer: bool, now: Timestamp) {
        if self.max_count == 0 {
            return;
        }
        let until = now.saturating_add(self.max_time);
        if self.known.insert(key.clone(), (answer, until)).is_none() {
            self.ages.push_back(key);
        }
        if self.ages.len() > self.max_count
            && let Some(oldest) = self.ages.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use stockade_core::Span;

    use super::*;

    fn failure(text: &str, id: &str, user: Option<(u32, u32)>) -> Failure {
        Failure {
            id: FailureId::parse(id),
            at: Timestamp::from_secs(100),
            line: Span {
                start: 0,
                end: u32::try_from(text.len()).unwrap(),
            },
            user: user.map(|(start, end)| Span { start, end }),
        }
    }

    fn jail() -> JailName {
        JailName::try_new("web").unwrap()
    }

    #[test]
    fn a_program_is_shown_the_failure_and_no_text_of_the_line_as_an_argument() {
        let text = "bad <ip> from 192.0.2.1";
        let failure = failure(text, "192.0.2.1", Some((4, 8)));
        let shown = Shown::of(&failure, text.as_bytes());
        let argv = ["/bin/x", "<ip>/<family>", "<jail> <time>"].map(str::to_owned);
        let filled = shown.arguments(&argv, &jail()).unwrap();
        assert_eq!(filled, ["/bin/x", "192.0.2.1/inet4", "web 100"]);
        let input: serde_json::Value = serde_json::from_slice(&shown.input(&jail())).unwrap();
        assert_eq!(
            (&input["user"], &input["line"]),
            (&"<ip>".into(), &text.into())
        );
        // A name that looks like a tag stays what it is.
        assert_eq!(shown.key("<F-USER>@<ip>", &jail()), "<ip>@192.0.2.1");
    }

    #[test]
    fn a_long_line_does_not_outgrow_the_input() {
        let text = "\u{1}".repeat(10_000);
        let failure = failure(&text, "192.0.2.1", Some((0, 10_000)));
        let shown = Shown::of(&failure, text.as_bytes());
        let input = shown.input(&jail());
        assert!(serde_json::from_slice::<serde_json::Value>(&input).is_ok());
        assert!(input.len() <= INPUT_BYTES_MAX);
    }

    #[test]
    fn an_id_that_would_be_read_as_an_option_is_not_handed_over() {
        let failure = failure("x", "-rf", None);
        let shown = Shown::of(&failure, b"x");
        assert!(shown.arguments(&["/bin/x".to_owned()], &jail()).is_err());
    }

    #[test]
    fn answers_are_kept_for_their_time_and_no_more_than_so_many() {
        let cache = IgnoreCache {
            key: "<ip>".to_owned(),
            max_count: 2,
            max_time: Duration::from_secs(60),
        };
        let mut answers = Answers::new(Some(&cache));
        let at = Timestamp::from_secs;
        for key in ["a", "b", "c"] {
            answers.keep(key.to_owned(), true, at(0));
        }
        assert_eq!(answers.get("a", at(1)), None);
        assert_eq!(answers.get("c", at(59)), Some(true));
        assert_eq!(answers.get("c", at(60)), None);
        answers.keep("c".to_owned(), false, at(60));
        assert_eq!(answers.get("c", at(61)), Some(false));
        assert_eq!((answers.known.len(), answers.ages.len()), (2, 2));
        let mut none = Answers::new(None);
        none.keep("a".to_owned(), true, at(0));
        assert_eq!(none.get("a", at(0)), None);
    }
}
