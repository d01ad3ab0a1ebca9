//! `%(x)s`: an option's value inside of another's.

use super::fault::Fault;
use super::merged::{Merged, Options};
use super::written::Written;
use crate::diagnostic::quoted;

/// How deep values may name each other; `configparser` has the same bound.
const DEPTH_MAX: usize = 10;

/// The longest value, with everything in it replaced. The longest of a stock tree has 8 KiB, and
/// each name that is replaced can double what it stands in.
pub(crate) const VALUE_BYTES_MAX: usize = 256 * 1024;

/// How many names are replaced in one value, those in replaced ones included: without a bound, ten
/// levels of empty values that name each other a hundred times would take for ever.
const REPLACED_MAX: usize = 10_000;

/// In which section a value is asked for, and what stands above the options of that section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'m> {
    pub(crate) merged: &'m Merged,
    pub(crate) section: &'m str,
    /// Given from outside; taken first.
    pub(crate) given: &'m Options,
    /// Laid over the section; taken next.
    pub(crate) over: &'m Options,
}

impl Scope<'_> {
    /// The value of `option` with every name in it replaced; `None` where nobody wrote it.
    ///
    /// # Errors
    /// Where a name is unknown, wrongly written, or leads back to itself.
    pub(crate) fn get(&self, option: &str) -> Result<Option<Written>, Fault> {
        let option = option.to_lowercase();
        self.own(&option)
            .map(|value| self.replace(value))
            .transpose()
    }

    /// `value` with every name in it replaced.
    pub(crate) fn replace(&self, value: &Written) -> Result<Written, Fault> {
        let mut replaced = Written::default();
        let mut count = 0;
        self.replace_into(&mut replaced, value, 1, &mut count)?;
        if replaced.as_str().is_empty() {
            // An empty value keeps the place where it is written.
            replaced.push(&value.part(0..0));
        }
        Ok(replaced)
    }

    fn replace_into(
        &self,
        into: &mut Written,
        value: &Written,
        depth: usize,
        count: &mut usize,
    ) -> Result<(), Fault> {
        let text = value.as_str();
        if into.as_str().len() + text.len() > VALUE_BYTES_MAX {
            return Err(too_long(value));
        }
        let mut rest = 0;
        while let Some(at) = find(text, '%', rest) {
            into.push_part(value, rest..at);
            let after = text.get(at + 1..).unwrap_or_default();
            if after.starts_with('%') {
                into.push_part(value, at..at + 1);
                rest = at + 2;
                continue;
            }
            let name = reference(after).ok_or_else(|| {
                Fault::error(value.place(at), "'%' must be followed by '%' or '(name)s'")
                    .hint("write '%%' for a percent sign")
            })?;
            let end = at + name.len() + "%()s".len();
            let place = value.part(at..end).origin();
            *count += 1;
            rest = end;
            let lowered = name.to_lowercase();
            if lowered == "__name__" {
                into.push_str(self.section, place);
                continue;
            }
            let found = self.named(name, &lowered).ok_or_else(|| {
                let message = format!("there is no option {}", quoted(name));
                Fault::error(place, message)
            })?;
            let moved = found.is_nowhere().then(|| found.moved(place));
            let found = moved.as_ref().unwrap_or(found);
            if *count > REPLACED_MAX || found.as_str().contains('%') && depth == DEPTH_MAX {
                let message = format!(
                    "{} cannot be replaced: values name each other in a circle, or too deep",
                    quoted(&format!("%({name})s"))
                );
                return Err(Fault::error(place, message));
            }
            self.replace_into(into, found, depth + 1, count)?;
        }
        into.push_part(value, rest..text.len());
        if into.as_str().len() > VALUE_BYTES_MAX {
            return Err(too_long(value));
        }
        Ok(())
    }

    /// The value of `x`, `section/x`, `default/x` or `known/x`, as it is written.
    fn named(&self, name: &str, lowered: &str) -> Option<&Written> {
        if let Some(value) = self.own(lowered) {
            return Some(value);
        }
        let (section, option) = name.split_once('/')?;
        if section.is_empty() || !section.chars().all(is_word) {
            return None;
        }
        let option = option.to_lowercase();
        let default = || self.merged.default_value(&option);
        match section.to_lowercase().as_str() {
            "default" => default(),
            "known" => self.merged.known(self.section, &option).or_else(default),
            _ => self.merged.own(section)?.get(&option).or_else(default),
        }
    }

    /// The value of an option of the section itself, or of all sections.
    fn own(&self, option: &str) -> Option<&Written> {
        self.given
            .get(option)
            .or_else(|| self.over.get(option))
            .or_else(|| self.merged.own(self.section)?.get(option))
            .or_else(|| self.merged.default_value(option))
    }
}

/// The name in `(name)s`, with which `after` begins.
fn reference(after: &str) -> Option<&str> {
    let (name, rest) = after.strip_prefix('(')?.split_once(')')?;
    (!name.is_empty() && rest.starts_with('s')).then_some(name)
}

fn find(text: &str, wanted: char, from: usize) -> Option<usize> {
    text.get(from..)?.find(wanted).map(|at| from + at)
}

/// What may stand in the name of a section that a value of another one names.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

pub(crate) fn too_long(value: &Written) -> Fault {
    let message = format!(
        "the value is longer than {} KiB with everything in it replaced",
        VALUE_BYTES_MAX >> 10
    );
    Fault::error(value.place(0), message)
}
