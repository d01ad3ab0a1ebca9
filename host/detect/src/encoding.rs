//! From the bytes of a line to text.

use std::borrow::Cow;

use encoding_rs::Encoding;

use crate::prefilter::Needs;

/// How the bytes of a line become text. Bytes that mean nothing become U+FFFD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogEncoding {
    /// UTF-8.
    #[default]
    Auto,
    /// Another one.
    Named(NamedEncoding),
}

/// An encoding in which ASCII is ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamedEncoding(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Ascii,
    Latin1,
    Other(&'static Encoding),
}

/// There is no such encoding, or none that a log can be read in line by line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Nobody knows the name.
    #[error("unknown encoding")]
    Unknown,
    /// A line feed or ASCII text is not the same bytes in it, so that lines cannot be told apart.
    #[error("the encoding does not keep ASCII as it is, so lines cannot be told apart")]
    NotAscii,
}

impl LogEncoding {
    /// The encoding that `name` stands for, in the spelling of Python, IANA or the web; `auto` is
    /// UTF-8.
    ///
    /// # Errors
    /// Where there is none, or where it cannot be used.
    pub fn named(name: &str) -> Result<Self, EncodingError> {
        let name = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        match name.as_str() {
            "auto" | "utf-8" | "utf8" | "u8" | "cp65001" | "utf-8-sig" => return Ok(Self::Auto),
            "ascii" | "us-ascii" | "646" => return Ok(Self::Named(NamedEncoding(Kind::Ascii))),
            // The web reads these as windows-1252, Python does not.
            "latin-1" | "latin1" | "latin" | "l1" | "iso-8859-1" | "iso8859-1" | "8859"
            | "cp819" => return Ok(Self::Named(NamedEncoding(Kind::Latin1))),
            _ if name.starts_with("utf-16") || name.starts_with("utf-32") => {
                return Err(EncodingError::NotAscii);
            }
            _ => {}
        }
        let name = match name.as_str() {
            "macroman" | "mac-roman" | "macintosh" => "macintosh".to_owned(),
            "mac-cyrillic" | "maccyrillic" => "x-mac-cyrillic".to_owned(),
            "cp932" | "932" | "ms932" | "mskanji" => "windows-31j".to_owned(),
            _ => name,
        };
        let labels = [
            name.clone(),
            name.replace('-', ""),
            name.replacen("cp", "windows-", 1),
            name.replacen("iso", "iso-", 1),
        ];
        let encoding = labels
            .iter()
            .find_map(|label| Encoding::for_label(label.as_bytes()))
            .ok_or(EncodingError::Unknown)?;
        if encoding == encoding_rs::UTF_8 {
            return Ok(Self::Auto);
        }
        if !encoding.is_ascii_compatible() {
            return Err(EncodingError::NotAscii);
        }
        Ok(Self::Named(NamedEncoding(Kind::Other(encoding))))
    }

    /// `needs`, as far as the same texts are the same bytes in this encoding: where they are ASCII.
    pub(crate) fn needed(self, needs: Needs) -> Needs {
        match (self, needs) {
            (Self::Named(_), Needs::Texts(texts))
                if texts.iter().any(|(text, _)| !text.is_ascii()) =>
            {
                Needs::Every
            }
            // What cannot be read is read as U+FFFD, which is other bytes.
            (Self::Auto, Needs::Texts(texts))
                if texts.iter().any(|(text, _)| has_replacement(text)) =>
            {
                Needs::Every
            }
            (_, needs) => needs,
        }
    }

    /// The text that `line` stands for.
    pub(crate) fn decode(self, line: &[u8]) -> Cow<'_, str> {
        let kind = match self {
            Self::Auto => return String::from_utf8_lossy(line),
            Self::Named(NamedEncoding(kind)) => kind,
        };
        // In all of them ASCII is ASCII, and most lines are nothing else.
        if line.is_ascii()
            && let Ok(text) = std::str::from_utf8(line)
        {
            return Cow::Borrowed(text);
        }
        match kind {
            Kind::Ascii => {
                let char = |&byte: &u8| match byte {
                    0..=0x7f => char::from(byte),
                    _ => char::REPLACEMENT_CHARACTER,
                };
                Cow::Owned(line.iter().map(char).collect())
            }
            Kind::Latin1 => Cow::Owned(line.iter().copied().map(char::from).collect()),
            Kind::Other(encoding) => {
                let text = encoding.decode_without_bom_handling(line).0;
                match encoding.name().starts_with("windows-125") {
                    true => without_controls(text),
                    false => text,
                }
            }
        }
    }
}

/// Bytes that Windows has no letter for mean nothing to Python; the web reads them as controls.
fn without_controls(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_control = |c| ('\u{80}'..='\u{9f}').contains(&c);
    match text.contains(is_control) {
        true => Cow::Owned(text.replace(is_control, "\u{fffd}")),
        false => text,
    }
}

fn has_replacement(text: &[u8]) -> bool {
    text.windows(3).any(|bytes| bytes == b"\xef\xbf\xbd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn decoded(name: &str, bytes: &[u8], expected: &str) {
        assert_eq!(LogEncoding::named(name).unwrap().decode(bytes), expected);
    }

    #[test]
    fn bytes_become_text_in_the_encoding_that_is_named() {
        decoded("auto", b"ok\xff\xc3\xa9", "ok\u{fffd}\u{e9}");
        decoded("UTF-8", b"\xe2\x82", "\u{fffd}");
        decoded("ascii", b"a\x80\xff", "a\u{fffd}\u{fffd}");
        decoded("latin_1", b"\x80\xe9", "\u{80}\u{e9}");
        decoded("cp1252", b"\x80\x81\xe9", "\u{20ac}\u{fffd}\u{e9}");
        decoded("mac_roman", b"\x8e", "\u{e9}");
        decoded("cp932", b"\x83\x41", "\u{30a2}");
        decoded("iso8859-15", b"\xa4", "\u{20ac}");
        decoded("koi8_r", b"\xc1", "\u{430}");
        decoded("shift_jis", b"\x83\x41", "\u{30a2}");
    }

    #[test]
    fn an_encoding_whose_lines_cannot_be_told_apart_is_refused() {
        for name in ["utf-16", "utf_16_le", "UTF-32", "iso-2022-jp"] {
            assert_eq!(
                LogEncoding::named(name),
                Err(EncodingError::NotAscii),
                "{name}"
            );
        }
        assert_eq!(LogEncoding::named("klingon"), Err(EncodingError::Unknown));
    }
}
