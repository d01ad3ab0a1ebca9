//! Writes an expression of Python's in the syntax of the engines that match it here.

use std::fmt::Write as _;

use super::syntax::{Assert, Characters, Greed, Item, Kind, Node, Set, goes_on_after_the_end};

/// For whom it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `regex-syntax`, for a subject of any characters.
    Linear,
    /// `regex-syntax` without Unicode, for a subject of ASCII: the same matches, much smaller.
    LinearAscii,
    /// As [`Form::Linear`], without what is not linear: matches whenever the whole expression does.
    Necessary,
    /// The same for a subject of ASCII.
    NecessaryAscii,
    /// `fancy-regex`.
    Backtracking,
}

impl Form {
    fn ascii(self) -> bool {
        matches!(self, Self::LinearAscii | Self::NecessaryAscii)
    }

    fn necessary(self) -> bool {
        matches!(self, Self::Necessary | Self::NecessaryAscii)
    }
}

/// Writes `node`. Its groups come in the order of [`captured`], but where only a necessary condition
/// is written: there none captures.
pub(super) fn render(node: &Node, form: Form) -> String {
    let mut out = String::new();
    write(&mut out, node, form);
    out
}

/// The numbers of the groups that capture, in the order in which they are written. One that was
/// unrolled comes several times.
pub(super) fn captured(node: &Node) -> Vec<usize> {
    let mut numbers = Vec::new();
    collect(node, &mut numbers);
    numbers
}

fn collect(node: &Node, numbers: &mut Vec<usize>) {
    match node {
        Node::Group { number, node } => {
            numbers.extend(*number);
            collect(node, numbers);
        }
        Node::Repeat { node, .. } | Node::Look { node, .. } | Node::Atomic(node) => {
            collect(node, numbers);
        }
        Node::Concat(parts) | Node::Alternation(parts) => {
            for part in parts {
                collect(part, numbers);
            }
        }
        Node::Conditional { yes, no, .. } => {
            collect(yes, numbers);
            collect(no, numbers);
        }
        _ => {}
    }
}

fn write(out: &mut String, node: &Node, form: Form) {
    match node {
        Node::Empty => out.push_str("(?:)"),
        Node::Literal { char, nocase } => cased(out, *nocase, |out| literal(out, *char, form)),
        Node::Any { newline: true } => out.push_str("(?s:.)"),
        Node::Any { newline: false } => out.push_str(r"[^\n]"),
        Node::Class { set, nocase } => cased(out, *nocase, |out| class(out, set, form)),
        Node::Assert(assert) => out.push_str(place(*assert, form)),
        Node::Group { number, node } => {
            let captures = number.is_some() && !form.necessary();
            out.push_str(if captures { "(" } else { "(?:" });
            write(out, node, form);
            out.push(')');
        }
        Node::Concat(parts) => concat(out, parts, form),
        Node::Alternation(parts) => {
            out.push_str("(?:");
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    out.push('|');
                }
                write(out, part, form);
            }
            out.push(')');
        }
        Node::Repeat {
            node,
            min,
            max,
            greed,
        } => repeat(out, node, (*min, *max), *greed, form),
        other => backtracking(out, other, form),
    }
}

fn concat(out: &mut String, parts: &[Node], form: Form) {
    let loose = form.necessary() && goes_on_after_the_end(parts);
    for part in parts {
        // The line feed that `$` would take here belongs to what follows.
        if !(loose && *part == Node::Assert(Assert::TextEnd)) {
            write(out, part, form);
        }
    }
}

fn repeat(out: &mut String, node: &Node, (min, max): (u32, Option<u32>), greed: Greed, form: Form) {
    let atomic = greed == Greed::Possessive && form == Form::Backtracking;
    if atomic {
        out.push_str("(?>");
    }
    out.push_str("(?:");
    write(out, node, form);
    out.push(')');
    // Writing to a String cannot fail.
    let _written = match max {
        Some(max) => write!(out, "{{{min},{max}}}"),
        None => write!(out, "{{{min},}}"),
    };
    if greed == Greed::Lazy {
        out.push('?');
    }
    if atomic {
        out.push(')');
    }
}

/// What only one engine can match; the others get something that always matches as well.
fn backtracking(out: &mut String, node: &Node, form: Form) {
    let full = form == Form::Backtracking;
    match node {
        Node::Look {
            node,
            behind,
            negative,
        } if full => {
            out.push_str(match (behind, negative) {
                (false, false) => "(?=",
                (false, true) => "(?!",
                (true, false) => "(?<=",
                (true, true) => "(?<!",
            });
            write(out, node, form);
            out.push(')');
        }
        Node::Look { .. } => out.push_str("(?:)"),
        Node::Atomic(node) => {
            out.push_str(if full { "(?>" } else { "(?:" });
            write(out, node, form);
            out.push(')');
        }
        Node::Backreference(number) if full => {
            let _written = write!(out, "(?:\\{number})");
        }
        Node::Backreference(_) => out.push_str("(?s:.*)"),
        Node::Conditional { group, yes, no } => {
            if full {
                let _written = write!(out, "(?({group})");
            } else {
                out.push_str("(?:");
            }
            write(out, yes, form);
            out.push('|');
            write(out, no, form);
            out.push(')');
        }
        _ => {}
    }
}

fn cased(out: &mut String, nocase: bool, inner: impl FnOnce(&mut String)) {
    if nocase {
        out.push_str("(?i:");
    }
    inner(out);
    if nocase {
        out.push(')');
    }
}

fn place(assert: Assert, form: Form) -> &'static str {
    match assert {
        Assert::TextStart => r"\A",
        Assert::LineStart => "(?m:^)",
        Assert::LineEnd => "(?m:$)",
        Assert::VeryEnd => r"\z",
        Assert::WordBoundary => r"\b",
        Assert::NoWordBoundary => r"\B",
        Assert::WordEdge if form == Form::Backtracking => {
            r"(?:(?<![\p{L}\p{N}_])|(?![\p{L}\p{N}_]))"
        }
        Assert::WordEdge => r"(?:\b{start-half}|\b{end-half})",
        Assert::TextEnd if form == Form::Backtracking => r"(?=\n?\z)",
        Assert::TextEnd => r"(?:\n?\z)",
    }
}

fn literal(out: &mut String, char: char, form: Form) {
    if char.is_ascii_alphanumeric()
        || matches!(
            char,
            ' ' | '_' | '"' | '\'' | ',' | ';' | ':' | '=' | '@' | '%' | '!' | '/'
        )
    {
        out.push(char);
    } else if char.is_ascii() {
        let _written = write!(out, r"\x{:02X}", u32::from(char));
    } else if form.ascii() {
        // It stands in no text of ASCII.
        out.push_str("(?-u:");
        let mut buffer = [0; 4];
        for byte in char.encode_utf8(&mut buffer).bytes() {
            let _written = write!(out, r"\x{byte:02X}");
        }
        out.push(')');
    } else {
        let _written = write!(out, r"\x{{{:X}}}", u32::from(char));
    }
}

fn class(out: &mut String, set: &Set, form: Form) {
    let mut items = String::new();
    for item in &set.items {
        match item {
            Item::Kind(kind) => items.push_str(characters(*kind, form)),
            Item::Range(low, high) => range(&mut items, *low, *high, form),
        }
    }
    // Nothing that is ASCII is in it.
    if items.is_empty() {
        items.push_str(r"[^\x00-\x7F]");
    }
    out.push_str(if set.negated { "[^" } else { "[" });
    out.push_str(&items);
    out.push(']');
}

fn range(out: &mut String, low: char, high: char, form: Form) {
    let high = if form.ascii() { high.min('\x7f') } else { high };
    if low > high {
        return;
    }
    let _written = write!(
        out,
        r"\x{{{:X}}}-\x{{{:X}}}",
        u32::from(low),
        u32::from(high)
    );
}

/// The characters that Python means; its `\s` has four more than Unicode's white space, and its `\w`
/// is letters, numbers and the underscore, without marks.
fn characters(kind: Kind, form: Form) -> &'static str {
    match (kind.of, kind.negated, form.ascii()) {
        (Characters::Digit, false, true) => "[0-9]",
        (Characters::Digit, true, true) => "[^0-9]",
        (Characters::Word, false, true) => "[0-9A-Za-z_]",
        (Characters::Word, true, true) => "[^0-9A-Za-z_]",
        (Characters::Space, false, true) => r"[\x09-\x0D\x1C-\x20]",
        (Characters::Space, true, true) => r"[^\x09-\x0D\x1C-\x20]",
        (Characters::Digit, false, false) => r"\p{Nd}",
        (Characters::Digit, true, false) => r"\P{Nd}",
        (Characters::Word, false, false) => r"[\p{L}\p{N}_]",
        (Characters::Word, true, false) => r"[^\p{L}\p{N}_]",
        (Characters::Space, false, false) => r"[\p{White_Space}\x1C-\x1F]",
        (Characters::Space, true, false) => r"[^\p{White_Space}\x1C-\x1F]",
    }
}
