//! fail2ban's tags and Python's dialect, rewritten into the syntax of the `regex` crate.
//!
//! The rewriting is lexical and keeps, for every byte it writes, the byte of the author's text it
//! came from, so that a message of the regex parser can point into what the author wrote.
//!
//! What changes besides tags, because Rust reads it differently or not at all: `\<` and `\>` are
//! plain `<` and `>` (Rust: word boundaries), `{,n}` is `{0,n}`, a `{` that begins no repetition is a
//! plain `{`, a `[` inside a class is a plain `[`, doubled `&`, `-` and `~` in a class are plain
//! (Rust: set operators), `\Z` is `\z`, comments `(?#..)` are dropped. `$` needs no change: fail2ban
//! gives its patterns the line with its line end and Python's `$` matches before that; ours get the
//! line without it and Rust's `$` matches only at the end.

use crate::error::Fault;

/// What a capture group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The id as text, `<F-ID>`; wins over the others.
    Id,
    /// An address.
    Addr,
    /// The length of the prefix that belongs to an address.
    Prefix,
    /// The user name.
    User,
    /// A user name that is taken where [`Role::User`] is empty.
    AltUser,
    /// What the failregexes get to see, in a prefregex.
    Content,
}

/// Which addresses a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Any,
}

/// A group of the rewritten pattern that means something to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// A pattern in the syntax of the `regex` crate.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    pub(crate) text: String,
    /// For each byte of `text` the byte of the author's text; one more for the end.
    origin: Vec<usize>,
    pub(crate) groups: Vec<Group>,
    /// Name of the group around the only address tag and what it stands for, if there is just one.
    pub(crate) address_unit: Option<(String, Family)>,
}

impl Translated {
    /// The place in the author's text of a place in the rewritten one.
    pub(crate) fn author_offset(&self, offset: usize) -> usize {
        self.origin
            .get(offset)
            .or(self.origin.last())
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn has_id(&self) -> bool {
        self.groups
            .iter()
            .any(|group| matches!(group.role, Role::Id | Role::Addr))
    }
}

/// Prefix of the names of groups that tags make; users cannot name theirs like this by accident.
const OWN_GROUP: &str = "stockade_";

/// IPv4 in text: not glued to a word on either side, so that `1.2.3.400` holds no address.
/// The numbers' range is checked when the text is read as an address.
pub(crate) const IP4: &str = r"(?-u:\b{start-half})[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?-u:\b{end-half})";
/// IPv6 in text, looser than RFC 4291 2.2; exactly that is checked when the text is read.
pub(crate) const IP6: &str = concat!(
    r"(?-u:\b{start-half})(?:[0-9A-Fa-f]{0,4}:){2,8}",
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{1,4})?(?-u:\b{end-half})"
);
/// The zone of a link-local address (RFC 4007 11.2), which is not part of what is banned.
const ZONE: &str = r"(?:%[0-9A-Za-z_.\-]{1,16})?";

/// Rewrites `source`. `content` says that `<F-CONTENT>` is allowed.
pub(crate) fn translate(source: &str, content: bool) -> Result<Translated, Fault> {
    let mut writer = Writer {
        source,
        bytes: source.as_bytes(),
        at: 0,
        out: Translated::default(),
        open: Vec::new(),
        content,
        addresses: Vec::new(),
    };
    writer.run()?;
    let mut out = writer.out;
    out.origin.push(source.len());
    if let [(name, family)] = writer.addresses.as_slice() {
        out.address_unit = Some((name.clone(), *family));
    }
    Ok(out)
}

struct Writer<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
    out: Translated,
    /// Tags `<F-X>` that wait for `</F-X>`, with their place.
    open: Vec<(String, usize)>,
    content: bool,
    addresses: Vec<(String, Family)>,
}

impl Writer<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.class(),
                b'<' => self.tag()?,
                b'(' => self.group()?,
                b'{' => self.brace(),
                _ => self.copy(1),
            }
        }
        match self.open.first() {
            None => Ok(()),
            Some((name, at)) => Err(Fault::at(*at, format!("<F-{name}> is not closed"))
                .hint(format!("write </F-{name}> after it, or <F-{name}/> alone"))),
        }
    }

    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Takes `len` bytes as they are, and the rest of a character that they cut.
    fn copy(&mut self, len: usize) {
        let mut end = self.at + len;
        while end < self.source.len() && !self.source.is_char_boundary(end) {
            end += 1;
        }
        let text = self.source.get(self.at..end).unwrap_or_default();
        self.out.text.push_str(text);
        self.out.origin.extend(self.at..self.at + text.len());
        self.at = end.min(self.source.len());
    }

    /// Writes `text` for the next `len` bytes.
    fn put(&mut self, text: &str, len: usize) {
        self.out.text.push_str(text);
        self.out
            .origin
            .extend(std::iter::repeat_n(self.at, text.len()));
        self.at += len;
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'<') => self.put("<", 2),
            Some(b'>') => self.put(">", 2),
            Some(b'Z') => self.put(r"\z", 2),
            Some(b'1'..=b'9') => {
                return Err(unsupported(
                    self.at,
                    "back-references",
                    "repeat the pattern instead",
                ));
            }
            // `\p{L}`, `\x{e9}`, `\b{start}`: the brace is part of the escape.
            Some(b'p' | b'P' | b'x' | b'u' | b'U' | b'b')
                if self.bytes.get(self.at + 2) == Some(&b'{') =>
            {
                let len = self.rest().find('}').map_or(3, |end| end + 1);
                self.copy(len);
            }
            _ => self.copy(2),
        }
        Ok(())
    }

    /// A class `[..]`, in which Python knows fewer special characters than Rust does.
    fn class(&mut self) {
        self.copy(1);
        if self.bytes.get(self.at) == Some(&b'^') {
            self.copy(1);
        }
        if self.bytes.get(self.at) == Some(&b']') {
            self.put(r"\]", 1);
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            let doubled = self.bytes.get(self.at + 1) == Some(&byte);
            match byte {
                b']' => return self.copy(1),
                b'\\' => match self.bytes.get(self.at + 1) {
                    Some(b'<') => self.put("<", 2),
                    Some(b'>') => self.put(">", 2),
                    _ => self.copy(2),
                },
                // POSIX names such as [:alpha:] are not known to Python, so this is a plain '['.
                b'[' => self.put(r"\[", 1),
                b'&' if doubled => self.put(r"\&\&", 2),
                b'~' if doubled => self.put(r"\~\~", 2),
                b'-' if doubled => self.put(r"\-", 1),
                _ => self.copy(1),
            }
        }
    }

    fn group(&mut self) -> Result<(), Fault> {
        let rest = self.rest();
        for look in ["(?=", "(?!", "(?<=", "(?<!"] {
            if rest.starts_with(look) {
                let hint = "say what may stand there instead, for example [^x] for (?!x).";
                return Err(unsupported(self.at, "look-around", hint));
            }
        }
        if rest.starts_with("(?P=") {
            return Err(unsupported(
                self.at,
                "back-references",
                "repeat the pattern instead",
            ));
        }
        if rest.starts_with("(?(") {
            let hint = "write the two cases as two failregexes";
            return Err(unsupported(self.at, "conditions", hint));
        }
        if rest.starts_with("(?>") {
            return Err(unsupported(self.at, "atomic groups", "use (?: instead"));
        }
        if rest.starts_with("(?#") {
            let Some(end) = rest.find(')') else {
                return Err(Fault::at(self.at, "the comment (?# is not closed"));
            };
            self.at += end + 1;
            return Ok(());
        }
        if let Some(name) = rest.strip_prefix("(?P<") {
            self.named_group(name.split('>').next().unwrap_or_default().to_owned());
            // The name is copied whole: its `<` must not be read as the beginning of a tag.
            self.copy(4);
            return Ok(());
        }
        self.copy(1);
        Ok(())
    }

    /// Notes a group that the author named as fail2ban's tags name theirs.
    fn named_group(&mut self, name: String) {
        let role = match name.as_str() {
            "fid" => Role::Id,
            "host" | "ip4" | "ip6" => Role::Addr,
            "cidr" => Role::Prefix,
            "user" => Role::User,
            "content" if self.content => Role::Content,
            _ => return,
        };
        self.out.groups.push(Group { name, role });
    }

    /// `{` begins a repetition only as `{n}`, `{n,}`, `{n,m}` or `{,m}`; else it is itself.
    fn brace(&mut self) {
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(end) = inside.find('}') else {
            return self.put(r"\{", 1);
        };
        let inside = inside.get(..end).unwrap_or_default();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match inside.split_once(',') {
            Some(("", max)) if digits(max) => self.put("{0", 1),
            Some((min, "")) if digits(min) => self.copy(1),
            Some((min, max)) if digits(min) && digits(max) => self.copy(1),
            None if digits(inside) => self.copy(1),
            _ => self.put(r"\{", 1),
        }
    }

    fn tag(&mut self) -> Result<(), Fault> {
        let rest = self.rest();
        let Some(end) = rest.find('>') else {
            self.copy(1);
            return Ok(());
        };
        let name = rest.get(1..end).unwrap_or_default().to_owned();
        let len = end + 1;
        if let Some(closed) = name.strip_prefix("/F-") {
            return self.close(closed, len);
        }
        if let Some(own) = name.strip_prefix("F-") {
            return match own.strip_suffix('/') {
                Some(own) => self.lone(own, len),
                None => self.begin(own, len),
            };
        }
        match name.as_str() {
            "HOST" | "ADDR" => self.address(Family::Any, len),
            "IP4" => self.address(Family::V4, len),
            "IP6" => self.address(Family::V6, len),
            "CIDR" => self.number(Role::Prefix, len),
            "SUBNET" => {
                self.address(Family::Any, 0);
                self.put("(?:/", 0);
                self.number(Role::Prefix, 0);
                self.put(")?", len);
                // The length after the slash belongs to the id, so the address alone is not it.
                self.addresses.push((String::new(), Family::Any));
            }
            "DNS" => return Err(names_are_not_trusted(self.at)),
            "SKIPLINES" => return Err(multi_line(self.at, "SKIPLINES")),
            // fail2ban leaves what it does not know as it is.
            _ => self.copy(1),
        }
        Ok(())
    }

    fn own_name(&self) -> String {
        format!("{OWN_GROUP}{}", self.out.groups.len())
    }

    /// An address with what may stand around it; brackets and zone are not part of the group.
    fn address(&mut self, family: Family, len: usize) {
        let name = self.own_name();
        let ip = match family {
            Family::V4 => IP4.to_owned(),
            Family::V6 => IP6.to_owned(),
            Family::Any => format!("(?:{IP4}|{IP6})"),
        };
        let unit = format!("{name}_unit");
        let zone = if family == Family::V4 { "" } else { ZONE };
        self.put(&format!(r"(?P<{unit}>\[?(?P<{name}>{ip}){zone}\]?)"), len);
        self.addresses.push((unit, family));
        self.out.groups.push(Group {
            name,
            role: Role::Addr,
        });
    }

    fn number(&mut self, role: Role, len: usize) {
        let name = self.own_name();
        self.put(&format!("(?P<{name}>[0-9]{{1,3}})"), len);
        self.out.groups.push(Group { name, role });
    }

    /// A tag that stands alone, `<F-X/>`.
    fn lone(&mut self, own: &str, len: usize) -> Result<(), Fault> {
        match own {
            "HOST" | "ADDR" => self.address(Family::Any, len),
            "IP4" => self.address(Family::V4, len),
            "IP6" => self.address(Family::V6, len),
            "CIDR" => self.number(Role::Prefix, len),
            "PORT" => self.put(r"[0-9]{1,5}", len),
            "SUBNET" => {
                self.address(Family::Any, 0);
                self.put("(?:/", 0);
                self.number(Role::Prefix, 0);
                self.put(")?", len);
                self.addresses.push((String::new(), Family::Any));
            }
            _ => {
                let at = self.at;
                let start = self.group_start(own)?;
                self.put(&format!(r"{start}\S+)"), 0);
                self.at = at + len;
            }
        }
        Ok(())
    }

    fn begin(&mut self, own: &str, len: usize) -> Result<(), Fault> {
        let at = self.at;
        let start = self.group_start(own)?;
        self.put(&start, len);
        self.open.push((own.to_owned(), at));
        Ok(())
    }

    fn close(&mut self, own: &str, len: usize) -> Result<(), Fault> {
        match self.open.pop() {
            Some((open, _)) if open == own => {
                self.put(")", len);
                Ok(())
            }
            Some((open, _)) => Err(Fault::at(self.at, format!("</F-{own}> closes <F-{open}>"))
                .hint(format!("write </F-{open}> here"))),
            None => Err(Fault::at(self.at, format!("</F-{own}> closes no tag"))),
        }
    }

    /// The beginning of the group of `<F-own>`, which is noted if it means something to us.
    fn group_start(&mut self, own: &str) -> Result<String, Fault> {
        let shaped = !own.is_empty()
            && own
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !shaped {
            return Err(Fault::at(self.at, format!("<F-{own}> is not a tag"))
                .hint("a tag's name has capital letters, digits and '_'"));
        }
        let role = match own {
            "ID" => Role::Id,
            "IP4" | "IP6" | "ADDR" | "HOST" => Role::Addr,
            "CIDR" => Role::Prefix,
            "USER" => Role::User,
            "DNS" => return Err(names_are_not_trusted(self.at)),
            "MLFID" | "NOFAIL" | "MLFFORGET" | "MLFGAINED" => {
                return Err(multi_line(self.at, &format!("F-{own}")));
            }
            "CONTENT" if self.content => Role::Content,
            "CONTENT" => {
                return Err(
                    Fault::at(self.at, "<F-CONTENT> has a meaning in prefregex only")
                        .hint("remove the tag"),
                );
            }
            _ if own.starts_with("ALT_USER") => Role::AltUser,
            // A group whose text nobody asks for yet.
            _ => return Ok("(?:".to_owned()),
        };
        let name = self.own_name();
        let start = format!("(?P<{name}>");
        self.out.groups.push(Group { name, role });
        Ok(start)
    }
}

fn unsupported(at: usize, what: &str, hint: &str) -> Fault {
    Fault::at(
        at,
        format!("{what} cannot be matched in linear time and is not supported"),
    )
    .hint(hint)
}

fn multi_line(at: usize, tag: &str) -> Fault {
    Fault::at(
        at,
        format!("<{tag}> joins several lines, which is not supported"),
    )
    .hint("write a pattern for each line that is a failure by itself")
}

fn names_are_not_trusted(at: usize) -> Fault {
    Fault::at(at, "host names in logs are not trusted (usedns = no)")
        .hint("use <ADDR>, or <F-ID> for a text that no firewall bans")
}

#[cfg(test)]
mod tests;
