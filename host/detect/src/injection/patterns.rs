//! The patterns of a filter, in either dialect, as expressions whose groups are known.

use regex_syntax::hir::{Capture, Hir, HirKind};

use crate::fail2ban::{self, ExpressionOptions};
use crate::pattern;
use crate::source::{Dialect, FilterSource};
use crate::tags::Role;

/// A pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// What lines it matches: exactly these, or more where it is not `exact`.
    pub(super) hir: Hir,
    /// Whether look-around and the like were left out of `hir`.
    pub(super) exact: bool,
    /// The captures that can hold the id, the preferred ones first.
    pub(super) ids: Vec<u32>,
    /// The capture of `<F-CONTENT>`.
    pub(super) content: Option<u32>,
    /// The captures of texts that are kept, such as user names: somebody outside chose them.
    pub(super) kept: Vec<u32>,
}

/// The patterns of a filter; `None` for one that cannot be looked at.
#[derive(Debug)]
pub(super) struct Patterns {
    pub(super) prefix: Option<Option<Pattern>>,
    pub(super) fail: Vec<Option<Pattern>>,
}

impl Patterns {
    pub(super) fn of(source: &FilterSource) -> Self {
        let fail = source.failregex.iter();
        Self {
            prefix: source
                .prefregex
                .as_ref()
                .map(|text| read(source, text, true)),
            fail: fail.map(|text| read(source, text, false)).collect(),
        }
    }
}

fn read(source: &FilterSource, text: &str, content: bool) -> Option<Pattern> {
    match source.dialect {
        Dialect::Native => native(text, content),
        // What several lines say is not decided on one.
        Dialect::Fail2ban if source.maxlines > 1 => None,
        Dialect::Fail2ban => of_fail2ban(source, text),
    }
}

fn native(text: &str, content: bool) -> Option<Pattern> {
    let parsed = pattern::parse(text, content).ok()?;
    let of = |wanted| {
        let groups = parsed.translated.groups.iter();
        let groups = groups.filter(move |group| group.role == wanted);
        groups.filter_map(|group| index(&parsed.hir, &group.name))
    };
    Some(Pattern {
        exact: true,
        ids: of(Role::Id).chain(of(Role::Addr)).collect(),
        content: of(Role::Content).next(),
        kept: of(Role::User).chain(of(Role::AltUser)).collect(),
        hir: parsed.hir.clone(),
    })
}

/// The number of the capture with this name.
fn index(hir: &Hir, name: &str) -> Option<u32> {
    match hir.kind() {
        HirKind::Capture(capture) if capture.name.as_deref() == Some(name) => Some(capture.index),
        kind => kind.subs().iter().find_map(|sub| index(sub, name)),
    }
}

fn of_fail2ban(source: &FilterSource, text: &str) -> Option<Pattern> {
    let options = ExpressionOptions {
        host_names: source.host_names,
        multiline: false,
    };
    let relaxed = fail2ban::relaxed(text, options).ok()?;
    let ids = ["fid", "ip4", "ip6"].iter();
    Some(Pattern {
        exact: relaxed.exact,
        ids: ids
            .flat_map(|name| relaxed.captures(name))
            .copied()
            .collect(),
        content: relaxed.captures("content").first().copied(),
        kept: relaxed
            .names()
            .filter(|name| !MEANT.contains(name))
            .flat_map(|name| relaxed.captures(name))
            .copied()
            .collect(),
        hir: relaxed.hir,
    })
}

/// Names of groups in fail2ban's dialect that are no text of somebody outside.
const MEANT: [&str; 10] = [
    "fid",
    "ip4",
    "ip6",
    "dns",
    "cidr",
    "content",
    "mlfid",
    "nofail",
    "mlfforget",
    "mlfgained",
];

/// What stands in a capture.
pub(super) fn inside(hir: &Hir, index: u32) -> Option<&Hir> {
    match hir.kind() {
        HirKind::Capture(capture) if capture.index == index => Some(&capture.sub),
        kind => kind.subs().iter().find_map(|sub| inside(sub, index)),
    }
}

/// `hir` with every capture replaced by what `becomes` makes of it; `None` leaves it as it is.
pub(super) fn replaced(hir: &Hir, becomes: &impl Fn(&Capture) -> Option<Hir>) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(|part| replaced(part, becomes)).collect();
    match hir.kind() {
        HirKind::Capture(capture) => becomes(capture).unwrap_or_else(|| {
            Hir::capture(Capture {
                sub: Box::new(replaced(&capture.sub, becomes)),
                ..capture.clone()
            })
        }),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(replaced(&repetition.sub, becomes));
            Hir::repetition(regex_syntax::hir::Repetition {
                sub,
                ..repetition.clone()
            })
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        _ => hir.clone(),
    }
}
