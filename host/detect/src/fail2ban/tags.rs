//! fail2ban's tags, replaced by groups of Python's `re`. The replacing is textual, as fail2ban's is,
//! and keeps for each byte the byte of the author's text that it came from.

use crate::source::HostNames;

/// A pattern whose tags are replaced.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// For each byte of `text` the byte of the author's text; one more for the end.
    origin: Vec<usize>,
}

impl Expanded {
    /// The place in the author's text.
    pub(super) fn author_offset(&self, at: usize) -> usize {
        let origin = self.origin.get(at).or(self.origin.last());
        origin.copied().unwrap_or(0)
    }

    fn put(&mut self, text: &str, at: usize) {
        self.text.push_str(text);
        self.origin.extend(std::iter::repeat_n(at, text.len()));
    }
}

/// An IPv4 address, also one mapped into IPv6, of which only the IPv4 part is taken.
const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>\d{1,3}(?:\.\d{1,3}){3})";
/// An IPv6 address: groups that end in colons, and perhaps a last one.
const IP6: &str = r"(?P<ip6>(?:[0-9A-Fa-f]{1,4}:{1,2}|::){1,7}(?:[0-9A-Fa-f]{1,4}|:))";
/// A host name.
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
/// The length of a prefix.
const CIDR: &str = r"(?P<cidr>\d+)";

/// What stands for a tag that fail2ban knows by itself.
fn known(tag: &str, names: HostNames) -> Option<String> {
    let address = format!(r"\[?(?:{IP4}|{IP6})\]?");
    Some(match tag {
        "HOST" if names == HostNames::Refuse => address,
        "HOST" => format!("(?:{address}|{DNS})"),
        "ADDR" | "F-ADDR/" => address,
        "IP4" | "F-IP4/" => IP4.to_owned(),
        "IP6" | "F-IP6/" => IP6.to_owned(),
        "DNS" | "F-DNS/" => DNS.to_owned(),
        "CIDR" | "F-CIDR/" => CIDR.to_owned(),
        "SUBNET" | "F-SUBNET/" => format!(r"\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?"),
        "F-ID/" => r"(?P<fid>\S+)".to_owned(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        _ => return None,
    })
}

/// Replaces the tags of `source`; what is no tag stays as it is.
pub(super) fn expand(source: &str, names: HostNames) -> Expanded {
    let mut out = Expanded::default();
    let mut open: Vec<&str> = Vec::new();
    let mut skipped = 0;
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(tag) = tag_at(rest) else {
            let len = rest.chars().next().map_or(1, char::len_utf8);
            for i in at..at + len {
                out.origin.push(i);
            }
            out.text.push_str(rest.get(..len).unwrap_or_default());
            at += len;
            continue;
        };
        match replacement(tag, names, &mut open, &mut skipped) {
            Some(text) => out.put(&text, at),
            None => {
                out.text.push('<');
                out.origin.push(at);
                at += 1;
                continue;
            }
        }
        at += tag.len() + 2;
    }
    out.origin.push(source.len());
    out
}

/// What stands between `<` and `>` at the beginning of `text`, if that is shaped like a tag.
fn tag_at(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?;
    let (tag, _) = inside.split_once('>')?;
    let name = tag.strip_prefix('/').unwrap_or(tag);
    let name = name.strip_suffix('/').unwrap_or(name);
    let shaped = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    (!name.is_empty() && name.chars().all(shaped)).then_some(tag)
}

fn replacement<'a>(
    tag: &'a str,
    names: HostNames,
    open: &mut Vec<&'a str>,
    skipped: &mut usize,
) -> Option<String> {
    if tag == "SKIPLINES" {
        let number = *skipped;
        *skipped += 1;
        return Some(format!(r"\n(?P<skiplines{number}>(?:(?:.*\n)*?))"));
    }
    if let Some(text) = known(tag, names) {
        return Some(text);
    }
    let (closing, own) = match tag.strip_prefix('/') {
        Some(own) => (true, own),
        None => (false, tag),
    };
    let own = own.strip_prefix("F-")?;
    let shaped = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if own.is_empty() || !own.bytes().all(shaped) {
        return None;
    }
    if closing {
        return open.contains(&own).then(|| ")".to_owned());
    }
    open.push(own);
    Some(format!("(?P<{}>", group_name(own)))
}

/// The group that a tag's text is kept in.
fn group_name(own: &str) -> String {
    match own {
        "ID" => "fid".to_owned(),
        "PORT" => "fport".to_owned(),
        own => own.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        expand(source, HostNames::Resolve).text
    }

    #[test]
    fn own_tags_become_groups_and_others_stay() {
        assert_eq!(text("<F-USER>x</F-USER>"), "(?P<user>x)");
        assert_eq!(text("<F-ID/> <F-PORT/>"), r"(?P<fid>\S+) (?P<fport>\w+)");
        assert_eq!(text("<x> </F-Y> < a>"), "<x> </F-Y> < a>");
        assert_eq!(text("<F-ID>é</F-ID>"), "(?P<fid>é)");
    }

    #[test]
    fn names_are_part_of_a_host_only_where_they_are_looked_up() {
        assert!(text("<HOST>").contains("dns"));
        assert!(!expand("<HOST>", HostNames::Refuse).text.contains("dns"));
        assert!(!text("<ADDR>").contains("dns"));
    }

    #[test]
    fn places_lead_back_to_the_authors_text() {
        let expanded = expand("a<F-USER>b*", HostNames::Refuse);
        let at = expanded.text.find("b*").unwrap();
        assert_eq!(expanded.author_offset(at), 9);
        assert_eq!(expanded.author_offset(1), 1);
        assert_eq!(expanded.author_offset(1000), 11);
    }

    #[test]
    fn lines_that_are_skipped_are_numbered() {
        let text = text("a<SKIPLINES>b<SKIPLINES>c");
        assert!(
            text.contains("skiplines0") && text.contains("skiplines1"),
            "{text}"
        );
    }
}
