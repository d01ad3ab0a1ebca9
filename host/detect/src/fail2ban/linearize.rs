//! Look-ahead and conditions that are none: where an expression of these can be written without them,
//! it is, so that it is matched in linear time.
//!
//! - A condition on a group that a part of the expression either has or has not, `(x)?..(?(1)a|b)` or
//!   `((x)|y)..(?(1)a|b)`, is the same as one alternative for each case: `(?:(x)..a|..b)`. What stands
//!   before the part stays in front, so that the alternatives are tried in the same order.
//! - `(?:(?!text).)*` before the same text, or before the end of the line, is everything up to the first
//!   such text, or a line without it: both are regular.

use super::syntax::{Assert, Greed, Item, Node, Set};

/// Most parts of an expression that is written out; each condition doubles what follows it.
const PARTS_MAX: usize = 4096;
/// Longest text that a look-ahead may forbid.
const TEXT_MAX: usize = 32;

/// The same expression, without the conditions and look-aheads that can be written out.
pub(super) fn linearize(node: Node) -> Node {
    match decided(&node) {
        Some(decided) if parts_of(&decided) <= PARTS_MAX => without_looks(decided),
        _ => node,
    }
}

fn parts_of(node: &Node) -> usize {
    1 + match node {
        Node::Group { node, .. }
        | Node::Repeat { node, .. }
        | Node::Look { node, .. }
        | Node::Atomic(node) => parts_of(node),
        Node::Concat(parts) | Node::Alternation(parts) => parts.iter().map(parts_of).sum(),
        Node::Conditional { yes, no, .. } => parts_of(yes) + parts_of(no),
        _ => 0,
    }
}

/// The parts that follow each other, groups that do not capture opened.
fn flat(node: &Node) -> Vec<Node> {
    match node {
        Node::Concat(parts) => parts.iter().flat_map(flat).collect(),
        Node::Group { number: None, node } if !matches!(**node, Node::Alternation(_)) => flat(node),
        Node::Empty => Vec::new(),
        other => vec![other.clone()],
    }
}

fn concat(mut parts: Vec<Node>) -> Node {
    match parts.len() {
        0 => Node::Empty,
        1 => parts.swap_remove(0),
        _ => Node::Concat(parts),
    }
}

/// The expression without conditions; `None` where it has some that cannot be decided.
fn decided(node: &Node) -> Option<Node> {
    let alternatives = match node {
        Node::Alternation(alternatives) => alternatives.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut decided: Vec<Node> = alternatives
        .iter()
        .map(|one| decide(flat(one)))
        .collect::<Option<_>>()?;
    Some(if decided.len() == 1 {
        decided.swap_remove(0)
    } else {
        Node::Alternation(decided)
    })
}

fn decide(parts: Vec<Node>) -> Option<Node> {
    let mut conditions = Vec::new();
    for part in &parts {
        conditions_of(part, &mut conditions);
    }
    let Some(&group) = conditions.first() else {
        return Some(concat(parts));
    };
    let at = parts.iter().position(|part| has_group(part, group))?;
    let (before, rest) = parts.split_at_checked(at)?;
    let (part, after) = rest.split_first()?;
    let asks = |parts: &[Node]| {
        let mut asked = Vec::new();
        parts
            .iter()
            .for_each(|part| conditions_of(part, &mut asked));
        asked.contains(&group)
    };
    // What is asked before it is known, or by the part itself, is another matter, and so is a group
    // that is there twice.
    let twice = after.iter().any(|part| has_group(part, group));
    if asks(before) || asks(std::slice::from_ref(part)) || twice {
        return None;
    }
    let mut cases = Vec::new();
    for (case, is_set) in cases_of(part, group)? {
        let mut all = vec![case];
        all.extend(after.iter().map(|part| with(part, group, is_set)));
        cases.push(decide(flat(&Node::Concat(all)))?);
    }
    let mut all = before.to_vec();
    all.push(if cases.len() == 1 {
        cases.swap_remove(0)
    } else {
        Node::Group {
            number: None,
            node: Box::new(Node::Alternation(cases)),
        }
    });
    // Conditions on other groups may be asked before.
    if asks_anything(before) {
        return None;
    }
    Some(concat(all))
}

fn asks_anything(parts: &[Node]) -> bool {
    let mut asked = Vec::new();
    parts
        .iter()
        .for_each(|part| conditions_of(part, &mut asked));
    !asked.is_empty()
}

/// The groups that conditions ask for.
fn conditions_of(node: &Node, out: &mut Vec<usize>) {
    match node {
        Node::Conditional { group, yes, no } => {
            out.push(*group);
            conditions_of(yes, out);
            conditions_of(no, out);
        }
        Node::Group { node, .. }
        | Node::Repeat { node, .. }
        | Node::Look { node, .. }
        | Node::Atomic(node) => conditions_of(node, out),
        Node::Concat(parts) | Node::Alternation(parts) => {
            parts.iter().for_each(|part| conditions_of(part, out));
        }
        _ => {}
    }
}

fn has_group(node: &Node, wanted: usize) -> bool {
    match node {
        Node::Group { number, node } => *number == Some(wanted) || has_group(node, wanted),
        Node::Repeat { node, .. } | Node::Look { node, .. } | Node::Atomic(node) => {
            has_group(node, wanted)
        }
        Node::Concat(parts) | Node::Alternation(parts) => {
            parts.iter().any(|part| has_group(part, wanted))
        }
        Node::Conditional { yes, no, .. } => has_group(yes, wanted) || has_group(no, wanted),
        _ => false,
    }
}

/// Whether every match of the node goes through the group.
fn always_has_group(node: &Node, wanted: usize) -> bool {
    match node {
        Node::Group { number, node } => *number == Some(wanted) || always_has_group(node, wanted),
        Node::Concat(parts) => parts.iter().any(|part| always_has_group(part, wanted)),
        _ => false,
    }
}

/// The cases of a part in the order in which they are tried, and whether the group is set in each.
fn cases_of(part: &Node, group: usize) -> Option<Vec<(Node, bool)>> {
    if always_has_group(part, group) {
        return Some(vec![(part.clone(), true)]);
    }
    match part {
        Node::Repeat {
            node,
            min: 0,
            max: Some(1),
            greed,
        } if always_has_group(node, group) => {
            let mut cases = vec![((**node).clone(), true), (Node::Empty, false)];
            match greed {
                Greed::Greedy => {}
                Greed::Lazy => cases.reverse(),
                Greed::Possessive => return None,
            }
            Some(cases)
        }
        Node::Alternation(branches) => branches.iter().map(|one| case(one, group)).collect(),
        Node::Group { number, node } => {
            let cases = cases_of(node, group)?.into_iter();
            let wrapped = cases.map(|(node, is_set)| {
                let node = Box::new(node);
                let number = *number;
                (Node::Group { number, node }, is_set)
            });
            Some(wrapped.collect())
        }
        _ => None,
    }
}

fn case(branch: &Node, group: usize) -> Option<(Node, bool)> {
    match (always_has_group(branch, group), has_group(branch, group)) {
        (true, _) => Some((branch.clone(), true)),
        (false, false) => Some((branch.clone(), false)),
        (false, true) => None,
    }
}

/// The node where it is known whether the group is set.
fn with(node: &Node, group: usize, is_set: bool) -> Node {
    match node {
        Node::Conditional {
            group: own,
            yes,
            no,
        } if *own == group => {
            let branch = with(if is_set { yes } else { no }, group, is_set);
            Node::Group {
                number: None,
                node: Box::new(branch),
            }
        }
        other => other.map_children(|node| with(node, group, is_set)),
    }
}

/// The node with the look-aheads of whole texts written out where that can be done.
fn without_looks(node: Node) -> Node {
    match node {
        Node::Concat(_) | Node::Group { number: None, .. } => {
            let parts = flat(&node);
            match parts.as_slice() {
                // Nothing to open: a group around alternatives.
                [Node::Group { number: None, node }] => Node::Group {
                    number: None,
                    node: Box::new(without_looks((**node).clone())),
                },
                _ => concat(without_looks_in(&parts)),
            }
        }
        Node::Group { number, node } => Node::Group {
            number,
            node: Box::new(without_looks(*node)),
        },
        Node::Alternation(parts) => {
            Node::Alternation(parts.into_iter().map(without_looks).collect())
        }
        other => other,
    }
}

fn without_looks_in(parts: &[Node]) -> Vec<Node> {
    let mut out = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let after = parts.get(i + 1..).unwrap_or_default();
        let (number, inner) = match part {
            Node::Group {
                number: Some(number),
                node,
            } => (Some(*number), flat(node)),
            other => (None, vec![other.clone()]),
        };
        let written = match inner.as_slice() {
            [one] => forbidden(one).and_then(|text| up_to(&text, after)),
            _ => None,
        };
        out.push(match (written, number) {
            (Some(written), None) => written,
            (Some(written), number) => Node::Group {
                number,
                node: Box::new(written),
            },
            (None, _) => without_looks(part.clone()),
        });
    }
    out
}

/// The text in `(?:(?!text).)*`.
fn forbidden(node: &Node) -> Option<Vec<char>> {
    let Node::Repeat {
        node,
        min: 0,
        max: None,
        greed: Greed::Greedy | Greed::Lazy,
    } = node
    else {
        return None;
    };
    match flat(node).as_slice() {
        [
            Node::Look {
                node,
                behind: false,
                negative: true,
            },
            Node::Any { newline: false },
        ] => {
            let text: Vec<char> = flat(node).iter().map(literal).collect::<Option<_>>()?;
            (!text.is_empty() && text.len() <= TEXT_MAX && !text.contains(&'\n')).then_some(text)
        }
        _ => None,
    }
}

fn literal(node: &Node) -> Option<char> {
    match node {
        Node::Literal {
            char,
            nocase: false,
        } => Some(*char),
        _ => None,
    }
}

/// What may stand before `after` without the text: `None` where that is more than a line or a text can
/// tell.
fn up_to(text: &[char], after: &[Node]) -> Option<Node> {
    let searcher = Searcher::new(text);
    let at_end = matches!(after, [Node::Assert(Assert::TextEnd | Assert::VeryEnd)]);
    if at_end {
        return Some(searcher.expression(|_| true));
    }
    let follows: Option<Vec<char>> = after.iter().take(text.len()).map(literal).collect();
    if follows.as_deref() != Some(text) {
        return None;
    }
    Some(searcher.expression(|state| searcher.finds_at_end(state)))
}

/// The automaton that looks for a text (Knuth, Morris and Pratt): its state is how many characters of
/// the text have just been read.
struct Searcher<'t> {
    text: &'t [char],
}

/// What leads from one state to others, written as an expression; `None` for nothing.
type Edges = Vec<Option<Node>>;

impl<'t> Searcher<'t> {
    fn new(text: &'t [char]) -> Self {
        Self { text }
    }

    /// The state after `char` in `state`.
    fn next(&self, state: usize, char: char) -> usize {
        let mut read: Vec<char> = self.text.get(..state).unwrap_or_default().to_vec();
        read.push(char);
        (0..=read.len().min(self.text.len()))
            .rev()
            .find(|&len| read.ends_with(self.text.get(..len).unwrap_or_default()))
            .unwrap_or(0)
    }

    /// Whether the whole text, read from `state` on, is found at its end and not before.
    fn finds_at_end(&self, mut state: usize) -> bool {
        for (i, &char) in self.text.iter().enumerate() {
            state = self.next(state, char);
            if state == self.text.len() {
                return i + 1 == self.text.len();
            }
        }
        false
    }

    /// All texts of one line, without the forbidden one, that end in a state that is accepted.
    fn expression(&self, accepts: impl Fn(usize) -> bool) -> Node {
        let count = self.text.len();
        // The last place is for the end.
        let mut edges: Vec<Edges> = (0..count).map(|state| self.edges(state)).collect();
        for (state, edges) in edges.iter_mut().enumerate() {
            edges.push(accepts(state).then_some(Node::Empty));
        }
        for gone in (1..count).rev() {
            eliminate(&mut edges, gone);
        }
        let first = edges.first().cloned().unwrap_or_default();
        let around = first.first().cloned().flatten().map(repeated);
        let end = first.last().cloned().flatten().unwrap_or(Node::Empty);
        concat(around.into_iter().chain([end]).collect())
    }

    /// Where each character leads, but for the one that makes the text whole.
    fn edges(&self, state: usize) -> Edges {
        let mut edges: Edges = vec![None; self.text.len()];
        let mut own: Vec<char> = self.text.to_vec();
        own.sort_unstable();
        own.dedup();
        let other = own.iter().copied().chain(['\n']);
        let other = Node::Class {
            set: Set {
                negated: true,
                items: other.map(|char| Item::Range(char, char)).collect(),
            },
            nocase: false,
        };
        add(&mut edges, 0, other);
        for &char in &own {
            let to = self.next(state, char);
            let literal = Node::Literal {
                char,
                nocase: false,
            };
            add(&mut edges, to, literal);
        }
        edges
    }
}

fn add(edges: &mut Edges, to: usize, node: Node) {
    if let Some(edge) = edges.get_mut(to) {
        *edge = Some(match edge.take() {
            None => node,
            Some(Node::Alternation(mut all)) => {
                all.push(node);
                Node::Alternation(all)
            }
            Some(one) => Node::Alternation(vec![one, node]),
        });
    }
}

fn repeated(node: Node) -> Node {
    Node::Repeat {
        node: Box::new(grouped(node)),
        min: 0,
        max: None,
        greed: Greed::Greedy,
    }
}

fn grouped(node: Node) -> Node {
    Node::Group {
        number: None,
        node: Box::new(node),
    }
}

/// Takes a state out: who led to it leads to where it led.
fn eliminate(edges: &mut [Edges], gone: usize) {
    let Some(own) = edges.get(gone).cloned() else {
        return;
    };
    let around = own.get(gone).cloned().flatten().map(repeated);
    for from in edges.iter_mut().take(gone) {
        let Some(into) = from.get_mut(gone).and_then(Option::take) else {
            continue;
        };
        for (to, edge) in own.iter().enumerate().filter(|(to, _)| *to != gone) {
            let Some(edge) = edge else { continue };
            let parts = [Some(into.clone()), around.clone(), Some(edge.clone())];
            let parts = parts.into_iter().flatten();
            let parts = parts.filter(|part| *part != Node::Empty).map(grouped);
            add(from, to, concat(parts.collect()));
        }
    }
}
