//! What a regular expression of Python's `re` says, as a tree (docs.python.org/3/library/re.html).

/// A part of an expression. Flags are resolved: each part says how it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Empty,
    Literal {
        char: char,
        nocase: bool,
    },
    /// `.`
    Any {
        newline: bool,
    },
    Class {
        set: Set,
        nocase: bool,
    },
    Assert(Assert),
    /// A group, with its number if it captures.
    Group {
        number: Option<usize>,
        node: Box<Node>,
    },
    Concat(Vec<Node>),
    Alternation(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        greed: Greed,
    },
    Look {
        node: Box<Node>,
        behind: bool,
        negative: bool,
    },
    /// `(?>..)`
    Atomic(Box<Node>),
    /// The text that a group matched.
    Backreference(usize),
    /// `(?(1)yes|no)`
    Conditional {
        group: usize,
        yes: Box<Node>,
        no: Box<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assert {
    /// `\A`, and `^` of a single line.
    TextStart,
    /// `^` with MULTILINE.
    LineStart,
    /// `$`: at the end, or before a line feed there.
    TextEnd,
    /// `$` with MULTILINE.
    LineEnd,
    /// `\Z`
    VeryEnd,
    WordBoundary,
    NoWordBoundary,
    /// Not between two characters of one word.
    WordEdge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

/// `[..]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) negated: bool,
    pub(super) items: Vec<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Range(char, char),
    Kind(Kind),
}

/// `\d`, `\w`, `\s` and their opposites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) of: Characters,
    pub(super) negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Characters {
    Digit,
    Word,
    Space,
}

impl Node {
    /// The same with every node right below it replaced.
    pub(super) fn map_children(&self, replace: impl Fn(&Self) -> Self) -> Self {
        let boxed = |node: &Self| Box::new(replace(node));
        let all = |parts: &[Self]| parts.iter().map(&replace).collect();
        match self {
            Self::Group { number, node } => Self::Group {
                number: *number,
                node: boxed(node),
            },
            Self::Concat(parts) => Self::Concat(all(parts)),
            Self::Alternation(parts) => Self::Alternation(all(parts)),
            Self::Repeat {
                node,
                min,
                max,
                greed,
            } => Self::Repeat {
                node: boxed(node),
                min: *min,
                max: *max,
                greed: *greed,
            },
            Self::Look {
                node,
                behind,
                negative,
            } => Self::Look {
                node: boxed(node),
                behind: *behind,
                negative: *negative,
            },
            Self::Atomic(node) => Self::Atomic(boxed(node)),
            Self::Conditional { group, yes, no } => Self::Conditional {
                group: *group,
                yes: boxed(yes),
                no: boxed(no),
            },
            Self::Empty
            | Self::Literal { .. }
            | Self::Any { .. }
            | Self::Class { .. }
            | Self::Assert(_)
            | Self::Backreference(_) => self.clone(),
        }
    }

    /// Whether it can only be matched by going back and forth.
    pub(super) fn needs_backtracking(&self) -> bool {
        match self {
            Self::Look { .. }
            | Self::Atomic(_)
            | Self::Backreference(_)
            | Self::Conditional { .. }
            | Self::Repeat {
                greed: Greed::Possessive,
                ..
            } => true,
            Self::Group { node, .. } | Self::Repeat { node, .. } => node.needs_backtracking(),
            Self::Concat(parts) => {
                goes_on_after_the_end(parts) || parts.iter().any(Self::needs_backtracking)
            }
            Self::Alternation(parts) => parts.iter().any(Self::needs_backtracking),
            Self::Empty
            | Self::Literal { .. }
            | Self::Any { .. }
            | Self::Class { .. }
            | Self::Assert(_) => false,
        }
    }

    /// Whether it matches no text, but only a place.
    fn is_place(&self) -> bool {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } => true,
            Self::Group { node, .. } | Self::Repeat { node, .. } | Self::Atomic(node) => {
                node.is_place()
            }
            Self::Concat(parts) | Self::Alternation(parts) => parts.iter().all(Self::is_place),
            _ => false,
        }
    }
}

/// Whether something may still match after a `$`, whose line feed the linear engine takes with it.
pub(super) fn goes_on_after_the_end(parts: &[Node]) -> bool {
    let end = parts
        .iter()
        .position(|part| *part == Node::Assert(Assert::TextEnd));
    end.is_some_and(|end| parts.iter().skip(end + 1).any(|part| !part.is_place()))
}
