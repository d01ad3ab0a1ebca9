//! Reading the fields that a filter names from the text of one object.
//!
//! What nobody named is skipped, however deep it is nested, and costs no memory. A name that stands
//! twice in one object is two readings: programs differ in which of them they take.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::path::{Fields, Node};
use super::value::Value;

/// What an entry says of one field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) first: Option<Value<'a>>,
    /// The first value that differs from it.
    pub(super) second: Option<Value<'a>>,
    /// It can be read in two ways, one of which may be that it is not there.
    pub(super) twice: bool,
}

impl<'a> Said<'a> {
    pub(super) fn values(self) -> impl Iterator<Item = Value<'a>> {
        self.first.into_iter().chain(self.second)
    }

    fn add(&mut self, value: Value<'a>) {
        match self.first {
            None => self.first = Some(value),
            Some(first) if first.same(value) => {}
            Some(_) => {
                self.twice = true;
                self.second.get_or_insert(value);
            }
        }
    }
}

/// The fields of one entry, by their numbers.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    fields: Vec<Said<'a>>,
}

impl<'a> Entry<'a> {
    /// Reads the object that is the whole of `text`, which begins at `at` in its line.
    pub(super) fn read(
        fields: &Fields,
        text: &'a str,
        at: usize,
    ) -> Result<Self, serde_json::Error> {
        let mut entry = Self {
            fields: vec![Said::default(); fields.len()],
        };
        read_into(&fields.root, text, (text, at), &mut entry)?;
        Ok(entry)
    }

    pub(super) fn field(&self, number: usize) -> Said<'a> {
        self.fields.get(number).copied().unwrap_or_default()
    }
}

/// Reads the object or array `raw`; `whole` is the text of the entry and where it begins in the line.
fn read_into<'a>(
    node: &Node,
    raw: &'a str,
    whole: (&'a str, usize),
    entry: &mut Entry<'a>,
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(raw);
    let reader = Reader { node, whole, entry };
    if raw.starts_with('[') {
        json.deserialize_seq(reader)?;
    } else {
        json.deserialize_map(reader)?;
    }
    json.end()
}

/// Reads one object or array.
struct Reader<'r, 'a> {
    node: &'r Node,
    whole: (&'a str, usize),
    entry: &'r mut Entry<'a>,
}

impl<'a> Reader<'_, 'a> {
    /// Takes the value of the child with this number in.
    fn take<E: Error>(&mut self, child: usize, raw: &'a str) -> Result<(), E> {
        let Some(child) = self.node.children.get(child) else {
            return Ok(());
        };
        let (text, at) = self.whole;
        let value = Value {
            raw,
            // A part of the text that was read, without a copy between.
            at: at + (raw.as_ptr().addr() - text.as_ptr().addr()),
        };
        if let Some(said) = child
            .node
            .field
            .and_then(|field| self.entry.fields.get_mut(field))
        {
            said.add(value);
        }
        if !child.node.children.is_empty() && raw.starts_with(['{', '[']) {
            read_into(&child.node, raw, self.whole, self.entry).map_err(E::custom)?;
        }
        Ok(())
    }

    /// The child with this number stands in the object once more.
    fn again(&mut self, child: usize) {
        let Some(child) = self.node.children.get(child) else {
            return;
        };
        for below in &child.node.children {
            below.node.each_field(&mut |field| {
                if let Some(said) = self.entry.fields.get_mut(field) {
                    said.twice = true;
                }
            });
        }
    }
}

impl<'a> Visitor<'a> for Reader<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0_u64;
        while let Some(child) = map.next_key_seed(Name(self.node))? {
            let Some(child) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1 << child;
            if seen & bit != 0 {
                self.again(child);
            }
            seen |= bit;
            let raw: &RawValue = map.next_value()?;
            self.take(child, raw.get())?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            let children = self.node.children.iter();
            if let Some(child) = children.clone().position(|c| c.index == Some(index)) {
                self.take(child, raw.get())?;
            }
            index += 1;
        }
        Ok(())
    }
}

/// Reads a name: the number of the child that has it.
struct Name<'r>(&'r Node);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Option<usize>, D::Error> {
        // Not as a text, so that half of a surrogate pair in some name is no error.
        name.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Option<usize>, E> {
        let mut children = self.0.children.iter();
        Ok(children.position(|child| child.name.as_bytes() == name))
    }
}
