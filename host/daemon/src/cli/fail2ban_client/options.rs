//! The options before the command, as fail2ban-client(1) has them.

use std::path::PathBuf;

/// fail2ban's own socket; scripts that name it mean "the default one".
const THEIR_SOCKETS: [&str; 2] = [
    "/var/run/fail2ban/fail2ban.sock",
    "/run/fail2ban/fail2ban.sock",
];

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// fail2ban's configuration directory.
    pub(super) conf: Option<PathBuf>,
    /// Our socket, where it is not the default one.
    pub(super) socket: Option<PathBuf>,
    /// The command and its words.
    pub(super) words: Vec<String>,
    pub(super) ask: Ask,
}

/// What is asked for by an option instead of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Ask {
    #[default]
    Command,
    Help,
    Version,
    ShortVersion,
    Test,
    Seconds(String),
}

/// Options that have a value and make no difference here: the process and its log are stockade's.
const IGNORED_WITH_VALUE: [&str; 7] = [
    "-p",
    "--pidfile",
    "--pname",
    "--loglevel",
    "--logtarget",
    "--syslogsocket",
    "--timeout",
];
/// Options without a value that make no difference here.
const IGNORED: [&str; 7] = ["-i", "-v", "-q", "-x", "-b", "-f", "--async"];

/// Reads the arguments after the program's name; `None` for what fail2ban-client does not know.
pub(super) fn parse(arguments: Vec<String>) -> Option<Options> {
    let mut options = Options::default();
    let mut rest = arguments.into_iter();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') {
            options.words.push(word);
            options.words.extend(rest);
            break;
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                (name.to_owned(), Some(value.to_owned()))
            }
            _ => (word, None),
        };
        let mut value = || inline.clone().or_else(|| rest.next());
        match name.as_str() {
            "-c" | "--conf" => options.conf = Some(value()?.into()),
            "-s" | "--socket" => {
                let path = value()?;
                options.socket = (!THEIR_SOCKETS.contains(&path.as_str())).then(|| path.into());
            }
            "-h" | "--help" => options.ask = Ask::Help,
            "-V" => options.ask = Ask::ShortVersion,
            "--version" => options.ask = Ask::Version,
            "-t" | "--test" => options.ask = Ask::Test,
            "--str2sec" => options.ask = Ask::Seconds(value()?),
            name if IGNORED_WITH_VALUE.contains(&name) => drop(value()?),
            name if IGNORED.contains(&name) => {}
            // -vv, -qq
            name if is_repeated(name) => {}
            _ => return None,
        }
    }
    Some(options)
}

fn is_repeated(name: &str) -> bool {
    let letters = name.strip_prefix('-').unwrap_or_default();
    !letters.is_empty()
        && letters
            .bytes()
            .all(|b| matches!(b, b'v' | b'q' | b'x' | b'b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Options> {
        parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let options =
            words("-c /etc/fail2ban -vv -s /x set sshd unbanip --report-absent 1").unwrap();
        assert_eq!(options.conf, Some("/etc/fail2ban".into()));
        assert_eq!(options.socket, Some("/x".into()));
        assert_eq!(
            options.words,
            ["set", "sshd", "unbanip", "--report-absent", "1"]
        );
    }

    #[test]
    fn the_socket_of_fail2ban_is_the_default_one() {
        let options = words("--socket=/var/run/fail2ban/fail2ban.sock ping").unwrap();
        assert_eq!(options.socket, None);
        assert_eq!(options.words, ["ping"]);
    }

    #[test]
    fn what_fail2ban_does_not_know_is_refused() {
        assert_eq!(words("--ping"), None);
        assert_eq!(words("-c"), None);
        assert_eq!(
            words("--str2sec 1h").unwrap().ask,
            Ask::Seconds("1h".into())
        );
    }
}
