//! `name[option=value, other="value"][more='value']`: what a jail gives a filter or an action.

use super::definition::Named;
use super::fault::Fault;
use super::ini::is_space;
use super::written::Written;
use crate::diagnostic::quoted;

/// A filter or an action as a jail names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: Written,
    pub(crate) arguments: Named,
    /// What is odd about it.
    pub(crate) warnings: Vec<Fault>,
}

/// Reads a list of calls with spaces or line ends between them.
pub(crate) fn parse_calls(value: &Written) -> Result<Vec<Call>, Fault> {
    let mut calls = Vec::new();
    let mut reader = Reader::new(value);
    loop {
        reader.skip_spaces();
        if reader.is_at_end() {
            return Ok(calls);
        }
        calls.push(reader.call()?);
        if !reader.is_at_end() && !reader.next().is_some_and(is_space) {
            return Err(reader.fault("a space is missing in front of this"));
        }
    }
}

/// Reads one call that is all of `value`.
pub(crate) fn parse_call(value: &Written) -> Result<Call, Fault> {
    let mut reader = Reader::new(value);
    reader.skip_spaces();
    if reader.is_at_end() {
        return Err(Fault::error(value.place(0), "a name is missing"));
    }
    let call = reader.call()?;
    reader.skip_spaces();
    if !reader.is_at_end() {
        return Err(reader.fault("this does not belong here: there can be only one"));
    }
    Ok(call)
}

/// Reads the arguments alone, without a name and brackets.
pub(crate) fn parse_arguments(value: &Written) -> Result<Call, Fault> {
    let mut reader = Reader::new(value);
    let mut call = Call {
        name: value.part(0..0),
        arguments: Named::new(),
        warnings: Vec::new(),
    };
    while reader.argument(&mut call)? {
        reader.skip_spaces();
        if !reader.take(',') && !reader.is_at_end() {
            return Err(reader.fault("a comma is missing in front of this"));
        }
    }
    Ok(call)
}

struct Reader<'w> {
    value: &'w Written,
    at: usize,
}

impl<'w> Reader<'w> {
    fn new(value: &'w Written) -> Self {
        Self { value, at: 0 }
    }

    fn call(&mut self) -> Result<Call, Fault> {
        let name = self.take_while(|c| c != '[' && !is_space(c));
        if name.as_str().is_empty() {
            return Err(self.fault("a name is missing in front of this"));
        }
        let mut call = Call {
            name,
            arguments: Named::new(),
            warnings: Vec::new(),
        };
        while self.opens_group() {
            self.group(&mut call)?;
        }
        Ok(call)
    }

    /// Goes behind the bracket, where the next thing is one.
    fn opens_group(&mut self) -> bool {
        let before = self.at;
        self.skip_spaces();
        let opens = self.take('[');
        if !opens {
            self.at = before;
        }
        opens
    }

    fn group(&mut self, call: &mut Call) -> Result<(), Fault> {
        let opened = self.at.saturating_sub(1);
        loop {
            self.skip_spaces();
            if self.take(']') {
                return Ok(());
            }
            if self.is_at_end() {
                let message = "the bracket is not closed";
                return Err(Fault::error(self.value.place(opened), message));
            }
            if !self.argument(call)? {
                return Err(self.fault("this is not 'option=value'"));
            }
            self.skip_spaces();
            if !self.take(',') && self.next() != Some(']') && !self.is_at_end() {
                return Err(self.fault("a comma or a bracket is missing in front of this"));
            }
        }
    }

    /// Reads `option=value`; says whether there was one, and nothing at the end.
    fn argument(&mut self, call: &mut Call) -> Result<bool, Fault> {
        self.skip_spaces();
        if self.is_at_end() {
            return Ok(false);
        }
        let start = self.at;
        // A condition, as in `blocktype?family=inet6`, belongs to the name.
        let mut name = self.take_while(is_of_name);
        if !name.as_str().is_empty() && self.take('?') {
            self.take_while(is_of_name);
            if self.take('=') {
                self.take_while(is_of_name);
            }
            name = self.value.part(start..self.at);
        }
        if name.as_str().is_empty() || !self.take('=') {
            self.at = start;
            return Err(self
                .fault("this is not 'option=value'")
                .hint("a value with a comma or a bracket is put into quotes"));
        }
        let value = self.argument_value(call);
        call.arguments
            .insert(name.as_str().to_owned(), value.trimmed());
        Ok(true)
    }

    fn argument_value(&mut self, call: &mut Call) -> Written {
        if let Some(quote @ ('"' | '\'')) = self.next() {
            let rest = self.rest().get(1..).unwrap_or_default();
            if let Some(len) = rest.find(quote) {
                let start = self.at + 1;
                self.at = start + len + 1;
                return self.value.part(start..start + len);
            }
            let place = self.value.place(self.at);
            let message = "the quote is not closed, and so belongs to the value";
            call.warnings.push(Fault::warning(place, message));
        }
        self.take_while(|c| c != ',' && c != ']')
    }

    fn rest(&self) -> &'w str {
        self.value.as_str().get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.next() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> Written {
        let rest = self.rest();
        let len = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        let part = self.value.part(self.at..self.at + len);
        self.at += len;
        part
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn fault(&self, message: &str) -> Fault {
        let shown: String = self.rest().chars().take(25).collect();
        let message = format!("{message}: {}", quoted(&shown));
        Fault::error(self.value.place(self.at), message)
    }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileIndex, Origin};

    fn written(text: &str) -> Written {
        let origin = Origin {
            file: FileIndex(0),
            start: 0,
            end: text.len(),
        };
        Written::new(text, origin)
    }

    /// Names and arguments as `name{option=value|…}`.
    fn shown(text: &str) -> Result<Vec<String>, (usize, String)> {
        let calls = parse_calls(&written(text));
        let calls = calls.map_err(|fault| (fault.origin.start, fault.message))?;
        let calls = calls.iter().map(|call| {
            let arguments = call.arguments.iter();
            let arguments: Vec<_> = arguments
                .map(|(name, value)| format!("{name}={}", value.as_str()))
                .collect();
            format!("{}{{{}}}", call.name.as_str(), arguments.join("|"))
        });
        Ok(calls.collect())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let expected: Vec<String> = expected.iter().map(|&it| it.to_owned()).collect();
        assert_eq!(shown(text), Ok(expected), "{text}");
    }

    #[test]
    fn names_and_arguments_are_read() {
        check("", &[]);
        check("sshd", &["sshd{}"]);
        check("sshd[mode=aggressive]", &["sshd{mode=aggressive}"]);
        check("a[]", &["a{}"]);
        check(
            "a[b= x y ,c=\"1, [2]\", d='\"']",
            &["a{b=x y|c=1, [2]|d=\"}"],
        );
        check("a[b=1][c=2] [b=3]", &["a{b=3|c=2}"]);
        check(
            "a\n  b[x=1,\n y=\"2\n3\"]  c",
            &["a{}", "b{x=1|y=2\n3}", "c{}"],
        );
        check("a[b=, c=]", &["a{b=|c=}"]);
        check("a[b.c-d_e=1,]", &["a{b.c-d_e=1}"]);
        check(
            "smtp.py[dest=a@example.com]",
            &["smtp.py{dest=a@example.com}"],
        );
        check("a[b?family=inet6=\"x\"]", &["a{b?family=inet6=x}"]);
        check("a[b=x=y]", &["a{b=x=y}"]);
    }

    #[test]
    fn a_wrong_bracket_is_told_with_its_place() {
        for (text, place, message) in [
            ("a[b=1", 1, "the bracket is not closed"),
            ("a[b]", 2, "this is not 'option=value': 'b]'"),
            ("a[b=1]c", 6, "a space is missing in front of this: 'c'"),
            (
                "a[b=\"1\"c]",
                7,
                "a comma or a bracket is missing in front of this: 'c]'",
            ),
            ("[b=1]", 0, "a name is missing in front of this: '[b=1]'"),
            ("a[,b=1]", 2, "this is not 'option=value': ',b=1]'"),
        ] {
            assert_eq!(shown(text), Err((place, message.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_a_part_of_the_value() {
        let call = parse_call(&written("a[b=\"1, c=2]")).unwrap();
        assert_eq!(call.arguments["b"].as_str(), "\"1");
        assert_eq!(call.arguments["c"].as_str(), "2");
        assert_eq!(call.warnings.len(), 1);
    }

    #[test]
    fn a_jail_has_only_one_filter() {
        let fault = parse_call(&written("sshd[mode=x] dovecot")).unwrap_err();
        assert_eq!(fault.origin.start, 13);
    }
}
