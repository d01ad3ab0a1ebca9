//! Captures of an anchored expression without a capturing engine, which costs ten times as much.
//!
//! An expression that begins at the beginning of the subject is cut where its groups begin and end. Each
//! part is a small automaton that says where its preferred match ends; the next part begins there. If all
//! parts match in turn, that is the match that a backtracking engine finds first: it, too, takes the
//! preferred match of the first part, unless nothing after it matches then. Where groups stand in
//! alternatives, an automaton of the alternative *and all that follows* says whether it is the one.
//! Whenever a part does not match, nothing is known, and the capturing engine is asked.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::render::{Form, render};
use super::syntax::{Assert, Greed, Node};
use crate::automaton::Dense;

/// Memory of the automata of one expression. They are made when a line needs them, so whoever writes
/// lines decides which are; beyond this the capturing engine does it, as for a larger expression.
const SIZE_MAX: usize = 1024 * 1024;

/// An expression, cut into parts.
#[derive(Debug)]
pub(super) struct Chain {
    steps: Vec<Step>,
    /// Bytes of all automata so far.
    size: AtomicUsize,
}

/// Trying what follows at every place could take time that grows with the square of the subject's length.
/// Beyond so many bytes for each of the subject's the capturing engine does it, whose time is linear.
const STEPS_PER_BYTE: usize = 8;

/// What the chain says of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Yes,
    No,
    /// Another engine has to tell.
    Unknown,
}

/// What is still to be matched.
#[derive(Clone, Debug)]
enum Item {
    Part(Arc<Node>),
    Close(usize),
}

#[derive(Debug)]
enum Step {
    Match(Made),
    Open(usize),
    Close(usize),
    Scan(Scan),
    /// The last step: the alternatives go on to the end.
    Choose(Vec<Branch>),
}

/// A repetition of one character, such as `.*`, whose end only what follows can tell.
#[derive(Debug)]
struct Scan {
    /// As much of it as there is.
    longest: Made,
    min: usize,
    /// The shortest is preferred.
    lazy: bool,
    rest: Made,
}

/// An alternative and all that follows.
#[derive(Debug)]
struct Branch {
    items: Vec<Item>,
    guard: Made,
    steps: OnceLock<Option<Vec<Step>>>,
}

/// An automaton that is made when it is needed.
#[derive(Debug)]
struct Made {
    parts: Vec<Arc<Node>>,
    every_end: bool,
    made: OnceLock<Option<Box<Dense>>>,
}

impl Made {
    fn new(parts: Vec<Arc<Node>>, every_end: bool) -> Self {
        Self {
            parts,
            every_end,
            made: OnceLock::new(),
        }
    }

    fn automaton(&self, size: &AtomicUsize) -> Option<&Dense> {
        let make = || {
            if size.load(Ordering::Relaxed) > SIZE_MAX {
                return None;
            }
            let text: String = self
                .parts
                .iter()
                .map(|part| render(part, Form::LinearAscii))
                .collect();
            let hir = super::expression::parsed(&text, false).ok()?;
            let made = if self.every_end {
                Dense::all(&hir)
            } else {
                Dense::first(&hir)
            }?;
            size.fetch_add(made.size(), Ordering::Relaxed);
            Some(Box::new(made))
        };
        self.made.get_or_init(make).as_deref()
    }
}

impl Chain {
    /// Cuts `node`; `None` where it is not bound to the beginning or has groups in repetitions.
    pub(super) fn new(node: &Node) -> Option<Self> {
        let items = items(node);
        let anchored = matches!(
            items.first(),
            Some(Item::Part(part)) if **part == Node::Assert(Assert::TextStart)
        );
        if !anchored {
            return None;
        }
        Some(Self {
            steps: steps(&items)?,
            size: AtomicUsize::new(0),
        })
    }

    /// Looks for the match in `subject`, which is ASCII, and sets the spans of its groups; that of the
    /// whole is the first.
    pub(super) fn find(&self, subject: &[u8], spans: &mut Vec<Option<(usize, usize)>>) -> Found {
        let mut run = Run {
            subject,
            size: &self.size,
            spans,
            at: 0,
        };
        match run.steps(&self.steps) {
            Some(()) => {
                let end = run.at;
                if let Some(whole) = spans.first_mut() {
                    *whole = Some((0, end));
                }
                Found::Yes
            }
            // Nothing begins as the expression does.
            None if run.at == 0 && self.begins_nowhere(subject) => Found::No,
            None => Found::Unknown,
        }
    }

    fn begins_nowhere(&self, subject: &[u8]) -> bool {
        let Some(Step::Match(first)) = self.steps.first() else {
            return false;
        };
        first
            .automaton(&self.size)
            .is_some_and(|first| first.first_end_from(subject, 0) == Ok(None))
    }
}

/// A match on its way.
struct Run<'a> {
    subject: &'a [u8],
    size: &'a AtomicUsize,
    spans: &'a mut Vec<Option<(usize, usize)>>,
    at: usize,
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step]) -> Option<()> {
        for step in steps {
            match step {
                Step::Match(part) => {
                    let automaton = part.automaton(self.size)?;
                    self.at = automaton.first_end_from(self.subject, self.at).ok()??;
                }
                Step::Scan(scan) => self.at = self.scan(scan)?,
                Step::Open(group) => *self.spans.get_mut(*group)? = Some((self.at, self.at)),
                Step::Close(group) => {
                    let (start, _) = (*self.spans.get(*group)?)?;
                    *self.spans.get_mut(*group)? = Some((start, self.at));
                }
                Step::Choose(branches) => return self.choose(branches),
            }
        }
        Some(())
    }

    /// The preferred end after which the rest matches.
    fn scan(&mut self, scan: &Scan) -> Option<usize> {
        let longest = scan.longest.automaton(self.size)?;
        let last = longest.first_end_from(self.subject, self.at).ok()??;
        let first = self.at + scan.min;
        let rest = scan.rest.automaton(self.size)?;
        let mut steps = 0;
        let mut fits = |place: usize| {
            let mut fits = false;
            let found = |_| {
                fits = true;
                false
            };
            steps += rest.ends(self.subject, place, found).ok()?;
            (steps <= STEPS_PER_BYTE * self.subject.len()).then_some(fits)
        };
        let mut places = first..=last;
        loop {
            let place = if scan.lazy {
                places.next()
            } else {
                places.next_back()
            }?;
            if fits(place)? {
                return Some(place);
            }
        }
    }

    fn choose(&mut self, branches: &[Branch]) -> Option<()> {
        let (last, others) = branches.split_last()?;
        for branch in others {
            if self.may_begin(branch) && self.fits(branch)? {
                return self.steps(branch.steps()?);
            }
        }
        // If it is not this one it is none, and nothing is known.
        self.steps(last.steps()?)
    }

    /// Whether the first part of the branch matches here, which is quickly seen.
    fn may_begin(&self, branch: &Branch) -> bool {
        let first = match branch.steps().and_then(<[Step]>::first) {
            Some(Step::Match(first)) => first.automaton(self.size),
            _ => None,
        };
        first.is_none_or(|first| first.first_end_from(self.subject, self.at) != Ok(None))
    }

    fn fits(&self, branch: &Branch) -> Option<bool> {
        let mut fits = false;
        let first = |_| {
            fits = true;
            false
        };
        let guard = branch.guard.automaton(self.size)?;
        guard.ends(self.subject, self.at, first).ok()?;
        Some(fits)
    }
}

/// The parts that follow each other.
fn items(node: &Node) -> Vec<Item> {
    match node {
        Node::Concat(parts) => parts.iter().flat_map(items).collect(),
        Node::Group { number: None, node } if has_groups(node) => items(node),
        Node::Empty => Vec::new(),
        other => vec![Item::Part(Arc::new(other.clone()))],
    }
}

fn has_groups(node: &Node) -> bool {
    match node {
        Node::Group { number, node } => number.is_some() || has_groups(node),
        Node::Repeat { node, .. } | Node::Look { node, .. } | Node::Atomic(node) => {
            has_groups(node)
        }
        Node::Concat(parts) | Node::Alternation(parts) => parts.iter().any(has_groups),
        Node::Conditional { yes, no, .. } => has_groups(yes) || has_groups(no),
        _ => false,
    }
}

fn steps(items: &[Item]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut plain: Vec<Arc<Node>> = Vec::new();
    let mut left: Vec<Item> = items.iter().rev().cloned().collect();
    let flush = |plain: &mut Vec<Arc<Node>>, steps: &mut Vec<Step>| {
        if !plain.is_empty() {
            steps.push(Step::Match(Made::new(std::mem::take(plain), false)));
        }
    };
    while let Some(item) = left.pop() {
        match item {
            Item::Close(group) => {
                flush(&mut plain, &mut steps);
                steps.push(Step::Close(group));
            }
            Item::Part(part) if !has_groups(&part) => match scan(&part, &left) {
                Some(scan) => {
                    flush(&mut plain, &mut steps);
                    steps.push(Step::Scan(scan));
                }
                None => plain.push(part),
            },
            Item::Part(part) => {
                flush(&mut plain, &mut steps);
                match &*part {
                    Node::Group {
                        number: Some(number),
                        node,
                    } => {
                        steps.push(Step::Open(*number));
                        left.push(Item::Close(*number));
                        left.extend(self::items(node).into_iter().rev());
                    }
                    other => {
                        let rest: Vec<Item> = left.iter().rev().cloned().collect();
                        steps.push(Step::Choose(branches(other, &rest)?));
                        return Some(steps);
                    }
                }
            }
        }
    }
    flush(&mut plain, &mut steps);
    Some(steps)
}

/// The part as one whose end is scanned for; `left` is what follows, the last first.
fn scan(part: &Node, left: &[Item]) -> Option<Scan> {
    let Node::Repeat {
        node,
        min,
        max: None,
        greed: greed @ (Greed::Greedy | Greed::Lazy),
    } = part
    else {
        return None;
    };
    let wide = match &**node {
        Node::Any { .. } => true,
        Node::Class { set, .. } => set.negated,
        _ => false,
    };
    let lazy = *greed == Greed::Lazy;
    let single = wide || matches!(**node, Node::Class { .. } | Node::Literal { .. });
    // What is greedy and narrow, such as `\S+`, mostly ends where it must.
    if !(wide || lazy && single) {
        return None;
    }
    let longest = Node::Repeat {
        node: node.clone(),
        min: *min,
        max: None,
        greed: Greed::Greedy,
    };
    Some(Scan {
        longest: Made::new(vec![Arc::new(longest)], false),
        min: usize::try_from(*min).ok()?,
        lazy,
        rest: Made::new(parts_of(left.iter().rev()), true),
    })
}

fn parts_of<'i>(items: impl Iterator<Item = &'i Item>) -> Vec<Arc<Node>> {
    let parts = items.filter_map(|item| match item {
        Item::Part(part) => Some(Arc::clone(part)),
        Item::Close(_) => None,
    });
    parts.collect()
}

/// The alternatives of a part, each with all that follows it.
fn branches(part: &Node, rest: &[Item]) -> Option<Vec<Branch>> {
    let branch = |node: Option<&Node>| {
        let mut all = node.map(items).unwrap_or_default();
        all.extend_from_slice(rest);
        Branch::new(all)
    };
    match part {
        Node::Alternation(nodes) => Some(nodes.iter().map(|node| branch(Some(node))).collect()),
        Node::Repeat {
            node,
            min: 0,
            max: Some(1),
            greed: Greed::Greedy,
        } => Some(vec![branch(Some(node)), branch(None)]),
        Node::Repeat {
            node,
            min: 0,
            max: Some(1),
            greed: Greed::Lazy,
        } => Some(vec![branch(None), branch(Some(node))]),
        _ => None,
    }
}

impl Branch {
    fn new(items: Vec<Item>) -> Self {
        Self {
            guard: Made::new(parts_of(items.iter()), true),
            items,
            steps: OnceLock::new(),
        }
    }

    fn steps(&self) -> Option<&[Step]> {
        let steps = self.steps.get_or_init(|| steps(&self.items));
        steps.as_deref()
    }
}
