//! Reads a regular expression as Python's `re` does (docs.python.org/3/library/re.html).

use std::collections::BTreeMap;

use super::escape::{self, Escape};
use super::syntax::{Assert, Greed, Item, Node, Set};
use crate::error::Fault;

/// Deepest nesting of groups; reading, rendering and matching recurse.
const NEST_MAX: usize = 100;
/// Largest count in `{n,m}`; larger ones make automata that nobody can afford.
const COUNT_MAX: u32 = 1000;

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) node: Node,
    /// The names of groups and their numbers, from 1.
    pub(super) names: BTreeMap<String, usize>,
    /// How many groups capture.
    pub(super) groups: usize,
}

/// Reads `text`; `multiline` says that `^` and `$` match at every line (`re.MULTILINE`).
pub(super) fn parse(text: &str, multiline: bool) -> Result<Pattern, Fault> {
    let mut parser = Parser {
        text,
        at: 0,
        flags: Flags {
            multiline,
            ..Flags::default()
        },
        names: BTreeMap::new(),
        groups: 0,
        highest_reference: (0, 0),
        depth: 0,
    };
    parser.global_flags()?;
    let node = parser.alternation()?;
    if parser.peek() == Some(')') {
        return Err(Fault::at(
            parser.at,
            "the group that ')' closes was not opened",
        ));
    }
    let (reference, at) = parser.highest_reference;
    if reference > parser.groups {
        return Err(Fault::at(at, format!("there is no group {reference}")));
    }
    Ok(Pattern {
        node,
        names: parser.names,
        groups: parser.groups,
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    nocase: bool,
    multiline: bool,
    /// `.` matches a line feed.
    dot_all: bool,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    flags: Flags,
    names: BTreeMap<String, usize>,
    groups: usize,
    /// The largest number of a group that is referred to, and where.
    highest_reference: (usize, usize),
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn takes(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// `(?i)` at the beginning holds for the whole pattern.
    fn global_flags(&mut self) -> Result<(), Fault> {
        while let Some(letters) = lone_flags(self.rest()) {
            let at = self.at;
            self.at += letters.len() + 3;
            self.flags = set_flags(self.flags, letters, at)?;
        }
        Ok(())
    }

    fn alternation(&mut self) -> Result<Node, Fault> {
        let mut branches = vec![self.concat()?];
        while self.takes("|") {
            branches.push(self.concat()?);
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            Some(last) => {
                branches.push(last);
                Node::Alternation(branches)
            }
            None => Node::Empty,
        })
    }

    fn concat(&mut self) -> Result<Node, Fault> {
        let mut parts = Vec::new();
        while let Some(char) = self.peek() {
            if matches!(char, '|' | ')') {
                break;
            }
            let at = self.at;
            if let Some(node) = self.atom()? {
                let node = self.repeated(node, at)?;
                parts.push(node);
            }
        }
        Ok(match parts.pop() {
            None => Node::Empty,
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                Node::Concat(parts)
            }
        })
    }

    /// One part without what repeats it; `None` for a comment.
    fn atom(&mut self) -> Result<Option<Node>, Fault> {
        let at = self.at;
        let Some(char) = self.take() else {
            return Ok(None);
        };
        Ok(Some(match char {
            '(' => return self.group(at),
            '[' => self.class(at)?,
            '.' => Node::Any {
                newline: self.flags.dot_all,
            },
            '^' if self.flags.multiline => Node::Assert(Assert::LineStart),
            '^' => Node::Assert(Assert::TextStart),
            '$' if self.flags.multiline => Node::Assert(Assert::LineEnd),
            '$' => Node::Assert(Assert::TextEnd),
            '\\' => self.escape(at)?,
            '*' | '+' | '?' => return Err(Fault::at(at, "there is nothing to repeat")),
            char => self.literal(char),
        }))
    }

    fn literal(&self, char: char) -> Node {
        Node::Literal {
            char,
            nocase: self.flags.nocase,
        }
    }

    fn escape(&mut self, at: usize) -> Result<Node, Fault> {
        let (escape, len) = escape::outside_class(self.rest()).map_err(|why| Fault::at(at, why))?;
        self.at += len;
        Ok(match escape {
            Escape::Char(char) => self.literal(char),
            Escape::Kind(kind) => Node::Class {
                set: Set {
                    negated: false,
                    items: vec![Item::Kind(kind)],
                },
                nocase: false,
            },
            Escape::Assert(assert) => Node::Assert(assert),
            Escape::Reference(number) => self.refer(number, at),
        })
    }

    fn refer(&mut self, number: usize, at: usize) -> Node {
        if number > self.highest_reference.0 {
            self.highest_reference = (number, at);
        }
        Node::Backreference(number)
    }

    fn class(&mut self, start: usize) -> Result<Node, Fault> {
        let mut set = Set {
            negated: self.takes("^"),
            items: Vec::new(),
        };
        let first = self.at;
        loop {
            let at = self.at;
            if at != first && self.takes("]") {
                break;
            }
            let low = self.class_item(start)?;
            let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
            let item = match low {
                Item::Range(low, _) if is_range => {
                    self.at += 1;
                    match self.class_item(start)? {
                        Item::Range(high, _) if low <= high => Item::Range(low, high),
                        _ => return Err(Fault::at(at, "this is no range of characters")),
                    }
                }
                Item::Kind(_) if is_range => {
                    return Err(Fault::at(at, "this is no range of characters"));
                }
                item => item,
            };
            set.items.push(item);
        }
        Ok(Node::Class {
            set,
            nocase: self.flags.nocase,
        })
    }

    fn class_item(&mut self, start: usize) -> Result<Item, Fault> {
        let at = self.at;
        match self.take() {
            None => Err(Fault::at(start, "the class is not closed by ']'")),
            Some('\\') => {
                let (item, len) =
                    escape::inside_class(self.rest()).map_err(|why| Fault::at(at, why))?;
                self.at += len;
                Ok(item)
            }
            Some(char) => Ok(Item::Range(char, char)),
        }
    }

    fn repeated(&mut self, node: Node, at: usize) -> Result<Node, Fault> {
        let begin = self.at;
        let Some((min, max)) = self.counts()? else {
            return Ok(node);
        };
        if matches!(node, Node::Assert(_) | Node::Empty) {
            return Err(Fault::at(at, "there is nothing to repeat"));
        }
        if max.is_some_and(|max| max < min) {
            return Err(Fault::at(begin, "the largest count is less than the least"));
        }
        let greed = if self.takes("?") {
            Greed::Lazy
        } else if self.takes("+") {
            Greed::Possessive
        } else {
            Greed::Greedy
        };
        let again = self.at;
        if self.counts()?.is_some() {
            return Err(Fault::at(again, "what is repeated is repeated again")
                .hint("put a group (?:..) around it"));
        }
        Ok(Node::Repeat {
            node: Box::new(node),
            min,
            max,
            greed,
        })
    }

    /// `*`, `+`, `?` or `{n,m}`.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, Fault> {
        let counts = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                let Some((counts, len)) = braces(self.rest()) else {
                    return Ok(None);
                };
                let too_large = |count: u32| count > COUNT_MAX;
                if too_large(counts.0) || counts.1.is_some_and(too_large) {
                    let message = format!("a count is at most {COUNT_MAX}");
                    return Err(Fault::at(self.at, message));
                }
                self.at += len;
                return Ok(Some(counts));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(counts))
    }

    /// After `(`, which stands at `at`.
    fn group(&mut self, at: usize) -> Result<Option<Node>, Fault> {
        self.depth += 1;
        if self.depth > NEST_MAX {
            return Err(Fault::at(
                at,
                format!("groups are nested deeper than {NEST_MAX}"),
            ));
        }
        let flags = self.flags;
        let node = self.group_of_kind(at)?;
        self.flags = flags;
        self.depth -= 1;
        Ok(node)
    }

    fn group_of_kind(&mut self, at: usize) -> Result<Option<Node>, Fault> {
        // fail2ban reads `((?i)..)` and `(?:(?i)..)` as `(?i:..)`.
        let colon = usize::from(self.rest().starts_with("?:")) * 2;
        if let Some(letters) = lone_flags(self.rest().get(colon..).unwrap_or_default()) {
            self.flags = set_flags(self.flags, letters, at)?;
            self.at += colon + letters.len() + 3;
            return self.plain(at).map(Some);
        }
        if !self.takes("?") {
            self.groups += 1;
            return self.captured(self.groups, at).map(Some);
        }
        if self.takes("#") {
            let Some(len) = self.rest().find(')') else {
                return Err(Fault::at(at, "the comment (?# is not closed"));
            };
            self.at += len + 1;
            return Ok(None);
        }
        let node = if self.takes(":") {
            self.plain(at)?
        } else if self.takes(">") {
            Node::Atomic(Box::new(self.inside(at)?))
        } else if self.takes("=") {
            self.look(at, false, false)?
        } else if self.takes("!") {
            self.look(at, false, true)?
        } else if self.takes("<=") {
            self.look(at, true, false)?
        } else if self.takes("<!") {
            self.look(at, true, true)?
        } else if self.takes("P<") {
            self.named(at)?
        } else if self.takes("P=") {
            let name = self.name(')', at)?;
            match self.names.get(&name) {
                Some(&number) => self.refer(number, at),
                None => return Err(Fault::at(at, format!("there is no group named '{name}'"))),
            }
        } else if self.takes("(") {
            self.conditional(at)?
        } else {
            self.local_flags(at)?
        };
        Ok(Some(node))
    }

    /// What stands in the group, up to and with its `)`.
    fn inside(&mut self, at: usize) -> Result<Node, Fault> {
        let node = self.alternation()?;
        if self.takes(")") {
            Ok(node)
        } else {
            Err(Fault::at(at, "the group is not closed by ')'"))
        }
    }

    fn plain(&mut self, at: usize) -> Result<Node, Fault> {
        Ok(Node::Group {
            number: None,
            node: Box::new(self.inside(at)?),
        })
    }

    fn captured(&mut self, number: usize, at: usize) -> Result<Node, Fault> {
        Ok(Node::Group {
            number: Some(number),
            node: Box::new(self.inside(at)?),
        })
    }

    fn look(&mut self, at: usize, behind: bool, negative: bool) -> Result<Node, Fault> {
        Ok(Node::Look {
            node: Box::new(self.inside(at)?),
            behind,
            negative,
        })
    }

    fn named(&mut self, at: usize) -> Result<Node, Fault> {
        let name = self.name('>', at)?;
        self.groups += 1;
        let number = self.groups;
        if self.names.insert(name.clone(), number).is_some() {
            return Err(
                Fault::at(at, format!("there are two groups named '{name}'"))
                    .hint("use <F-ALT_NAME> for the second: the first that is not empty counts"),
            );
        }
        self.captured(number, at)
    }

    fn name(&mut self, end: char, at: usize) -> Result<String, Fault> {
        let name = self.rest().split(end).next().unwrap_or_default();
        let closed = self.rest().len() > name.len();
        let shaped = name.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_numeric());
        if name.is_empty() || !shaped || !closed {
            return Err(Fault::at(
                at,
                format!("'{name}' cannot be the name of a group"),
            ));
        }
        self.at += name.len() + end.len_utf8();
        Ok(name.to_owned())
    }

    /// After `(?(`.
    fn conditional(&mut self, at: usize) -> Result<Node, Fault> {
        let word = self.rest().split(')').next().unwrap_or_default();
        let group = match word.parse() {
            Ok(number) => {
                self.at += word.len() + 1;
                number
            }
            Err(_) => {
                let name = self.name(')', at)?;
                match self.names.get(&name) {
                    Some(&number) => number,
                    None => return Err(Fault::at(at, format!("there is no group named '{name}'"))),
                }
            }
        };
        self.refer(group, at);
        let yes = self.concat()?;
        let no = if self.takes("|") {
            self.concat()?
        } else {
            Node::Empty
        };
        if !self.takes(")") {
            return Err(Fault::at(
                at,
                "a condition has two branches, and is closed by ')'",
            ));
        }
        Ok(Node::Conditional {
            group,
            yes: Box::new(yes),
            no: Box::new(no),
        })
    }

    /// `i:..`, `i-s:..` after `(?`.
    fn local_flags(&mut self, at: usize) -> Result<Node, Fault> {
        let letters = self.rest().split(':').next().unwrap_or_default();
        let shaped = letters.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if letters.len() == self.rest().len() || !shaped {
            return Err(Fault::at(at, "this kind of group is not known to Python"));
        }
        self.at += letters.len() + 1;
        let (on, off) = letters.split_once('-').unwrap_or((letters, ""));
        self.flags = set_flags(self.flags, on, at)?;
        self.flags = clear_flags(self.flags, off, at)?;
        self.plain(at)
    }
}

/// The letters of `(?i)` at the beginning of `text`.
fn lone_flags(text: &str) -> Option<&str> {
    let (letters, _) = text.strip_prefix("(?")?.split_once(')')?;
    let shaped = !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_lowercase());
    shaped.then_some(letters)
}

fn set_flags(mut flags: Flags, letters: &str, at: usize) -> Result<Flags, Fault> {
    for letter in letters.chars() {
        match letter {
            'i' => flags.nocase = true,
            'm' => flags.multiline = true,
            's' => flags.dot_all = true,
            // What Python does anyway with a text.
            'u' => {}
            other => return Err(unknown_flag(other, at)),
        }
    }
    Ok(flags)
}

fn clear_flags(mut flags: Flags, letters: &str, at: usize) -> Result<Flags, Fault> {
    for letter in letters.chars() {
        match letter {
            'i' => flags.nocase = false,
            'm' => flags.multiline = false,
            's' => flags.dot_all = false,
            other => return Err(unknown_flag(other, at)),
        }
    }
    Ok(flags)
}

fn unknown_flag(letter: char, at: usize) -> Fault {
    Fault::at(at, format!("the flag '{letter}' is not supported")).hint("there are i, m, s and u")
}

/// The least and the largest count.
type Counts = (u32, Option<u32>);

/// `{n}`, `{n,}`, `{,m}` or `{n,m}` and its length; anything else is a plain `{`.
fn braces(text: &str) -> Option<(Counts, usize)> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    if inside.is_empty() || !inside.bytes().all(|b| b.is_ascii_digit() || b == b',') {
        return None;
    }
    let number = |digits: &str| digits.parse().unwrap_or(u32::MAX);
    let counts = match inside.split_once(',') {
        None => (number(inside), Some(number(inside))),
        Some((_, max)) if max.contains(',') => return None,
        Some((min, max)) => (
            if min.is_empty() { 0 } else { number(min) },
            (!max.is_empty()).then(|| number(max)),
        ),
    };
    Some((counts, inside.len() + 2))
}
