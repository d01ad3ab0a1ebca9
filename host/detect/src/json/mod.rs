//! Filters for logs whose entries are JSON objects: fields in, failures out.
//!
//! An entry is judged by what its fields hold, never by how its text looks, so that text in one field
//! cannot stand for another field. An entry that two programs could read differently, because a name
//! stands twice in it, counts for nobody.

mod entry;
mod object;
mod path;
mod rule;
#[cfg(test)]
mod tests;
mod time;
mod value;

use std::borrow::Cow;
use std::net::IpAddr;

use stockade_core::{FailureId, Timestamp, parse_addr};

use crate::dates::DateFinder;
use crate::error::{Fault, FieldPlace, PatternError, PatternPlace, RulePlace};
use crate::filter::PATTERNS_MAX;
use crate::native::{Prefix, Scratch, Verdict};
use crate::prefilter::{Needs, bit};
use crate::source::{Condition, DatePattern, FilterSource, JsonFields};
use entry::{Entry, Said};
pub(crate) use path::parse as parse_path;
use path::{FIELDS_MAX, Fields};
pub(crate) use rule::anchored;
use rule::{Answer, Named, Rule};
use value::Value;

/// Most fields of which the first that is there names the id; services have few versions.
const IDS_MAX: usize = 8;

/// The fields of a filter and what is asked of them, compiled.
#[derive(Debug)]
pub(crate) struct Json {
    prefix: Option<Prefix>,
    /// A date may stand before the object.
    dated: bool,
    fields: Fields,
    id: Vec<usize>,
    user: Option<usize>,
    time: Option<usize>,
    failure: Vec<Rule>,
    ignore: Vec<Rule>,
    needs: Needs,
}

/// What a filter says about a line. Places are places in the line.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// When the entry was written, and where that stands.
    pub(crate) time: Option<(Timestamp, (usize, usize))>,
    /// The line holds an object that could be read.
    pub(crate) is_entry: bool,
}

impl Judged {
    const NO_ENTRY: Self = Self {
        verdict: Verdict::Missed,
        time: None,
        is_entry: false,
    };
}

impl Json {
    pub(crate) fn compile(
        source: &FilterSource,
        json: &JsonFields,
    ) -> Result<Self, Vec<PatternError>> {
        let mut errors = misplaced(source);
        let mut fields = Fields::default();
        let mut number = |text: &String, place| match field(text, &mut fields) {
            Ok(field) => Some(field),
            Err(fault) => {
                errors.push(fault.in_place(PatternPlace::Field(place)));
                None
            }
        };
        let ids = json.id.iter().take(IDS_MAX).enumerate();
        let id = ids
            .filter_map(|(i, text)| number(text, FieldPlace::Id(i)))
            .collect();
        let user = json.user.as_ref();
        let user = user.and_then(|text| number(text, FieldPlace::User));
        let time = json.time.as_ref();
        let time = time.and_then(|text| number(text, FieldPlace::Time));
        let failure = rules(&json.failure, FieldPlace::Failure, &mut fields, &mut errors);
        let ignore = rules(&json.ignore, FieldPlace::Ignore, &mut fields, &mut errors);
        let prefix = source.prefregex.as_deref();
        let prefix = prefix.and_then(|text| match Prefix::compile(text) {
            Ok(prefix) if !prefix.has_more_than_content() => Some(prefix),
            Ok(_) => {
                let fault = Fault::whole("only <F-CONTENT> has a meaning in this prefregex")
                    .hint("name the fields that hold the id and the user");
                errors.push(fault.in_place(PatternPlace::Prefregex));
                None
            }
            Err(fault) => {
                errors.push(fault.in_place(PatternPlace::Prefregex));
                None
            }
        });
        errors.extend(check_counts(json));
        errors.extend(nameless(json, &failure));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            prefix,
            dated: source.datepattern == DatePattern::Default,
            needs: needs(&failure, &fields),
            fields,
            id,
            user,
            time,
            failure,
            ignore,
        })
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Judges `line`. `candidates` says which alternatives can match at all, see [`bit`].
    pub(crate) fn judge(
        &self,
        line: &[u8],
        candidates: u64,
        scratch: &mut Scratch,
        dates: &mut DateFinder,
    ) -> Judged {
        let line = readable(line);
        let ask = self.dated.then_some(&mut *dates);
        let Some(place) = object::find(&line, self.prefix.as_ref(), scratch, ask) else {
            return Judged::NO_ENTRY;
        };
        let text = line.get(place.start..place.end).unwrap_or_default();
        let Ok(entry) = Entry::read(&self.fields, text, place.start) else {
            return Judged::NO_ENTRY;
        };
        let verdict = self.verdict(&entry, candidates, scratch);
        let own = self.time.and_then(|field| {
            let value = entry.field(field).first?;
            Some((time::read(value, dates)?, value.place()))
        });
        let before = place.date.map(|date| (date.at, (date.start, date.end)));
        Judged {
            verdict,
            time: own.or(before),
            is_entry: true,
        }
    }

    fn verdict(&self, entry: &Entry<'_>, candidates: u64, scratch: &mut Scratch) -> Verdict {
        let rules = self.failure.iter().enumerate();
        for (pattern, rule) in rules.filter(|(i, _)| candidates & bit(*i) != 0) {
            let Answer::Yes(named) = rule.ask(entry, scratch) else {
                continue;
            };
            let Some(verdict) = self.named(pattern, rule, named, entry) else {
                continue;
            };
            let ignored = self.ignore.iter();
            let ignored = ignored.map(|rule| rule.ask(entry, scratch));
            let ignored = ignored
                .enumerate()
                .find(|(_, answer)| matches!(answer, Answer::Yes(_)));
            return match ignored {
                Some((pattern, _)) => Verdict::Ignored { pattern },
                None => verdict,
            };
        }
        Verdict::Missed
    }

    /// The verdict on an entry for which a rule holds; `None` where nobody is named.
    fn named(
        &self,
        pattern: usize,
        rule: &Rule,
        named: Named,
        entry: &Entry<'_>,
    ) -> Option<Verdict> {
        let said = |field: Option<usize>| field.map(|f| entry.field(f)).unwrap_or_default();
        let user = said(self.user);
        let mut twice = named.twice || user.twice || said(self.time).twice;
        let mut readings = named.readings;
        let id = if rule.names_id() {
            named.id
        } else {
            let (id, in_two_ways) = self.id(entry, &mut readings);
            twice |= in_two_ways;
            id
        };
        if twice {
            if let Some(FailureId::Addr(addr)) = id
                && !readings.contains(&addr)
            {
                readings.push(addr);
            }
            // A line that names nobody however it is read is a line like any other.
            return (!readings.is_empty()).then_some(Verdict::Ambiguous { pattern, readings });
        }
        let whole = user.first.filter(|value| value.text().is_some());
        Some(Verdict::Matched {
            pattern,
            id: id?,
            user: named.user.or_else(|| whole.map(Value::place)),
        })
    }

    /// The address in the first field that is there, and whether that can be read in two ways;
    /// `readings` gets its addresses then.
    fn id(&self, entry: &Entry<'_>, readings: &mut Vec<IpAddr>) -> (Option<FailureId>, bool) {
        let mut twice = false;
        for &field in &self.id {
            let said: Said<'_> = entry.field(field);
            twice |= said.twice;
            if twice {
                readings.extend(said.values().filter_map(addr));
            }
            match said.first.filter(|value| !value.is_null()) {
                Some(value) => return (addr(value).map(FailureId::from_addr), twice),
                None => continue,
            }
        }
        (None, twice)
    }
}

/// The number of the field that `text` names.
fn field(text: &str, fields: &mut Fields) -> Result<usize, Fault> {
    let path = path::parse(text)?;
    fields.number(&path).ok_or_else(|| {
        Fault::whole(format!(
            "more than the {FIELDS_MAX} different fields allowed"
        ))
    })
}

fn rules(
    list: &[Vec<Condition>],
    place: fn(RulePlace) -> FieldPlace,
    fields: &mut Fields,
    errors: &mut Vec<PatternError>,
) -> Vec<Rule> {
    let list = list.iter().take(PATTERNS_MAX).enumerate();
    list.map(|(i, conditions)| Rule::compile(conditions, place, i, fields, errors))
        .collect()
}

/// What has a meaning for other filters only.
fn misplaced(source: &FilterSource) -> Vec<PatternError> {
    let mut errors = Vec::new();
    let mut wrong = |place, message: &str| errors.push(Fault::whole(message).in_place(place));
    if !source.failregex.is_empty() {
        let message = "entries of JSON are judged by their fields, not by a failregex";
        wrong(PatternPlace::Failregex(0), message);
    }
    if !source.ignoreregex.is_empty() {
        let message = "entries of JSON are judged by their fields, not by an ignoreregex";
        wrong(PatternPlace::Ignoreregex(0), message);
    }
    if matches!(source.datepattern, DatePattern::Templates(_)) {
        let message = "a filter of JSON entries names the field that holds the time";
        wrong(PatternPlace::Datepattern(0), message);
    }
    errors
}

fn check_counts(json: &JsonFields) -> Option<PatternError> {
    let whole = RulePlace {
        entry: PATTERNS_MAX,
        condition: None,
        value: None,
    };
    let too_many = || Fault::whole(format!("more than the {PATTERNS_MAX} alternatives allowed"));
    let (fault, place) = if json.failure.is_empty() {
        let fault = Fault::whole("the filter says nowhere what a failure is");
        (fault, FieldPlace::Failure(RulePlace { entry: 0, ..whole }))
    } else if json.failure.len() > PATTERNS_MAX {
        (too_many(), FieldPlace::Failure(whole))
    } else if json.ignore.len() > PATTERNS_MAX {
        (too_many(), FieldPlace::Ignore(whole))
    } else if json.id.len() > IDS_MAX {
        let fault = Fault::whole(format!("more than the {IDS_MAX} fields allowed"));
        (fault, FieldPlace::Id(IDS_MAX))
    } else {
        return None;
    };
    Some(fault.in_place(PatternPlace::Field(place)))
}

/// The alternatives that name nobody.
fn nameless(json: &JsonFields, failure: &[Rule]) -> Vec<PatternError> {
    if !json.id.is_empty() {
        return Vec::new();
    }
    let rules = failure
        .iter()
        .enumerate()
        .filter(|(_, rule)| !rule.names_id());
    let fault = |(entry, _): (usize, &Rule)| {
        let place = FieldPlace::Failure(RulePlace {
            entry,
            condition: None,
            value: None,
        });
        Fault::whole("nothing says who it was")
            .hint("name the field with the address: id = \"…\", or write <ADDR> into a pattern")
            .in_place(PatternPlace::Field(place))
    };
    rules.map(fault).collect()
}

fn needs(failure: &[Rule], fields: &Fields) -> Needs {
    let mut texts = Vec::new();
    for (i, rule) in failure.iter().enumerate() {
        let Some(set) = rule.needs(fields) else {
            return Needs::Every;
        };
        texts.extend(set.into_iter().map(|text| (text, bit(i))));
    }
    Needs::Texts(texts)
}

/// The line as text of the same length: bytes that are none become question marks, so that nobody
/// makes an entry unreadable with one.
fn readable(line: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(line) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(text)
}

/// The address that is the whole text of a field: alone, with a zone, or with a port behind it, in
/// brackets then if it is an IPv6 one.
fn addr(value: Value<'_>) -> Option<IpAddr> {
    if !value.is_string() {
        return None;
    }
    let text = value.text()?;
    let text = std::str::from_utf8(&text).ok()?;
    let without_zone = |text: &str| {
        let addr = text.split_once('%').map_or(text, |(addr, _)| addr);
        parse_addr(addr.as_bytes())
            .ok()
            .filter(|_| addr.len() == text.len() || addr.contains(':'))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (addr, port) = rest.split_once(']')?;
        return without_zone(addr).filter(|_| port.is_empty() || is_port(port));
    }
    if let Some(addr) = without_zone(text) {
        return Some(addr);
    }
    let (addr, _) = text.split_once(':')?;
    let port = text.get(addr.len()..)?;
    parse_addr(addr.as_bytes()).ok().filter(|_| is_port(port))
}

/// `:4711`
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').unwrap_or_default();
    digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()
}
