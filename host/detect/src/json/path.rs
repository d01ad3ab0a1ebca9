//! Where a field stands in an entry: `request.headers.Authorization.0`.

use crate::error::Fault;

/// Longest path, in parts; reading an entry goes no deeper.
pub(crate) const PATH_PARTS_MAX: usize = 16;
/// Most different fields of one filter, so that a word of bits holds those of one object.
pub(crate) const FIELDS_MAX: usize = 64;

/// Takes a path apart: dots stand between its parts, `\.` is a dot and `\\` a backslash in a name.
pub(crate) fn parse(text: &str) -> Result<Vec<String>, Fault> {
    let mut parts = vec![String::new()];
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        let char = match char {
            '.' => {
                parts.push(String::new());
                continue;
            }
            '\\' => match chars.next() {
                Some((_, escaped @ ('.' | '\\'))) => escaped,
                _ => {
                    return Err(
                        Fault::at(at, "a backslash stands before nothing it could mean")
                            .hint(r"write \. for a dot in a name and \\ for a backslash"),
                    );
                }
            },
            char => char,
        };
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    if parts.iter().any(String::is_empty) {
        return Err(Fault::whole("a part of the path is empty")
            .hint(r"a dot leads into an object; a dot in a name is written \."));
    }
    if parts.len() > PATH_PARTS_MAX {
        return Err(Fault::whole(format!(
            "the path has {} parts, more than the {PATH_PARTS_MAX} allowed",
            parts.len()
        )));
    }
    Ok(parts)
}

/// All fields that a filter names, as a tree of their parts.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) root: Node,
    paths: Vec<Vec<String>>,
}

/// An object or array with fields that are named, or such a field.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The number of the field, where a path ends here.
    pub(super) field: Option<usize>,
    pub(super) children: Vec<Child>,
}

/// A part of a path and what follows it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    /// The same as a place in an array.
    pub(super) index: Option<usize>,
    pub(super) node: Node,
}

impl Fields {
    /// The number of the field at `path`, which is a new one where nobody has named it yet; `None`
    /// where there would be too many.
    pub(super) fn number(&mut self, path: &[String]) -> Option<usize> {
        if let Some(known) = self.paths.iter().position(|known| known == path) {
            return Some(known);
        }
        if self.paths.len() == FIELDS_MAX {
            return None;
        }
        let number = self.paths.len();
        let mut node = &mut self.root;
        for part in path {
            node = node.child(part);
        }
        node.field = Some(number);
        self.paths.push(path.to_vec());
        Some(number)
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn path(&self, number: usize) -> &[String] {
        self.paths.get(number).map_or(&[], Vec::as_slice)
    }
}

impl Node {
    fn child(&mut self, name: &str) -> &mut Self {
        let at = match self.children.iter().position(|child| child.name == name) {
            Some(at) => at,
            None => {
                self.children.push(Child {
                    name: name.to_owned(),
                    index: name
                        .parse()
                        .ok()
                        .filter(|at: &usize| at.to_string() == name),
                    node: Self::default(),
                });
                self.children.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or made just above")]
        &mut self.children[at].node
    }

    /// Calls `each` with every field that is named in or below this node.
    pub(super) fn each_field(&self, each: &mut impl FnMut(usize)) {
        if let Some(field) = self.field {
            each(field);
        }
        for child in &self.children {
            child.node.each_field(each);
        }
    }
}
