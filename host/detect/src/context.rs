//! What a pattern wants to stand before and after one of its groups.

use regex_syntax::hir::{Capture, Dot, Hir, HirKind, Repetition};

/// The texts around a group on one way through a pattern: a line has the group at a place if what
/// stands before it ends in `before`, and what stands after it begins with `after`.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) before: Hir,
    pub(crate) after: Hir,
}

impl Context {
    /// Whether the way goes, or may go, through a group that `is_one`.
    pub(crate) fn passes(&self, is_one: &impl Fn(&Capture) -> bool) -> bool {
        has(&self.before, is_one) || has(&self.after, is_one)
    }

    /// The whole pattern with `text` in place of the group.
    pub(crate) fn with(&self, text: &[u8]) -> Hir {
        let text = Hir::literal(text);
        Hir::concat(vec![self.before.clone(), text, self.after.clone()])
    }
}

/// One context for each place in `hir` where a group that `is_one` stands. Of a repeated group the
/// last turn counts, as it does for what a group holds in the end.
pub(crate) fn contexts(hir: &Hir, is_one: &impl Fn(&Capture) -> bool) -> Vec<Context> {
    let mut found = Vec::new();
    collect(hir, &[], &[], is_one, &mut found);
    found
}

fn collect(
    hir: &Hir,
    before: &[Hir],
    after: &[Hir],
    is_one: &impl Fn(&Capture) -> bool,
    found: &mut Vec<Context>,
) {
    match hir.kind() {
        HirKind::Capture(capture) if is_one(capture) => found.push(Context {
            before: Hir::concat(before.to_vec()),
            after: Hir::concat(after.to_vec()),
        }),
        HirKind::Capture(capture) => collect(&capture.sub, before, after, is_one, found),
        HirKind::Repetition(repetition) if has(&repetition.sub, is_one) => {
            let turns_before = Hir::repetition(Repetition {
                min: repetition.min.saturating_sub(1),
                max: repetition.max.map(|max| max.saturating_sub(1)),
                ..repetition.clone()
            });
            let before = [before, &[turns_before]].concat();
            collect(&repetition.sub, &before, after, is_one, found);
        }
        HirKind::Concat(parts) => {
            for (i, part) in parts.iter().enumerate() {
                if !has(part, is_one) {
                    continue;
                }
                let (ahead, behind) = parts.split_at(i);
                let before = [before, ahead].concat();
                let after = [behind.get(1..).unwrap_or_default(), after].concat();
                collect(part, &before, &after, is_one, found);
            }
        }
        HirKind::Alternation(parts) => {
            for part in parts {
                collect(part, before, after, is_one, found);
            }
        }
        _ => {}
    }
}

/// Whether a group that `is_one` stands in `hir`.
pub(crate) fn has(hir: &Hir, is_one: &impl Fn(&Capture) -> bool) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) if is_one(capture) => true,
        kind => kind.subs().iter().any(|sub| has(sub, is_one)),
    }
}

/// Any part of a line.
pub(crate) fn any_text() -> Hir {
    Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: true,
        sub: Box::new(Hir::dot(Dot::AnyByteExceptLF)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_syntax::ParserBuilder;

    #[track_caller]
    fn check(pattern: &str, expected: &[&str]) {
        let parse = |text: &str| {
            let mut parser = ParserBuilder::new().utf8(false).unicode(false).build();
            parser.parse(text).unwrap()
        };
        let found = contexts(&parse(pattern), &|capture: &Capture| {
            capture.name.as_deref() == Some("id")
        });
        let with: Vec<Hir> = found.iter().map(|context| context.with(b"!")).collect();
        let expected: Vec<Hir> = expected.iter().map(|&text| parse(text)).collect();
        assert_eq!(with, expected);
    }

    #[test]
    fn each_way_to_a_group_is_a_context() {
        check("^a(?P<id>x)b$", &["^a!b$"]);
        check("a(?:b(?P<id>x)|cd)e", &["ab!e"]);
        check("a(?:b(?:(?P<id>x))?c)?d", &["ab!cd"]);
        check("abc", &[]);
    }

    #[test]
    fn the_last_turn_of_a_repeated_group_counts() {
        check("a(?:b(?P<id>x)c)+d", &["a(?:b(?P<id>x)c)*b!cd"]);
        check("(?:(?P<id>x) ){2,3}", &["(?:(?P<id>x) ){1,2}! "]);
    }
}
