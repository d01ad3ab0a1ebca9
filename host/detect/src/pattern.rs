//! One pattern, compiled: the regex, what its groups mean, and the short cuts around it.

use std::net::IpAddr;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};
use stockade_core::{FailureId, IpNet, parse_addr};

use crate::error::Fault;
use crate::readings::{LazyReadings, Other, Readings, Taken};
use crate::shape::Shape;
use crate::tags::{Group, Role, Translated, translate};

/// Longest pattern, in bytes. fail2ban's longest, after its own expansion, has about 3,000.
pub(crate) const PATTERN_LEN_MAX: usize = 16 * 1024;
/// Memory of one compiled pattern. A pattern that needs more has nested counted repetitions, and
/// its match would be slow as well; the `regex` crate's own limit is ten times this.
pub(crate) const PATTERN_SIZE_MAX: usize = 1024 * 1024;
/// Deepest nesting of groups; the parser recurses.
const NEST_MAX: u32 = 100;
/// Memory for the states that the lazy automaton of one pattern keeps; it drops them when full.
const LAZY_CACHE: usize = 512 * 1024;

/// A parsed pattern on its way to become a [`Pattern`] or a search of a plan.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) hir: Hir,
    pub(crate) translated: Translated,
}

/// Rewrites and parses `source`.
pub(crate) fn parse(source: &str, content: bool) -> Result<Parsed, Fault> {
    check_length(source)?;
    let translated = translate(source, content)?;
    let hir = parse_hir(&translated.text).map_err(|fault| Fault {
        offset: fault.offset.map(|at| translated.author_offset(at)),
        ..fault
    })?;
    Ok(Parsed { hir, translated })
}

/// Parses a pattern that is already in the syntax of the `regex` crate.
pub(crate) fn parse_plain(source: &str) -> Result<Hir, Fault> {
    check_length(source)?;
    parse_hir(source)
}

fn check_length(source: &str) -> Result<(), Fault> {
    if source.len() <= PATTERN_LEN_MAX {
        return Ok(());
    }
    Err(Fault::whole(format!(
        "the pattern has {} bytes, more than the {PATTERN_LEN_MAX} allowed",
        source.len()
    )))
}

/// Parses on bytes; only a pattern that asks for Unicode classes gets Unicode.
fn parse_hir(text: &str) -> Result<Hir, Fault> {
    let parser = |unicode| {
        ParserBuilder::new()
            .utf8(false)
            .unicode(unicode)
            .nest_limit(NEST_MAX)
            .build()
    };
    let error = match parser(false).parse(text) {
        Ok(hir) => return Ok(hir),
        Err(error) => error,
    };
    if let Ok(hir) = parser(true).parse(text) {
        return Ok(hir);
    }
    let (offset, message) = match &error {
        regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => {
            (error.span().start.offset, error.kind().to_string())
        }
        other => return Err(Fault::whole(other.to_string())),
    };
    Err(Fault::at(offset, message))
}

/// Builds the regex of `hir`.
pub(crate) fn build(hir: &Hir, captures: bool) -> Result<Regex, Fault> {
    let which = if captures {
        WhichCaptures::All
    } else {
        WhichCaptures::Implicit
    };
    let config = Regex::config()
        .utf8_empty(false)
        .match_kind(MatchKind::LeftmostFirst)
        .nfa_size_limit(Some(PATTERN_SIZE_MAX))
        .hybrid_cache_capacity(LAZY_CACHE)
        .which_captures(which);
    Regex::builder()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(limit) => Fault::whole(format!(
                "the compiled pattern needs more than the {limit} bytes allowed"
            ))
            .hint("use smaller counts in {n,m}, or none"),
            None => Fault::whole(error.to_string()),
        })
}

/// A pattern with groups that mean something.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// Slots of the groups by role, in the order in which they are tried.
    roles: Vec<(Role, usize)>,
    pub(crate) shape: Option<Shape>,
    hir: Hir,
    readings: LazyReadings,
}

/// What the groups of a match hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) id: Option<IdText>,
    pub(crate) user: Option<(usize, usize)>,
    pub(crate) content: Option<(usize, usize)>,
}

/// Where the parts of the id stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdText {
    Free(usize, usize),
    Addr {
        addr: (usize, usize),
        prefix: Option<(usize, usize)>,
    },
}

impl IdText {
    /// The id in `subject`, or `None` where the text is no address: then the line names nobody.
    pub(crate) fn read(self, subject: &[u8]) -> Option<FailureId> {
        match self {
            Self::Free(start, end) => {
                let text = subject.get(start..end)?;
                let text = String::from_utf8_lossy(text);
                Some(FailureId::parse(&text))
            }
            Self::Addr { addr, prefix } => {
                let text = subject.get(addr.0..addr.1)?;
                let mapped = text.contains(&b':') && text.contains(&b'.');
                let addr: IpAddr = parse_addr(text).ok()?;
                let Some((start, end)) = prefix else {
                    return Some(FailureId::from_addr(addr));
                };
                let len = std::str::from_utf8(subject.get(start..end)?).ok()?;
                let len: u8 = len.parse().ok()?;
                // The length of a mapped network counts the 96 bits that mapping puts in front.
                let len = if mapped && addr.is_ipv4() {
                    len.checked_sub(96)?
                } else {
                    len
                };
                IpNet::new(addr, len).ok().map(FailureId::from_net)
            }
        }
    }
}

impl Pattern {
    /// Compiles `parsed`; `shaped` says whether the short cut for one address is looked for.
    pub(crate) fn build(parsed: &Parsed, shaped: bool) -> Result<Self, Fault> {
        let regex = build(&parsed.hir, true)?;
        let shape = match &parsed.translated.address_unit {
            Some((unit, family)) if shaped && only_an_address(parsed) => {
                Shape::find(&parsed.hir, unit, *family).map(|shape| named(shape, parsed))
            }
            _ => None,
        };
        let roles = roles(&regex, &parsed.translated.groups);
        Ok(Self {
            regex,
            roles,
            shape,
            hir: parsed.hir.clone(),
            readings: LazyReadings::default(),
        })
    }

    /// Does the pattern name an id?
    pub(crate) fn has_id(&self) -> bool {
        self.roles
            .iter()
            .any(|(role, _)| matches!(role, Role::Id | Role::Addr))
    }

    /// Is there more to ask of a match than where the content stands?
    pub(crate) fn has_more_than_content(&self) -> bool {
        self.roles.iter().any(|(role, _)| *role != Role::Content)
    }

    pub(crate) fn has_user(&self) -> bool {
        self.roles
            .iter()
            .any(|(role, _)| matches!(role, Role::User | Role::AltUser))
    }

    /// Another address that `subject` can be read with than `id`, which was found in it.
    pub(crate) fn other(&self, subject: &[u8], id: IdText, found: &FailureId) -> Other {
        let addr = match found {
            FailureId::Addr(addr) => *addr,
            FailureId::Subnet(net) => net.addr(),
            FailureId::Text(_) => return Other::Nobody,
        };
        let span = match id {
            IdText::Free(start, end) => (start, end),
            IdText::Addr { addr, .. } => addr,
        };
        let taken = Taken {
            addr: Some(addr),
            span,
        };
        let ids = ids_of(&self.roles);
        self.readings
            .other(subject, taken, || Readings::of(&self.hir, &ids))
    }

    /// Matches with all groups; `slots` is scratch space.
    pub(crate) fn captures(
        &self,
        subject: &[u8],
        slots: &mut Vec<Option<NonMaxUsize>>,
    ) -> Option<Captured> {
        slots.clear();
        slots.resize(self.regex.group_info().slot_len(), None);
        self.regex.search_slots(&Input::new(subject), slots)?;
        let find = |wanted: Role| {
            self.roles
                .iter()
                .filter(|(role, _)| *role == wanted)
                .filter_map(|(_, group)| {
                    let start = slots.get(group * 2).copied().flatten()?.get();
                    let end = slots.get(group * 2 + 1).copied().flatten()?.get();
                    Some((start, end))
                })
                .find(|(start, end)| start < end)
        };
        let id = match find(Role::Id) {
            Some((start, end)) => Some(IdText::Free(start, end)),
            None => find(Role::Addr).map(|addr| IdText::Addr {
                addr,
                prefix: find(Role::Prefix),
            }),
        };
        Some(Captured {
            id,
            user: find(Role::User).or_else(|| find(Role::AltUser)),
            content: find(Role::Content),
        })
    }
}

pub(crate) fn roles(regex: &Regex, groups: &[Group]) -> Vec<(Role, usize)> {
    let info = regex.group_info();
    groups
        .iter()
        .filter_map(|group| {
            let index = info.to_index(regex_automata::PatternID::ZERO, &group.name)?;
            Some((group.role, index))
        })
        .collect()
}

/// The indexes of the groups that can hold the id, the preferred ones first.
pub(crate) fn ids_of(roles: &[(Role, usize)]) -> Vec<u32> {
    let of = |wanted| roles.iter().filter(move |(role, _)| *role == wanted);
    of(Role::Id)
        .chain(of(Role::Addr))
        .filter_map(|(_, index)| u32::try_from(*index).ok())
        .collect()
}

/// The parts of a concatenation; a pattern that is none has itself as its only part.
pub(crate) fn parts(hir: &Hir) -> Vec<&Hir> {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![hir],
    }
}

/// Is the id one address, and nothing else?
fn only_an_address(parsed: &Parsed) -> bool {
    let groups = parsed.translated.groups.iter();
    let of_id = groups.filter(|group| matches!(group.role, Role::Id | Role::Addr | Role::Prefix));
    of_id.count() == 1
}

/// Tells `shape` which group is the user name, where just one is.
fn named(mut shape: Shape, parsed: &Parsed) -> Shape {
    let users: Vec<&Group> = parsed
        .translated
        .groups
        .iter()
        .filter(|group| matches!(group.role, Role::User | Role::AltUser))
        .collect();
    if let ([user], Some((unit, _))) = (users.as_slice(), &parsed.translated.address_unit) {
        shape.name_user(&parsed.hir, &user.name, unit);
    }
    shape
}
