//! Writing TOML (toml.io/en/v1.0.0) in a form that people like to read.

use std::time::Duration;

use stockade_core::TimeWords;

/// The keys of one table, in their order, with comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    lines: Vec<Line>,
    /// What is said of the next key.
    said: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Gap,
    Key {
        name: String,
        /// As TOML.
        value: String,
        comment: Option<String>,
    },
}

impl Body {
    /// Sets a key to what is TOML already; a second time it replaces the first.
    pub(super) fn set(&mut self, key: &str, value: String) {
        let comment = self.said.take();
        let name = key.to_owned();
        self.remove(key);
        self.lines.push(Line::Key {
            name,
            value,
            comment,
        });
    }

    /// Says something of the next key; it goes where that goes.
    pub(super) fn comment(&mut self, text: &str) {
        self.said = Some(text.to_owned());
    }

    pub(super) fn gap(&mut self) {
        self.lines.push(Line::Gap);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.set(key, quoted(value));
    }

    pub(super) fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.set(key, value.to_string());
    }

    pub(super) fn truth(&mut self, key: &str, value: bool) {
        self.set(key, value.to_string());
    }

    pub(super) fn time(&mut self, key: &str, value: Duration) {
        self.text(key, &TimeWords(value).to_string());
    }

    /// A list on one line, or one item a line where that would be long.
    pub(super) fn list(&mut self, key: &str, items: &[String]) {
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        self.set(key, bracketed(&items));
    }

    pub(super) fn lists(&mut self, key: &str, lists: &[Vec<String>]) {
        let lists: Vec<String> = lists
            .iter()
            .map(|list| {
                let items: Vec<String> = list.iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            })
            .collect();
        self.set(key, bracketed(&lists));
    }

    /// A table on one line; `true` where it is empty.
    pub(super) fn inline(&mut self, key: &str, items: &[String]) {
        match items {
            [] => self.truth(key, true),
            items => self.set(key, format!("{{ {} }}", items.join(", "))),
        }
    }

    /// The value of a key as TOML.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.keys()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Names and values as TOML.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Gap => None,
            Line::Key { name, value, .. } => Some((name.as_str(), value.as_str())),
        })
    }

    /// Takes a key over as it is, with what is said of it.
    pub(super) fn copy(&mut self, key: &str, from: &Self) {
        let found = from
            .lines
            .iter()
            .find(|line| matches!(line, Line::Key { name, .. } if name == key));
        self.lines.extend(found.cloned());
    }

    /// Puts a key in front of all others.
    pub(super) fn first(&mut self, key: &str) {
        let at = self
            .lines
            .iter()
            .position(|line| matches!(line, Line::Key { name, .. } if name == key));
        if let Some(at) = at {
            let line = self.lines.remove(at);
            self.lines.insert(0, line);
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.retain(|name, _| name != key);
    }

    /// Keeps the keys that `keeps` wants, by name and value.
    pub(super) fn retain(&mut self, keeps: impl Fn(&str, &str) -> bool) {
        self.lines.retain(|line| match line {
            Line::Gap => true,
            Line::Key { name, value, .. } => keeps(name, value),
        });
    }

    /// The keys alone; no gap stands at an end or beside another.
    pub(super) fn text_of_keys(&self) -> String {
        let mut text = String::new();
        let mut gap = false;
        for line in &self.lines {
            let Line::Key {
                name,
                value,
                comment,
            } = line
            else {
                gap = !text.is_empty();
                continue;
            };
            if std::mem::take(&mut gap) {
                text.push('\n');
            }
            let comments = comment.iter().flat_map(|comment| comment.lines());
            text.extend(comments.map(|line| format!("# {line}\n")));
            text.push_str(&format!("{name} = {value}\n"));
        }
        text
    }

    /// The keys below their header; nothing where there is none.
    pub(super) fn table(&self, name: &str) -> String {
        let keys = self.text_of_keys();
        if keys.is_empty() {
            return keys;
        }
        format!("\n[{name}]\n{keys}")
    }
}

/// Lines longer than this are broken.
const LINE_LEN_MAX: usize = 90;

fn bracketed(items: &[String]) -> String {
    let line = format!("[{}]", items.join(", "));
    if line.len() <= LINE_LEN_MAX {
        return line;
    }
    let lines: String = items.iter().map(|item| format!("    {item},\n")).collect();
    format!("[\n{lines}]")
}

/// A text in the quotes that leave it as it is, where there are some.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c == '\t' || !c.is_control();
    if text.chars().all(plain) {
        if !text.contains(['"', '\\']) {
            return format!("\"{text}\"");
        }
        if !text.contains('\'') {
            return format!("'{text}'");
        }
        if !text.contains("'''") && !text.starts_with('\'') && !text.ends_with('\'') {
            return format!("'''{text}'''");
        }
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        for text in [
            "plain",
            r"a\d",
            "it's",
            r#"it's "\d""#,
            "'''\\",
            "a\nb\u{1}",
            "ends in '\\'",
            "'\"'",
        ] {
            let file = format!("key = {}", quoted(text));
            let table: ::toml::Table = file.parse().unwrap();
            assert_eq!(table["key"].as_str(), Some(text), "{file}");
        }
    }

    #[test]
    fn long_lists_have_a_line_for_each_item() {
        let mut body = Body::default();
        body.list("a", &["x".repeat(60), "y".repeat(60)]);
        assert_eq!(body.text_of_keys().lines().count(), 4);
    }

    #[test]
    fn a_comment_goes_where_its_key_goes_and_gaps_are_not_left_behind() {
        let mut body = Body::default();
        body.gap();
        body.number("a", 1);
        body.gap();
        body.comment("two\nlines");
        body.number("b", 2);
        body.gap();
        body.number("c", 3);
        body.gap();
        assert_eq!(
            body.text_of_keys(),
            "a = 1\n\n# two\n# lines\nb = 2\n\nc = 3\n"
        );
        body.remove("b");
        assert_eq!(body.text_of_keys(), "a = 1\n\nc = 3\n");
    }
}
