//! Writing TOML (toml.io/en/v1.0.0) in a form that people like to read.

use std::time::Duration;

use stockade_core::TimeWords;

/// The keys of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    text: String,
}

impl Body {
    fn line(&mut self, key: &str, value: &str) {
        self.text.push_str(&format!("{key} = {value}\n"));
    }

    pub(super) fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.text.push_str(&format!("# {line}\n"));
        }
    }

    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.line(key, &quoted(value));
    }

    pub(super) fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.line(key, &value.to_string());
    }

    pub(super) fn truth(&mut self, key: &str, value: bool) {
        self.line(key, if value { "true" } else { "false" });
    }

    pub(super) fn time(&mut self, key: &str, value: Duration) {
        self.text(key, &TimeWords(value).to_string());
    }

    /// A list on one line, or one item a line where that would be long.
    pub(super) fn list(&mut self, key: &str, items: &[String]) {
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        self.line(key, &bracketed(&items));
    }

    pub(super) fn lists(&mut self, key: &str, lists: &[Vec<String>]) {
        let lists: Vec<String> = lists
            .iter()
            .map(|list| {
                let items: Vec<String> = list.iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            })
            .collect();
        self.line(key, &bracketed(&lists));
    }

    /// A table on one line; `true` where it is empty.
    pub(super) fn inline(&mut self, key: &str, items: &[String]) {
        match items {
            [] => self.truth(key, true),
            items => self.line(key, &format!("{{ {} }}", items.join(", "))),
        }
    }

    /// The keys alone.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The keys below their header; nothing where there is none.
    pub(super) fn table(&self, name: &str) -> String {
        if self.text.is_empty() {
            return String::new();
        }
        format!("\n[{name}]\n{}", self.text)
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
        assert_eq!(body.into_text().lines().count(), 4);
    }
}
