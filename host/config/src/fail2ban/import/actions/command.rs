//! Commands for a shell, as lists of arguments: only those that mean the same without one.
//!
//! A command is taken apart as sh(1) does ("Token Recognition", "Quoting"). Whatever a shell would do
//! beyond that, it is not guessed at but refused, with the character that asks for it.

use crate::diagnostic::quoted;

/// Words that open a construct of the shell where they stand first (POSIX 2.4), and commands that are
/// its own (2.14 and others that differ from the programs of the name, or have none).
const OF_THE_SHELL: [&str; 51] = [
    "!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if",
    "in", "select", "then", "time", "until", "while", "[", "[[", ".", ":", "alias", "bg", "break",
    "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "fg", "hash", "jobs",
    "local", "printf", "read", "readonly", "return", "set", "shift", "source", "test", "times",
    "trap", "type", "umask", "unset",
];

/// Where the programs that a command names are.
pub(in super::super) type Programs<'p> = &'p dyn Fn(&str) -> Option<String>;

/// The arguments of a command with these tags in them, or why it is none without a shell.
///
/// `<ip>` and its like stay; `<fid>`, the id that is banned, is `<ip>` here, and `<name>` `<jail>`.
pub(in super::super) fn argv(
    command: &str,
    tags: &[&str],
    programs: Programs<'_>,
) -> Result<Vec<String>, String> {
    // fail2ban's tags for what its files cannot hold otherwise.
    let command = command.replace("<sp>", " ").replace("<br>", "\n");
    let words = words(command.trim_matches([' ', '\t', '\n']))?;
    let Some(first) = words.first() else {
        return Err("it is empty".to_owned());
    };
    let program = program(first, programs)?;
    let mut argv = Vec::new();
    for word in words {
        argv.push(ours(&word.text, tags)?);
    }
    if let Some(first) = argv.first_mut() {
        *first = program;
    }
    Ok(argv)
}

/// The absolute path of the program that a command begins with.
fn program(first: &Word, programs: Programs<'_>) -> Result<String, String> {
    let name = first.text.as_str();
    if !first.quoted && OF_THE_SHELL.contains(&name) {
        return Err(format!("{} is a word of the shell itself", quoted(name)));
    }
    let assigned = name.split_once('=').map(|(name, _)| name);
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !first.quoted && assigned.is_some_and(|name| !name.is_empty() && is_name(name)) {
        return Err(format!(
            "it needs a shell, for {}, which sets a variable",
            quoted("=")
        ));
    }
    if name.contains('<') {
        return Err(format!(
            "which program it runs, {}, is known with each ban only",
            quoted(name)
        ));
    }
    if name.starts_with('/') {
        return Ok(name.to_owned());
    }
    if name.contains('/') {
        return Err(format!(
            "{} is no absolute path, and depends on where it is started",
            quoted(name)
        ));
    }
    programs(name).ok_or_else(|| format!("there is no program {} on this host", quoted(name)))
}

/// A word of a command, without its quotes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Word {
    text: String,
    /// Whether any of it was quoted, so that it is no word of the shell.
    quoted: bool,
}

/// Takes a command apart.
fn words(command: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut rest = command;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let begins = word.is_none();
        match c {
            ' ' | '\t' => {
                words.extend(word.take());
                rest = after;
                continue;
            }
            '\n' => return Err("it is more than one command, one after the other".to_owned()),
            '<' => {
                let tag = tag_at(rest).ok_or_else(|| needs_shell('<', "a redirection"))?;
                word.get_or_insert_default().text.push_str(tag);
                rest = rest.get(tag.len()..).unwrap_or_default();
                continue;
            }
            _ => {}
        }
        if let Some(what) = meaning(c, begins) {
            return Err(needs_shell(c, what));
        }
        let word = word.get_or_insert_default();
        rest = match c {
            '\'' => single(after, word)?,
            '"' => double(after, word)?,
            '\\' => escaped(after, word)?,
            c => {
                word.text.push(c);
                after
            }
        };
    }
    words.extend(word);
    // A line that only goes on to the next one is no word.
    words.retain(|word: &Word| word.quoted || !word.text.is_empty());
    Ok(words)
}

/// What a character asks of a shell outside of quotes; `begins` says whether it begins a word.
fn meaning(c: char, begins: bool) -> Option<&'static str> {
    match c {
        '|' => Some("a pipe"),
        '&' => Some("a list of commands"),
        ';' => Some("several commands"),
        '(' | ')' => Some("a subshell"),
        '>' => Some("a redirection"),
        '$' => Some("a variable or a command"),
        '`' => Some("a command in a command"),
        '*' | '?' | '[' => Some("names of files"),
        '{' | '}' => Some("braces"),
        '~' => Some("a home directory"),
        '#' if begins => Some("a comment"),
        _ => None,
    }
}

fn needs_shell(c: char, what: &str) -> String {
    format!("it needs a shell, for {} ({what})", quoted(&c.to_string()))
}

/// Everything up to the quote is taken as it is.
fn single<'c>(rest: &'c str, word: &mut Word) -> Result<&'c str, String> {
    let (text, after) = rest
        .split_once('\'')
        .ok_or_else(|| format!("the quote {} is not closed", quoted("'")))?;
    word.text.push_str(text);
    word.quoted = true;
    Ok(after)
}

/// Up to the quote only `$`, a backquote and a backslash before one of five characters mean anything.
fn double<'c>(rest: &'c str, word: &mut Word) -> Result<&'c str, String> {
    word.quoted = true;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(rest.get(at + 1..).unwrap_or_default()),
            '$' => return Err(needs_shell('$', "a variable or a command")),
            '`' => return Err(needs_shell('`', "a command in a command")),
            '\\' => match chars.next_if(|(_, next)| "$`\"\\\n".contains(*next)) {
                Some((_, '\n')) => {}
                Some((_, next)) => word.text.push(next),
                None => word.text.push('\\'),
            },
            c => word.text.push(c),
        }
    }
    Err(format!("the quote {} is not closed", quoted("\"")))
}

/// The character after a backslash; a line's end after it is none at all.
fn escaped<'c>(rest: &'c str, word: &mut Word) -> Result<&'c str, String> {
    let Some(next) = rest.chars().next() else {
        return Err(format!("nothing follows the {}", quoted("\\")));
    };
    if next != '\n' {
        word.text.push(next);
        word.quoted = true;
    }
    Ok(rest.get(next.len_utf8()..).unwrap_or_default())
}

/// The tag that `text` begins with, with its brackets.
fn tag_at(text: &str) -> Option<&str> {
    let name = text.strip_prefix('<')?;
    let len = name.find(|c: char| !(c.is_ascii_alphanumeric() || "-_./*?=".contains(c)))?;
    let closed = name.get(len..)?.starts_with('>') && len > 0;
    closed.then(|| text.get(..len + 2)).flatten()
}

/// A word with the tags that programs are given here, under their names here.
fn ours(word: &str, tags: &[&str]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(tag) = tag_at(from) else {
            out.push('<');
            rest = from.get(1..).unwrap_or_default();
            continue;
        };
        rest = from.get(tag.len()..).unwrap_or_default();
        match tag.trim_matches(['<', '>']) {
            "fid" => out.push_str("<ip>"),
            "name" => out.push_str("<jail>"),
            name if tags.contains(&name) => out.push_str(tag),
            "matches" | "ipmatches" | "ipjailmatches" => {
                return Err(format!(
                    "{tag} is text that attackers write: programs get it as JSON on standard input, \
                     never as an argument"
                ));
            }
            _ => return Err(format!("programs are not given {tag}")),
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::EXEC_TAGS;

    fn programs(name: &str) -> Option<String> {
        (name != "nothing").then(|| format!("/usr/bin/{name}"))
    }

    fn split(command: &str) -> Result<Vec<String>, String> {
        argv(command, &EXEC_TAGS, &programs)
    }

    #[test]
    fn commands_without_a_shell_become_words() {
        for (command, expected) in [
            (
                "/usr/bin/page --ip <ip> 'in <name>' \"a b\"",
                &["/usr/bin/page", "--ip", "<ip>", "in <jail>", "a b"][..],
            ),
            ("page <fid>", &["/usr/bin/page", "<ip>"]),
            ("  page\ta  b ", &["/usr/bin/page", "a", "b"]),
            (
                r#"p a\ b "c\"d\\e\$f\`g\h" 'i\j'"#,
                &["/usr/bin/p", "a b", r#"c"d\e$f`g\h"#, r"i\j"],
            ),
            ("p '' \"\" a''b", &["/usr/bin/p", "", "", "ab"]),
            ("p \\\n  -x \\\n  y", &["/usr/bin/p", "-x", "y"]),
            ("p \"a\\\nb\"", &["/usr/bin/p", "ab"]),
            (
                "p '|&;()<>$`\\*?[{}~#'",
                &["/usr/bin/p", "|&;()<>$`\\*?[{}~#"],
            ),
            (r"p \| \$ \* a#b", &["/usr/bin/p", "|", "$", "*", "a#b"]),
            (
                "p x=y 10% a@b,c:d",
                &["/usr/bin/p", "x=y", "10%", "a@b,c:d"],
            ),
            ("p<sp>a'<br>'", &["/usr/bin/p", "a\n"]),
            (
                "p '{\"ip\":\"<ip>\",\"n\":<failures>}'",
                &["/usr/bin/p", "{\"ip\":\"<ip>\",\"n\":<failures>}"],
            ),
            ("'echo' a", &["/usr/bin/echo", "a"]),
            ("p 'a < b' \"<>\"", &["/usr/bin/p", "a < b", "<>"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|&it| it.to_owned()).collect();
            assert_eq!(split(command), Ok(expected), "{command}");
        }
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused_with_the_character() {
        for (command, reason) in [
            ("/bin/a | /bin/b", "it needs a shell, for '|' (a pipe)"),
            ("/bin/a && b", "for '&'"),
            ("/bin/a; b", "for ';'"),
            ("( /bin/a )", "for '('"),
            ("/bin/a > /tmp/x", "for '>'"),
            ("/bin/a 2>/tmp/x", "for '>'"),
            ("/bin/a < /tmp/x", "for '<' (a redirection)"),
            ("/bin/a \"$x\"", "for '$'"),
            ("/bin/a $x", "for '$'"),
            ("/bin/a \"`b`\"", "for '`'"),
            ("/bin/a `b`", "for '`'"),
            ("/bin/a *.log", "for '*'"),
            ("/bin/a {b,c}", "for '{'"),
            ("/bin/a ~/x", "for '~'"),
            ("/bin/a # b", "for '#'"),
            ("/bin/a 'b", "the quote ''' is not closed"),
            ("/bin/a \"b", "is not closed"),
            ("/bin/a \\", "nothing follows"),
            ("/bin/a\n/bin/b", "more than one command"),
            ("/bin/a<br>/bin/b", "more than one command"),
            ("A=1 /bin/a", "for '=', which sets a variable"),
            ("if true", "'if' is a word of the shell itself"),
            ("echo <ip>", "'echo' is a word of the shell itself"),
            ("/bin/a <matches>", "<matches> is text that attackers write"),
            ("/bin/a '<F-USER>'", "programs are not given <F-USER>"),
            ("/bin/a <ip-rev>x", "programs are not given <ip-rev>"),
            ("<tool> <ip>", "which program it runs, '<tool>'"),
            ("./page <ip>", "no absolute path"),
            ("nothing <ip>", "there is no program 'nothing' on this host"),
            ("", "it is empty"),
            (" \n ", "it is empty"),
        ] {
            let why = split(command).unwrap_err();
            assert!(why.contains(reason), "{command}: {why}");
        }
    }

    /// What a real shell makes of a command.
    #[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
    fn by_shell(command: &str) -> Option<Vec<String>> {
        let script =
            format!("show() {{ for it do printf '%s\\0' \"$it\"; done; }}; show {command}");
        let output = std::process::Command::new("/bin/sh")
            .args(["-f", "-c", &script])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words = text.strip_suffix('\0').unwrap_or_default().split('\0');
        (output.status.success() && output.stderr.is_empty())
            .then(|| words.map(str::to_owned).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn whatever_becomes_words_is_what_a_shell_makes_of_it(rest in "[ab '\"\\\\\n\t=%é]{0,24}") {
            if let Ok(ours) = split(&format!("p {rest}")) {
                let theirs = by_shell(&rest);
                prop_assert!(theirs.is_some(), "a shell refuses {rest:?}");
                let theirs = theirs.unwrap_or_default();
                let ours = ours.get(1..).unwrap_or_default();
                let none = ours.is_empty() && theirs == [""];
                prop_assert!(none || ours == theirs, "{rest:?}: {ours:?}, not {theirs:?}");
            }
        }

        #[test]
        fn any_command_is_taken_apart_or_refused(command in ".*") {
            let _either = split(&command);
        }
    }
}
