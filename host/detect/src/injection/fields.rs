//! Where the fields of a line are: what its pattern reads by a wildcard and a client could have
//! written.

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta::Regex};
use regex_syntax::hir::{Capture, Class, Hir, HirKind, Repetition};

use super::patterns::Pattern;
use crate::pattern;

/// Letters that what repeats must be able to be; fewer are numbers, hexadecimal ones among them.
const LETTERS_MIN: usize = 20;
/// Most repetitions that are no field, such as the zone of an address.
const SHORT_MAX: u32 = 16;

/// Finds the fields of lines.
#[derive(Debug)]
pub(super) struct Fields {
    regex: Regex,
    /// What each capture is, from the first.
    captures: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Id,
    Content,
    Field(Allowed),
}

/// The bytes that a field can hold.
type Allowed = Box<[bool; 256]>;

/// The parts of one line, as places in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) id: Option<(usize, usize)>,
    pub(super) content: Option<(usize, usize)>,
    pub(super) fields: Vec<Field>,
}

/// One field of a line.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) span: (usize, usize),
    /// By its pattern, or all bytes for a text that is kept: that a user name holds no blanks is
    /// easily written and seldom true.
    allowed: Allowed,
}

impl Field {
    pub(super) fn can_hold(&self, text: &[u8]) -> bool {
        text.iter()
            .all(|&byte| self.allowed.get(usize::from(byte)) == Some(&true))
    }

    pub(super) fn moved(mut self, by: impl Fn((usize, usize)) -> (usize, usize)) -> Self {
        self.span = by(self.span);
        self
    }
}

impl Fields {
    /// `None` where the expression would be too large.
    pub(super) fn of(pattern: &Pattern) -> Option<Self> {
        let mut captures = Vec::new();
        let hir = marked(&pattern.hir, (pattern, false), &mut captures);
        let regex = pattern::build(&hir, true).ok()?;
        Some(Self { regex, captures })
    }

    pub(super) fn find(&self, text: &[u8]) -> Option<Found> {
        let mut slots: Vec<Option<NonMaxUsize>> = vec![None; 2 * (self.captures.len() + 1)];
        self.regex.search_slots(&Input::new(text), &mut slots)?;
        let mut found = Found::default();
        let pairs = slots.chunks_exact(2).skip(1);
        for (part, pair) in self.captures.iter().zip(pairs) {
            let [Some(start), Some(end)] = pair else {
                continue;
            };
            let span = (start.get(), end.get());
            match part {
                Part::Id => found.id = found.id.or(Some(span)),
                Part::Content => found.content = Some(span),
                Part::Field(allowed) => found.fields.push(Field {
                    span,
                    allowed: allowed.clone(),
                }),
            }
        }
        Some(found)
    }
}

/// `hir` with captures around its parts alone.
fn marked(hir: &Hir, (pattern, kept): (&Pattern, bool), captures: &mut Vec<Part>) -> Hir {
    let inner = (pattern, kept);
    match hir.kind() {
        HirKind::Capture(own) if pattern.ids.contains(&own.index) => {
            capture(unmarked(&own.sub), Part::Id, captures)
        }
        HirKind::Capture(own) if pattern.content == Some(own.index) => {
            capture(unmarked(&own.sub), Part::Content, captures)
        }
        HirKind::Capture(own) => {
            let kept = kept || pattern.kept.contains(&own.index);
            marked(&own.sub, (pattern, kept), captures)
        }
        HirKind::Repetition(own) if is_field(own, pattern) => {
            let part = Part::Field(allowed(own, kept));
            capture(unmarked(hir), part, captures)
        }
        HirKind::Repetition(own) => Hir::repetition(Repetition {
            sub: Box::new(marked(&own.sub, inner, captures)),
            ..own.clone()
        }),
        HirKind::Concat(parts) => {
            let parts = parts.iter().map(|part| marked(part, inner, captures));
            Hir::concat(parts.collect())
        }
        HirKind::Alternation(parts) => {
            let parts = parts.iter().map(|part| marked(part, inner, captures));
            Hir::alternation(parts.collect())
        }
        _ => hir.clone(),
    }
}

fn capture(sub: Hir, part: Part, captures: &mut Vec<Part>) -> Hir {
    captures.push(part);
    Hir::capture(Capture {
        index: u32::try_from(captures.len()).unwrap_or(u32::MAX),
        name: None,
        sub: Box::new(sub),
    })
}

fn unmarked(hir: &Hir) -> Hir {
    super::patterns::replaced(hir, &|capture: &Capture| Some(unmarked(&capture.sub)))
}

/// Whether text of any length, letters among it, can stand here.
fn is_field(repetition: &Repetition, pattern: &Pattern) -> bool {
    repetition.max.is_none_or(|max| max > SHORT_MAX)
        && holds_letters(&repetition.sub)
        && !crate::context::has(&repetition.sub, &|capture: &Capture| {
            pattern.ids.contains(&capture.index) || pattern.content == Some(capture.index)
        })
}

fn allowed(repetition: &Repetition, kept: bool) -> Allowed {
    let mut allowed = Box::new([false; 256]);
    for (byte, slot) in (0..=255).zip(allowed.iter_mut()) {
        *slot = byte != b'\n' && (kept || may_hold(&repetition.sub, byte));
    }
    allowed
}

fn may_hold(hir: &Hir, byte: u8) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.contains(&byte),
        HirKind::Class(class) => has(class, byte),
        kind => kind.subs().iter().any(|sub| may_hold(sub, byte)),
    }
}

fn holds_letters(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(class) => {
            (b'a'..=b'z').filter(|&byte| has(class, byte)).count() >= LETTERS_MIN
        }
        kind => kind.subs().iter().any(holds_letters),
    }
}

/// Whether an ASCII character is of `class`.
pub(super) fn has(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => class
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(class) => class
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&char::from(byte))),
    }
}
