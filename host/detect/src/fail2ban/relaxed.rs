//! A pattern as a linear expression that matches whenever the whole one does.

use regex_syntax::hir::Hir;

use super::expression::{ExpressionOptions, parsed, read};
use super::render::{Form, captured, render};
use super::syntax::{Assert, Greed, Node, goes_on_after_the_end};
use super::unroll::unroll;
use crate::error::Fault;

/// See [`relaxed`].
#[derive(Debug)]
pub(crate) struct Relaxed {
    /// For lines of ASCII.
    pub(crate) hir: Hir,
    /// Whether it matches no more than the pattern does.
    pub(crate) exact: bool,
    /// The names of groups and the captures of `hir` that they are; one that was unrolled is several.
    names: Vec<(String, Vec<u32>)>,
}

impl Relaxed {
    /// The names of all groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// The captures of the group with this name.
    pub(crate) fn captures(&self, name: &str) -> &[u32] {
        let mut names = self.names.iter();
        let found = names.find(|(own, _)| own == name);
        found.map_or(&[], |(_, captures)| captures)
    }
}

/// Reads `source`, a pattern with fail2ban's tags, and leaves out what is not linear.
pub(crate) fn relaxed(source: &str, options: ExpressionOptions) -> Result<Relaxed, Fault> {
    let pattern = read(source, options)?;
    let mut node = unroll(pattern.node);
    let exact = !node.needs_backtracking();
    if !exact {
        node = relax(&node);
    }
    let groups = captured(&node);
    let captures = |number: usize| {
        let own = groups.iter().enumerate();
        let own = own.filter(|(_, group)| **group == number);
        own.filter_map(|(i, _)| u32::try_from(i + 1).ok()).collect()
    };
    let names = pattern.names.into_iter();
    Ok(Relaxed {
        hir: parsed(&render(&node, Form::LinearAscii), false)?,
        exact,
        names: names
            .map(|(name, number)| (name, captures(number)))
            .collect(),
    })
}

/// `node` with something that always matches as well in place of what is not linear.
fn relax(node: &Node) -> Node {
    match node {
        Node::Look { .. } => Node::Empty,
        Node::Atomic(node) => Node::Group {
            number: None,
            node: Box::new(relax(node)),
        },
        Node::Backreference(_) => Node::Repeat {
            node: Box::new(Node::Any { newline: true }),
            min: 0,
            max: None,
            greed: Greed::Greedy,
        },
        Node::Conditional { yes, no, .. } => Node::Alternation(vec![relax(yes), relax(no)]),
        Node::Repeat {
            node,
            min,
            max,
            greed: Greed::Possessive,
        } => Node::Repeat {
            node: Box::new(relax(node)),
            min: *min,
            max: *max,
            greed: Greed::Greedy,
        },
        Node::Concat(parts) => {
            // The line feed that `$` would take belongs to what follows.
            let loose = goes_on_after_the_end(parts);
            let kept = parts
                .iter()
                .filter(|part| !(loose && **part == Node::Assert(Assert::TextEnd)));
            Node::Concat(kept.map(relax).collect())
        }
        other => other.map_children(relax),
    }
}
