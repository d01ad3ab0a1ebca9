//! Filters: patterns as they are, in fail2ban's dialect.

use std::collections::BTreeMap;

use super::super::{ResolvedFilter, Written};
use super::toml::Body;
use crate::words::is_name;

/// The filters that jails use. Jails with the same patterns share one.
#[derive(Debug, Default)]
pub(super) struct Filters {
    texts: BTreeMap<String, String>,
}

impl Filters {
    /// Takes a filter up, and says under which name.
    pub(super) fn add(&mut self, filter: &ResolvedFilter, jail: &str) -> String {
        let text = text_of(filter);
        let own = [filter.name.clone(), format!("{}-{jail}", filter.name)];
        let numbered = (1..).map(|number| format!("filter-{number}"));
        let free = |name: &String| {
            is_name(name) && self.texts.get(name).is_none_or(|known| *known == text)
        };
        let Some(name) = own.into_iter().chain(numbered).find(free) else {
            return jail.to_owned();
        };
        self.texts.insert(name.clone(), text);
        name
    }

    pub(super) fn into_texts(self) -> BTreeMap<String, String> {
        self.texts
    }
}

fn text_of(filter: &ResolvedFilter) -> String {
    let texts = |list: &[Written]| -> Vec<String> {
        list.iter().map(|text| text.as_str().to_owned()).collect()
    };
    let mut body = Body::default();
    body.text("dialect", "fail2ban");
    if let Some(prefregex) = &filter.prefregex {
        body.text("prefregex", prefregex.as_str());
    }
    body.list("failregex", &texts(&filter.failregex));
    if !filter.ignoreregex.is_empty() {
        body.list("ignoreregex", &texts(&filter.ignoreregex));
    }
    match &filter.datepattern {
        Some(patterns) if patterns.is_empty() => body.text("datepattern", "none"),
        Some(patterns) => body.list("datepattern", &texts(patterns)),
        None => body.list("datepattern", &["{DEFAULT}".to_owned()]),
    }
    if let Some(lines) = filter.maxlines.as_ref().filter(|lines| lines.value > 1) {
        body.number("maxlines", lines.value);
    }
    body.text_of_keys()
}

/// fail2ban's lines of journalctl's words, each an alternative, and `+` between more of them.
pub(super) fn journalmatch(filter: &ResolvedFilter) -> Vec<Vec<String>> {
    let lines = filter.journalmatch.iter();
    let alternatives = lines.flat_map(|line| line.value.split(|word| word == "+"));
    alternatives
        .filter(|words| !words.is_empty())
        .map(<[String]>::to_vec)
        .collect()
}
