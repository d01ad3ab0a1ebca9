//! Lines made from a pattern, to stand for samples that nobody gave.

use std::net::IpAddr;

use regex_syntax::hir::{Capture, Class, Hir, HirKind};

use super::fields::has;
use super::patterns::{Pattern, Patterns};

/// Ways to choose among alternatives and what may be missing; each makes one line of a pattern.
const WAYS: usize = 8;

/// Lines that each failregex should match, with `addr` for the id.
pub(super) fn lines(patterns: &Patterns, addr: IpAddr) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for fail in patterns.fail.iter().flatten() {
        for way in 0..WAYS {
            let content = text(fail, way, addr, b"");
            let line = match &patterns.prefix {
                Some(Some(prefix)) if prefix.content.is_some() => text(prefix, way, addr, &content),
                Some(None) => continue,
                _ => content,
            };
            if !line.contains(&b'\n') && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// One text of `pattern`.
fn text(pattern: &Pattern, way: usize, addr: IpAddr, content: &[u8]) -> Vec<u8> {
    let addr = addr.to_string();
    let mut writer = Writer {
        pattern,
        // Odd ways leave out what may be missing.
        full: way.is_multiple_of(2),
        branch: way / 2,
        addr: addr.as_bytes(),
        content,
        out: Vec::new(),
    };
    writer.write(&pattern.hir);
    writer.out
}

struct Writer<'a> {
    pattern: &'a Pattern,
    full: bool,
    branch: usize,
    addr: &'a [u8],
    content: &'a [u8],
    out: Vec<u8>,
}

impl Writer<'_> {
    fn write(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.out.extend_from_slice(&literal.0),
            HirKind::Class(class) => self.out.push(readable(class)),
            HirKind::Capture(capture) => self.capture(capture),
            HirKind::Concat(parts) => {
                for part in parts {
                    self.write(part);
                }
            }
            HirKind::Alternation(parts) => {
                let is_id = |capture: &Capture| self.pattern.ids.contains(&capture.index);
                // The branch with the id, if one has it: the others are names and networks.
                let with_id = parts.iter().find(|part| crate::context::has(part, &is_id));
                let chosen = with_id.or_else(|| parts.get(self.branch % parts.len().max(1)));
                if let Some(part) = chosen {
                    self.write(part);
                }
            }
            HirKind::Repetition(repetition) => {
                let is_part = |capture: &Capture| {
                    self.pattern.ids.contains(&capture.index)
                        || self.pattern.content == Some(capture.index)
                };
                let wanted = crate::context::has(&repetition.sub, &is_part)
                    || self.full
                    || repetition.max.is_none();
                let min = repetition.min;
                let times = if wanted && repetition.max != Some(0) {
                    min.max(1)
                } else {
                    min
                };
                for _ in 0..times {
                    self.write(&repetition.sub);
                }
            }
        }
    }

    fn capture(&mut self, capture: &Capture) {
        if self.pattern.ids.contains(&capture.index) {
            self.out.extend_from_slice(self.addr);
        } else if self.pattern.content == Some(capture.index) {
            self.out.extend_from_slice(self.content);
        } else {
            self.write(&capture.sub);
        }
    }
}

/// A character of the class that a person can read.
fn readable(class: &Class) -> u8 {
    let mut wanted = (b'a'..=b'z').rev().chain(b'0'..=b'9').chain(b' '..=b'~');
    wanted.find(|&byte| has(class, byte)).unwrap_or(b' ')
}
