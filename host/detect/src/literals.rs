//! Texts of which every match of a pattern contains at least one.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Most texts for one pattern; alternatives multiply, and each costs memory in the automaton.
const SET_MAX: usize = 32;
/// Texts are cut to this length: a longer one hardly tells more, and costs memory.
const LEN_MAX: usize = 40;
/// A shorter text stands in nearly every line and saves nothing.
pub(crate) const LEN_MIN: usize = 3;

/// All strings of a finite language, or the best set of texts that any of its strings contains.
enum Info {
    Exact(Vec<Vec<u8>>),
    Needs(Option<Vec<Vec<u8>>>),
}

/// The required texts of `hir`, if there are useful ones. `breaks` says between which neighbouring
/// bytes a date may have been cut out, so that they do not stand side by side in the line.
pub(crate) fn required(hir: &Hir, breaks: fn(u8, u8) -> bool) -> Option<Vec<Vec<u8>>> {
    let set = match info(hir) {
        Info::Exact(set) => set,
        Info::Needs(set) => set?,
    };
    let mut set: Vec<Vec<u8>> = set.iter().map(|text| longest_piece(text, breaks)).collect();
    set.sort();
    set.dedup();
    useful(&set).then_some(set)
}

/// All strings that `hir` matches, if they are few and no look-around is among them.
pub(crate) fn exact(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match info(hir) {
        Info::Exact(set) if hir.properties().look_set().is_empty() => Some(set),
        _ => None,
    }
}

fn useful(set: &[Vec<u8>]) -> bool {
    !set.is_empty() && set.iter().all(|text| text.len() >= LEN_MIN)
}

pub(crate) fn longest_piece(text: &[u8], breaks: fn(u8, u8) -> bool) -> Vec<u8> {
    let mut best: &[u8] = &[];
    let mut start = 0;
    for end in 1..=text.len() {
        let broken = match text.get(end - 1..=end) {
            Some(&[a, b]) => breaks(a, b),
            _ => true,
        };
        if broken {
            let piece = text.get(start..end).unwrap_or_default();
            if piece.len() > best.len() {
                best = piece;
            }
            start = end;
        }
    }
    best.get(..LEN_MAX.min(best.len()))
        .unwrap_or_default()
        .to_vec()
}

/// How much a set is worth: its shortest text decides, then how few there are.
fn worth(set: &[Vec<u8>]) -> (usize, std::cmp::Reverse<usize>) {
    let shortest = set.iter().map(Vec::len).min().unwrap_or(0);
    (shortest.min(12), std::cmp::Reverse(set.len()))
}

fn better(a: Option<Vec<Vec<u8>>>, b: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    match (a, b) {
        (Some(a), Some(b)) if worth(&b) > worth(&a) => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}

fn info(hir: &Hir) -> Info {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Info::Exact(vec![Vec::new()]),
        HirKind::Literal(literal) => Info::Exact(vec![literal.0.to_vec()]),
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(capture) => info(&capture.sub),
        HirKind::Repetition(repetition) => of_repetition(repetition),
        HirKind::Concat(parts) => of_concat(parts),
        HirKind::Alternation(branches) => of_alternation(branches),
    }
}

fn of_class(class: &Class) -> Info {
    let mut set = Vec::new();
    match class {
        Class::Bytes(class) => {
            for range in class.iter() {
                for byte in range.start()..=range.end() {
                    set.push(vec![byte]);
                    if set.len() > 4 {
                        return Info::Needs(None);
                    }
                }
            }
        }
        Class::Unicode(class) => {
            for range in class.iter() {
                for char in range.start()..=range.end() {
                    set.push(char.to_string().into_bytes());
                    if set.len() > 4 {
                        return Info::Needs(None);
                    }
                }
            }
        }
    }
    Info::Exact(set)
}

fn of_repetition(repetition: &Repetition) -> Info {
    match (repetition.min, repetition.max) {
        (0, Some(1)) => match info(&repetition.sub) {
            Info::Exact(mut set) if set.len() < SET_MAX => {
                set.push(Vec::new());
                Info::Exact(set)
            }
            _ => Info::Needs(None),
        },
        (0, _) => Info::Needs(None),
        (1, Some(1)) => info(&repetition.sub),
        _ => Info::Needs(needs(info(&repetition.sub))),
    }
}

fn needs(info: Info) -> Option<Vec<Vec<u8>>> {
    match info {
        Info::Exact(set) => Some(set),
        Info::Needs(set) => set,
    }
}

fn of_concat(parts: &[Hir]) -> Info {
    let mut best = None;
    let mut current = vec![Vec::new()];
    let mut exact = true;
    for part in parts {
        match info(part) {
            Info::Exact(set) if set.len() * current.len() <= SET_MAX => {
                current = product(&current, &set);
            }
            other => {
                exact = false;
                // Parts that do not fit any more stand alone; the next ones begin anew.
                best = better(
                    best,
                    Some(std::mem::replace(&mut current, vec![Vec::new()])),
                );
                best = better(best, needs(other));
            }
        }
    }
    if exact {
        return Info::Exact(current);
    }
    Info::Needs(better(best, Some(current)))
}

fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut out = Vec::with_capacity(left.len() * right.len());
    for head in left {
        for tail in right {
            out.push([head.as_slice(), tail].concat());
        }
    }
    out
}

fn of_alternation(branches: &[Hir]) -> Info {
    let infos: Vec<Info> = branches.iter().map(info).collect();
    let exact = infos.iter().all(|info| matches!(info, Info::Exact(_)));
    let mut union = Vec::new();
    for info in infos {
        match needs(info) {
            Some(set) => union.extend(set),
            None => return Info::Needs(None),
        }
        if union.len() > SET_MAX {
            return Info::Needs(None);
        }
    }
    if exact {
        Info::Exact(union)
    } else {
        Info::Needs(Some(union))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::parse_plain;

    #[track_caller]
    fn check(pattern: &str, expected: &[&str]) {
        let set = required(&parse_plain(pattern).unwrap(), |a, b| {
            a == b'[' && b == b']'
        });
        let set: Vec<String> = set
            .unwrap_or_default()
            .iter()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        assert_eq!(set, expected, "{pattern}");
    }

    #[test]
    fn the_best_required_texts_are_found() {
        check(r"^Failed \S+ for .* from", &["Failed "]);
        check(
            "^Failed (?:password|none) for ",
            &["Failed none for ", "Failed password for "],
        );
        check("(?:abcd|efgh)+x*", &["abcd", "efgh"]);
        check(
            "(?i)abc",
            &["ABC", "ABc", "AbC", "Abc", "aBC", "aBc", "abC", "abc"],
        );
        check("abcd?e", &["abcde", "abce"]);
        check("(?:long text here|.*)", &[]);
        check(r"\d+ \w", &[]);
        check(r#"^- \[\] "GET"#, &[r#"] "GET"#]);
        check("[a-z]+required[0-9]", &["required"]);
    }
}
