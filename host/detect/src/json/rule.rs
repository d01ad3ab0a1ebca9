//! What is asked of the fields of an entry.

use std::net::IpAddr;

use stockade_core::FailureId;

use super::entry::{Entry, Said};
use super::path::Fields;
use super::value::Value;
use crate::error::{Fault, FieldPlace, PatternError, RulePlace};
use crate::literals;
use crate::native::{self, Match, Scratch};
use crate::pattern::{self, Parsed, Pattern};
use crate::source::{Condition, Expected};

/// Conditions that must all hold.
#[derive(Debug)]
pub(super) struct Rule {
    checks: Vec<Check>,
}

/// One of several must be so of one field.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) field: usize,
    any: Vec<Test>,
    /// Its patterns name the id.
    names_id: bool,
}

#[derive(Debug)]
enum Test {
    /// The text, byte for byte.
    Text(Vec<u8>),
    /// A number that is written so, as a number or as a string.
    Digits(String),
    Between(f64, f64),
    Boolean(&'static str),
    Pattern(Box<Pattern>, Box<Parsed>),
}

/// What a rule says of an entry.
#[derive(Debug)]
pub(super) enum Answer {
    No,
    Yes(Named),
}

/// What the patterns of a rule name.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) id: Option<FailureId>,
    /// A place in the line.
    pub(super) user: Option<(usize, usize)>,
    /// Some field of the rule can be read in two ways, or the text of one.
    pub(super) twice: bool,
    /// The addresses of the text that can be read in two ways, as far as they are known.
    pub(super) readings: Vec<IpAddr>,
}

impl Rule {
    /// Compiles the rule that stands at `place`; what is wrong goes into `errors`.
    pub(super) fn compile(
        conditions: &[Condition],
        place: impl Fn(RulePlace) -> FieldPlace,
        entry: usize,
        fields: &mut Fields,
        errors: &mut Vec<PatternError>,
    ) -> Self {
        let at = |condition, value| {
            place(RulePlace {
                entry,
                condition,
                value,
            })
        };
        let mut checks = Vec::new();
        for (i, condition) in conditions.iter().enumerate() {
            match super::field(&condition.field, fields) {
                Ok(field) => {
                    let tests = condition.any.iter().enumerate().map(|(j, expected)| {
                        Test::compile(expected)
                            .map_err(|fault| fault.in_place(at(Some(i), Some(j)).into()))
                    });
                    let (any, faults): (Vec<_>, Vec<_>) = tests.partition(Result::is_ok);
                    errors.extend(faults.into_iter().filter_map(Result::err));
                    checks.push(Check::new(field, any.into_iter().flatten().collect()));
                }
                Err(fault) => errors.push(fault.in_place(at(Some(i), None).into())),
            }
        }
        let rule = Self { checks };
        if let Err((check, fault)) = rule.names_one_id() {
            errors.push(fault.in_place(at(Some(check), None).into()));
        }
        if conditions.is_empty() {
            let fault = Fault::whole("an entry without a condition would match everything");
            errors.push(fault.in_place(at(None, None).into()));
        }
        rule
    }

    /// Whether a pattern of the rule names the id.
    pub(super) fn names_id(&self) -> bool {
        self.checks.iter().any(|check| check.names_id)
    }

    /// The id must be in one place, and in it whichever of its patterns matches.
    fn names_one_id(&self) -> Result<(), (usize, Fault)> {
        let mut before = false;
        for (i, check) in self.checks.iter().enumerate() {
            if !check.names_id {
                continue;
            }
            if before {
                return Err((
                    i,
                    Fault::whole("the id is named by the patterns of two fields"),
                ));
            }
            before = true;
            if !check.any.iter().all(Test::names_id) {
                let fault = Fault::whole("one of these names the id and another one does not");
                return Err((i, fault.hint("write two alternatives instead")));
            }
        }
        Ok(())
    }

    /// Asks the entry. Of a field that can be read in two ways either reading is enough.
    pub(super) fn ask(&self, entry: &Entry<'_>, scratch: &mut Scratch) -> Answer {
        let mut named = Named::default();
        for check in &self.checks {
            let said = entry.field(check.field);
            match check.ask(said, scratch) {
                Answer::No => return Answer::No,
                Answer::Yes(found) => {
                    named.id = named.id.or(found.id);
                    named.user = named.user.or(found.user);
                    named.twice |= said.twice || found.twice;
                    named.readings.extend(found.readings);
                }
            }
        }
        Answer::Yes(named)
    }

    /// The texts of which a line contains one if the rule holds for it.
    pub(super) fn needs(&self, fields: &Fields) -> Option<Vec<Vec<u8>>> {
        let sets = || self.checks.iter().filter_map(Check::needs);
        // Numbers tell most: a status says what became of a request, while other texts, such as the
        // name of the logger, tend to stand in every entry.
        let numbers = sets().filter(|set| set.numbers).map(|set| set.texts);
        if let Some(texts) = numbers.min_by_key(Vec::len) {
            return Some(texts);
        }
        let longest = |set: &Vec<Vec<u8>>| set.iter().map(Vec::len).min();
        let texts = sets().map(|set| set.texts).max_by_key(longest);
        let mut texts = texts.or_else(|| {
            let paths = self
                .checks
                .iter()
                .flat_map(|check| fields.path(check.field));
            let names = paths.filter_map(|name| pieces(&[name.clone().into_bytes()]));
            names.max_by_key(longest)
        })?;
        texts.push(ESCAPE.to_vec());
        Some(texts)
    }
}

impl Check {
    fn new(field: usize, any: Vec<Test>) -> Self {
        Self {
            field,
            names_id: any.iter().any(Test::names_id),
            any,
        }
    }

    fn ask(&self, said: Said<'_>, scratch: &mut Scratch) -> Answer {
        for value in said.values() {
            for test in &self.any {
                match test.ask(value, scratch) {
                    Answer::No => {}
                    answer => return answer,
                }
            }
        }
        Answer::No
    }

    fn needs(&self) -> Option<Set> {
        let sets: Option<Vec<Set>> = self.any.iter().map(Test::needs).collect();
        let sets = sets?;
        let numbers = sets.iter().all(|set| set.numbers);
        let mut texts: Vec<_> = sets.into_iter().flat_map(|set| set.texts).collect();
        texts.sort();
        texts.dedup();
        (texts.len() <= TEXTS_MAX).then_some(Set { texts, numbers })
    }
}

/// Most texts of one rule; each costs memory in the prefilter.
const TEXTS_MAX: usize = 64;

/// Texts of which a line contains one.
struct Set {
    texts: Vec<Vec<u8>>,
    /// They are numbers with what can stand before them.
    numbers: bool,
}

impl Test {
    fn compile(expected: &Expected) -> Result<Self, Fault> {
        Ok(match expected {
            Expected::Text(text) => Self::Text(text.clone().into_bytes()),
            Expected::Number(number) => Self::Digits(number.to_string()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the numbers of logs are far smaller than 2^53"
            )]
            Expected::Between(from, to) => Self::Between(*from as f64, *to as f64),
            Expected::Boolean(true) => Self::Boolean("true"),
            Expected::Boolean(false) => Self::Boolean("false"),
            Expected::Pattern(text) => {
                let (parsed, pattern) = whole_text(text)?;
                Self::Pattern(Box::new(pattern), Box::new(parsed))
            }
        })
    }

    fn names_id(&self) -> bool {
        matches!(self, Self::Pattern(pattern, _) if pattern.has_id())
    }

    fn ask(&self, value: Value<'_>, scratch: &mut Scratch) -> Answer {
        let holds = match self {
            Self::Digits(digits) => value.inside() == digits,
            Self::Boolean(word) => value.raw == *word,
            Self::Between(from, to) => {
                number(value.inside()).is_some_and(|number| (*from..=*to).contains(&number))
            }
            Self::Text(text) => value.text().is_some_and(|found| *found == **text),
            Self::Pattern(pattern, _) => return matched(pattern, value, scratch),
        };
        if holds {
            Answer::Yes(Named::default())
        } else {
            Answer::No
        }
    }

    fn needs(&self) -> Option<Set> {
        let (texts, numbers) = match self {
            Self::Digits(digits) if digits.len() + 1 >= literals::LEN_MIN => {
                // What JSON lets stand before a number; digits are never written in another way here.
                let before = [b':', b' ', b'\t', b'\r', b',', b'[', b'"'];
                let with = |byte: u8| [&[byte], digits.as_bytes()].concat();
                (before.into_iter().map(with).collect(), true)
            }
            Self::Digits(_) | Self::Between(..) | Self::Boolean(_) => return None,
            Self::Text(text) => (pieces(std::slice::from_ref(text))?, false),
            Self::Pattern(_, parsed) => {
                let required = literals::required(&parsed.hir, may_be_written_apart)?;
                (pieces(&required)?, false)
            }
        };
        Some(Set { texts, numbers })
    }
}

/// The pattern `^…$` as one about a whole text, in which a dot is any byte, also the end of a line.
/// Either end holds for all alternatives of it. `None` where one of the ends is missing.
pub(crate) fn anchored(text: &str) -> Option<String> {
    let inside = text.strip_prefix('^').and_then(|rest| {
        let inside = rest.strip_suffix('$')?;
        let escapes = inside.bytes().rev().take_while(|&b| b == b'\\').count();
        (escapes % 2 == 0).then_some(inside)
    });
    inside.map(|inside| format!("^(?s:{inside})$"))
}

fn whole_text(text: &str) -> Result<(Parsed, Pattern), Fault> {
    // As it is written, so that what is wrong has its place.
    pattern::parse(text, false)?;
    let Some(anchored) = anchored(text) else {
        return Err(
            Fault::at(text.len(), "the pattern does not end with $").hint(
                "a pattern is about the whole text of a field: ^…$; add .* where more may follow",
            ),
        );
    };
    let without_place = |fault| Fault {
        offset: None,
        ..fault
    };
    let parsed = pattern::parse(&anchored, false).map_err(without_place)?;
    let pattern = Pattern::build(&parsed, true).map_err(without_place)?;
    Ok((parsed, pattern))
}

fn matched(pattern: &Pattern, value: Value<'_>, scratch: &mut Scratch) -> Answer {
    let Some(text) = value.text() else {
        return Answer::No;
    };
    match native::find(pattern, &text, scratch) {
        Match::Miss => Answer::No,
        Match::Ambiguous(readings) => Answer::Yes(Named {
            twice: true,
            readings,
            ..Named::default()
        }),
        Match::Found { id, user } => Answer::Yes(Named {
            id,
            user: user.map(|user| value.place_of(user)),
            ..Named::default()
        }),
    }
}

/// A number as JSON has it, also where it stands in a string.
fn number(text: &str) -> Option<f64> {
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let number: f64 = text.bytes().all(numeric).then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

/// Is it only by chance that these neighbours in a text stand side by side in a string of JSON too?
/// Quotes, backslashes and slashes have an escape of their own, other characters may be written as
/// more than one byte of escape, and a question mark may stand for a byte that is no text.
fn may_be_written_apart(before: u8, after: u8) -> bool {
    let plain = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\' | b'/' | b'?');
    !plain(before) || !plain(after)
}

/// How any other writing of a plain character begins; a line with this may hold any text.
const ESCAPE: &[u8] = br"\u00";

/// The part of each of `texts` that stands in a line as it is, if no character of it is escaped.
fn pieces(texts: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let pieces = texts
        .iter()
        .map(|text| literals::longest_piece(text, may_be_written_apart));
    let pieces: Vec<_> = pieces.collect();
    let long = pieces.iter().all(|piece| piece.len() >= literals::LEN_MIN);
    long.then_some(pieces)
}
