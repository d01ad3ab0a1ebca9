//! `<tag>`: an option's value inside of a pattern or a command.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::interpolate::{VALUE_BYTES_MAX, too_long};
use super::written::Written;
use crate::diagnostic::quoted;

/// How often one tag is replaced in one value: more means that it leads back to itself.
const SAME_TAG_MAX: usize = 25;

/// How often anything is replaced in one value. The stock values need at most thirty.
const REPLACED_MAX: usize = 2_000;

/// What tags are replaced by.
pub(crate) struct Tags<'t, F> {
    /// Taken first; the names as they are written.
    pub(crate) values: &'t BTreeMap<String, Written>,
    /// Left as they are.
    pub(crate) ignored: &'t BTreeSet<String>,
    /// Asked for what is not among `values`.
    pub(crate) others: F,
}

/// What was found for the tags that are not among the values. fail2ban asks once for a filter and
/// keeps the answer, although options that a jail gives could change it.
pub(crate) type Answers = RefCell<BTreeMap<String, Option<Written>>>;

impl<F: Fn(&str) -> Result<Option<Written>, Fault>> Tags<'_, F> {
    /// Every value with its tags replaced, also those that a replaced one brings and those that only
    /// come to be by it: `<mdre-<mode>>`. A tag that nobody defines stays, since detection and
    /// actions know others.
    ///
    /// # Errors
    /// Where a tag leads back to itself, or the value becomes too long.
    pub(crate) fn replace_all(&self) -> Result<BTreeMap<String, Written>, Fault> {
        let replaced = self.values.iter().map(|(name, value)| {
            let value = if self.ignored.contains(name) {
                value.clone()
            } else {
                self.replace(name, value)?
            };
            Ok((name.clone(), value))
        });
        replaced.collect()
    }

    /// `value`, which belongs to the option `name`, with its tags replaced.
    pub(crate) fn replace(&self, name: &str, value: &Written) -> Result<Written, Fault> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut left = REPLACED_MAX;
        let mut value = value.clone();
        loop {
            let mut changed = false;
            let mut from = 0;
            while let Some((start, end)) = find_tag(value.as_str(), from) {
                let tag = value.as_str().get(start + 1..end - 1).unwrap_or_default();
                let Some(found) = self.value_of(tag, name, &value, start)? else {
                    from = end;
                    continue;
                };
                let count = counts.entry(tag.to_owned()).or_insert(0);
                *count += 1;
                left = left.saturating_sub(1);
                if *count > SAME_TAG_MAX || left == 0 {
                    return Err(circle(tag, &value, start, end));
                }
                let whole = format!("<{tag}>");
                value = if found.is_nowhere() {
                    let place = value.part(start..end).origin();
                    value.replaced(&whole, &found.moved(place))
                } else {
                    value.replaced(&whole, &found)
                };
                if value.as_str().len() > VALUE_BYTES_MAX {
                    return Err(too_long(&value));
                }
                changed = true;
                from = start;
            }
            // A tag may have come to be around one that was replaced.
            if !changed {
                return Ok(value);
            }
        }
    }

    fn value_of(
        &self,
        tag: &str,
        name: &str,
        value: &Written,
        start: usize,
    ) -> Result<Option<Written>, Fault> {
        if self.ignored.contains(tag) {
            return Ok(None);
        }
        if tag == name {
            return Err(circle(tag, value, start, start + tag.len() + 2));
        }
        match self.values.get(tag) {
            Some(found) => Ok(Some(found.clone())),
            None => (self.others)(tag),
        }
    }
}

fn circle(tag: &str, value: &Written, start: usize, end: usize) -> Fault {
    let message = format!(
        "tag {} leads back to itself, so that it cannot be replaced",
        quoted(&format!("<{tag}>"))
    );
    Fault::error(value.part(start..end).origin(), message)
}

/// The first `<tag>` at or after `from`, with its brackets: no spaces and no brackets in it.
fn find_tag(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut start = from + text.get(from..)?.find('<')?;
    loop {
        let inside = text.get(start + 1..)?;
        let stop = start + 1 + inside.find([' ', '<', '>'])?;
        match text.as_bytes().get(stop)? {
            b'>' if stop > start + 1 => return Some((start, stop + 1)),
            b'<' => start = stop,
            _ => start = stop + text.get(stop..)?.find('<')?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Origin;

    fn replaced(values: &[(&str, &str)], wanted: &str) -> Result<String, String> {
        let values: BTreeMap<String, Written> = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Written::new(*value, Origin::NOWHERE)))
            .collect();
        let tags = Tags {
            values: &values,
            ignored: &BTreeSet::from(["matches".to_owned()]),
            others: |_: &str| Ok(None),
        };
        let value = tags.replace(wanted, &values[wanted]);
        value
            .map(|value| value.as_str().to_owned())
            .map_err(|fault| fault.message)
    }

    #[test]
    fn tags_are_found_as_fail2ban_finds_them() {
        for (text, expected) in [
            ("a <b> c", Some((2, 5))),
            ("a < b> <c>", Some((7, 10))),
            ("<a<b>>", Some((2, 5))),
            ("<> <a b> <", None),
            ("(?P<x>y)", Some((3, 6))),
            ("<é>", Some((0, 4))),
        ] {
            assert_eq!(find_tag(text, 0), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_inside_of_a_tag_is_replaced_first() {
        let values = [
            ("re", "^<mdre-<mode>> <HOST>"),
            ("mode", "<kind>"),
            ("kind", "ddos"),
            ("mdre-ddos", "flood"),
        ];
        assert_eq!(replaced(&values, "re"), Ok("^flood <HOST>".to_owned()));
    }

    #[test]
    fn what_is_ignored_or_unknown_stays() {
        let values = [("a", "<matches> <x> <b>"), ("matches", "m"), ("b", "c")];
        assert_eq!(replaced(&values, "a"), Ok("<matches> <x> c".to_owned()));
    }

    #[test]
    fn a_tag_that_leads_back_to_itself_is_an_error() {
        let circle = |tag: &str| {
            Err(format!(
                "tag '<{tag}>' leads back to itself, so that it cannot be replaced"
            ))
        };
        assert_eq!(replaced(&[("a", "x<a>")], "a"), circle("a"));
        assert_eq!(replaced(&[("a", "<b>"), ("b", "<a>")], "a"), circle("a"));
        let values = [("a", "<b>"), ("b", "<c>"), ("c", "<b>")];
        assert_eq!(replaced(&values, "a"), circle("b"));
    }

    #[test]
    fn values_that_double_each_other_end_at_the_longest_value() {
        let mut values: Vec<(String, String)> = Vec::new();
        for level in 0..40 {
            values.push((format!("t{level}"), format!("<t{0}><t{0}>", level + 1)));
        }
        values.push(("t40".to_owned(), "0123456789".to_owned()));
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let message = replaced(&values, "t0").unwrap_err();
        assert!(
            message.starts_with("the value is longer than 256 KiB"),
            "{message}"
        );
    }
}
