//! Back-references that are none: a group that matches one of a few characters, and is referred to
//! later, is the same as one alternative for each of the characters. Dates are written so, with the
//! same mark between all their parts, and this keeps them linear.

use super::syntax::{Item, Node, Set};

/// Most characters of such a group; each makes a copy of the expression.
const CHARS_MAX: usize = 4;

/// The same expression without the back-references that can be written out.
pub(super) fn unroll(node: Node) -> Node {
    let mut node = node;
    while let Some((number, chars)) = candidate(&node) {
        let copies = chars.iter().map(|&char| with(&node, number, char));
        node = Node::Alternation(copies.collect());
    }
    node
}

/// A group that is referred to, and the characters that it matches.
fn candidate(node: &Node) -> Option<(usize, Vec<char>)> {
    let mut groups = Vec::new();
    collect(node, &mut groups);
    groups.into_iter().find(|(number, _)| refers(node, *number))
}

/// The groups of few characters that every match goes through once.
fn collect(node: &Node, groups: &mut Vec<(usize, Vec<char>)>) {
    match node {
        Node::Group {
            number: Some(number),
            node,
        } if chars(node).is_some() => {
            groups.extend(chars(node).map(|chars| (*number, chars)));
        }
        Node::Group { node, .. } => collect(node, groups),
        Node::Concat(parts) => {
            for part in parts {
                collect(part, groups);
            }
        }
        _ => {}
    }
}

fn chars(node: &Node) -> Option<Vec<char>> {
    let Node::Class {
        set: Set {
            negated: false,
            items,
        },
        nocase: _,
    } = node
    else {
        return None;
    };
    let single = |item: &Item| match item {
        // Letters have a case, which would have to be kept.
        Item::Range(low, high) if low == high && !low.is_alphabetic() => Some(*low),
        _ => None,
    };
    let chars: Vec<char> = items.iter().map(single).collect::<Option<_>>()?;
    (!chars.is_empty() && chars.len() <= CHARS_MAX).then_some(chars)
}

fn refers(node: &Node, to: usize) -> bool {
    match node {
        Node::Backreference(number) => *number == to,
        Node::Group { node, .. }
        | Node::Repeat { node, .. }
        | Node::Look { node, .. }
        | Node::Atomic(node) => refers(node, to),
        Node::Concat(parts) | Node::Alternation(parts) => parts.iter().any(|part| refers(part, to)),
        Node::Conditional { yes, no, .. } => refers(yes, to) || refers(no, to),
        _ => false,
    }
}

/// A copy in which the group and what refers to it are just `char`.
fn with(node: &Node, to: usize, char: char) -> Node {
    let literal = Node::Literal {
        char,
        nocase: false,
    };
    match node {
        Node::Backreference(number) if *number == to => literal,
        Node::Group { number, .. } if *number == Some(to) => Node::Group {
            number: *number,
            node: Box::new(literal),
        },
        other => other.map_children(|node| with(node, to, char)),
    }
}
