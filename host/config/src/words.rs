//! Names, sizes and journal matches.

use stockade_core::PluginName;

/// Whether `name` may be the name of a plugin or of a filter.
pub(crate) fn is_name(name: &str) -> bool {
    PluginName::try_new(name).is_ok()
}

/// What [`is_name`] asks for.
pub(crate) const NAME_FORM: &str =
    "1 to 64 letters, digits, '_', '-' and '.', not beginning with '-' or '.'";

/// Reads a size in bytes: `"32MiB"`, `"512KiB"`, `"1GiB"` or a plain number.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text.get(digits.len()..)?.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// `size` as it would be written.
pub(crate) fn show_size(size: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units
        .iter()
        .find(|(bits, _)| size > 0 && size.is_multiple_of(1 << bits));
    match unit {
        Some((bits, name)) => format!("{}{name}", size >> bits),
        None => format!("{size} bytes"),
    }
}

/// Why a text is not a `FIELD=value` of the journal (systemd.journal-fields(7)).
pub(crate) fn check_journal_match(text: &str) -> Result<(), &'static str> {
    /// journald drops fields with longer names.
    const FIELD_LEN_MAX: usize = 64;
    let Some((field, value)) = text.split_once('=') else {
        return Err("a journal match is written FIELD=value");
    };
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if field.is_empty() || field.len() > FIELD_LEN_MAX || !field.chars().all(allowed) {
        return Err("the name of a journal field has only A-Z, 0-9 and '_'");
    }
    if value.is_empty() {
        return Err("the journal match has no value");
    }
    if value.contains(" + ")
        || value
            .split(' ')
            .skip(1)
            .any(|word| check_journal_match(word).is_ok())
    {
        return Err("this is more than one journal match");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, size) in [
            ("32MiB", 32 << 20),
            ("1 GiB", 1 << 30),
            ("7", 7),
            ("512KiB", 1 << 19),
        ] {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        assert_eq!(show_size(32 << 20), "32MiB");
        assert_eq!(show_size(1_000), "1000 bytes");
        for text in ["", "MiB", "-1", "1.5MiB", "32MB", "1é", "99999999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_journal_match_is_one_field_and_its_value() {
        for text in ["_COMM=sshd", "_SYSTEMD_UNIT=ssh.service", "_CMDLINE=a b=c"] {
            assert_eq!(check_journal_match(text), Ok(()), "{text}");
        }
        for text in [
            "sshd",
            "=x",
            "comm=x",
            "A=",
            "A=1 + B=2",
            "A=1 B=2",
            "--since=now",
        ] {
            assert!(check_journal_match(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_could_break_out_are_refused() {
        for name in ["", "a/b", "..", "-x", "a b", "a\0", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
        assert_eq!(
            PluginName::try_new("web-hook_2").unwrap().as_str(),
            "web-hook_2"
        );
    }
}
