//! `stockade regex`: try a filter on a log. What matches, what is missed, and why.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stockade_config::{Diagnostic, FilterSettings, Located, load, load_filter, read_filter_file};
use stockade_control::{ExitCode, Time};
use stockade_core::Timestamp;
use stockade_detect::{Filter, FilterRun, FilterSource, Outcome};

use super::args::{GlobalArgs, RegexArgs};
use super::{Failure, print, print_json};
use crate::clock;
use crate::log::Local;
use crate::run::TriedPlugin;
use crate::setup;
use stockade_core::Escaped;

/// Missed lines that are shown without being asked for.
const MISSED_SHOWN: usize = 20;

/// Judges every line of a log by a filter.
pub(super) fn regex(global: &GlobalArgs, args: &RegexArgs) -> Result<ExitCode, Failure> {
    let filter = Tried::find(global, args)?;
    let log = read_log(&args.log)?;
    let report = filter.judge(&log, clock::now());
    if global.json {
        print_json(&report.wire(args));
    } else {
        print(&report.text(args));
    }
    Ok(if report.matched() == 0 {
        ExitCode::Refused
    } else {
        ExitCode::Ok
    })
}

/// What is tried.
enum Tried {
    Plain {
        filter: Arc<Filter>,
        patterns: Vec<String>,
        /// What the filter's file calls one of them.
        word: &'static str,
        zone: TimeZone,
    },
    Plugin(Box<TriedPlugin>),
}

impl Tried {
    /// A `.wasm` or `.toml` file, the name of a filter, or else a failregex.
    fn find(global: &GlobalArgs, args: &RegexArgs) -> Result<Self, Failure> {
        let path = Path::new(&args.filter);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("wasm") => {
                let settings = args
                    .settings
                    .iter()
                    .map(|text| setting(text))
                    .collect::<Result<_, _>>()?;
                let plugin = TriedPlugin::load(path, settings)
                    .map_err(|why| Failure::text(ExitCode::Refused, why))?;
                return Ok(Self::Plugin(Box::new(plugin)));
            }
            Some("toml") => return Self::of_file(path),
            _ => {}
        }
        let loaded = load(&global.configuration().files());
        if let Some(filter) = loaded
            .settings
            .as_ref()
            .and_then(|settings| settings.filters.get(&args.filter))
        {
            return Self::of_settings(filter, &loaded.sources);
        }
        if args.filter.contains('<') {
            return Self::of_pattern(&args.filter);
        }
        super::tell(&loaded.diagnostics);
        if loaded.filters.contains_key(&args.filter) {
            let message = format!("filter '{}' cannot be used, see above", args.filter);
            return Err(Failure::text(ExitCode::Config, message));
        }
        let hint = "give a filter's name, a .toml or .wasm file, or a failregex with <HOST>";
        Err(Failure::text(
            ExitCode::Refused,
            format!("there is no filter '{}'", args.filter),
        )
        .hint(hint))
    }

    fn of_file(path: &Path) -> Result<Self, Failure> {
        let file = read_filter_file(path).map_err(|error| {
            Failure::text(
                ExitCode::Refused,
                format!("cannot read '{}': {error}", path.display()),
            )
        })?;
        let loaded = load_filter(&file);
        super::tell(&loaded.diagnostics);
        let filter = loaded.filter.ok_or_else(|| {
            Failure::text(ExitCode::Config, format!("'{}' has errors", path.display()))
        })?;
        Self::of_settings(&filter, &loaded.sources)
    }

    fn of_settings(
        filter: &FilterSettings,
        sources: &stockade_config::Sources,
    ) -> Result<Self, Failure> {
        let text = |located: &Located<String>| located.value.clone();
        match setup::compile(filter, setup::Reads::default()) {
            Ok(compiled) => Ok(match &filter.json {
                Some(json) => {
                    let rules = json.failure.iter().map(ToString::to_string);
                    Self::plain(compiled, rules.collect(), "failure")
                }
                None => {
                    let patterns = filter.failregex.iter().map(text);
                    Self::plain(compiled, patterns.collect(), "failregex")
                }
            }),
            Err(errors) => {
                for error in errors {
                    if let Some(at) = setup::place(filter, error.which) {
                        let found =
                            Diagnostic::at(sources, at, error.offset, error.message, error.hint);
                        super::tell(&[found]);
                    }
                }
                Err(Failure::text(
                    ExitCode::Config,
                    format!("filter '{}' has errors", filter.name),
                ))
            }
        }
    }

    fn of_pattern(pattern: &str) -> Result<Self, Failure> {
        let source = FilterSource {
            failregex: vec![pattern.to_owned()],
            ..FilterSource::default()
        };
        match Filter::compile(&source) {
            Ok(filter) => Ok(Self::plain(filter, vec![pattern.to_owned()], "failregex")),
            Err(errors) => {
                let first = errors.into_iter().next();
                let hint = first.as_ref().and_then(|error| error.hint.clone());
                let message = first.map_or_else(String::new, |error| error.to_string());
                Err(Failure {
                    code: ExitCode::Usage,
                    message,
                    hint,
                })
            }
        }
    }

    fn plain(filter: Filter, patterns: Vec<String>, word: &'static str) -> Self {
        Self::Plain {
            filter: Arc::new(filter),
            patterns,
            word,
            zone: TimeZone::system(),
        }
    }

    fn judge(self, log: &[u8], now: Timestamp) -> Report {
        let lines = || log.split_inclusive(|byte| *byte == b'\n').map(without_end);
        match self {
            Self::Plain {
                filter,
                patterns,
                word,
                zone,
            } => {
                let mut run = FilterRun::new(filter, zone);
                Report {
                    lines: lines()
                        .map(|line| judge_line(&mut run, line, now))
                        .collect(),
                    patterns,
                    word,
                }
            }
            Self::Plugin(mut plugin) => {
                let mut text = log.to_vec();
                if !text.ends_with(b"\n") {
                    text.push(b'\n');
                }
                let mut failures = plugin.judge(text).into_iter().peekable();
                let mut start = 0;
                let mut judged = Vec::new();
                for line in log.split_inclusive(|byte| *byte == b'\n') {
                    let content = without_end(line);
                    let mut verdict = Verdict::Missed;
                    let mut time = None;
                    while let Some(failure) = failures.next_if(|failure| failure.start == start) {
                        time = Some(failure.at);
                        let user = failure.user.map(|user| Escaped(&user).to_string());
                        verdict = Verdict::Matched {
                            pattern: None,
                            id: failure.id.to_string(),
                            user,
                        };
                    }
                    judged.push(Line {
                        text: Escaped(content).to_string(),
                        time,
                        verdict,
                    });
                    start += line.len();
                }
                Report {
                    lines: judged,
                    patterns: Vec::new(),
                    word: "failregex",
                }
            }
        }
    }
}

fn setting(text: &str) -> Result<(String, String), Failure> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| Failure::text(ExitCode::Usage, format!("'{text}' is not KEY=VALUE")))
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn judge_line(run: &mut FilterRun, line: &[u8], now: Timestamp) -> Line {
    let explained = run.explain(line, now);
    let matched = |pattern, id: String, user: Option<stockade_core::Span>| Verdict::Matched {
        pattern: Some(pattern),
        id,
        user: user.map(|span| Escaped(span.of(line)).to_string()),
    };
    let verdict = match explained.outcome {
        Outcome::Matched { pattern, id, user } => matched(
            pattern,
            Escaped(id.to_string().as_bytes()).to_string(),
            user,
        ),
        Outcome::MatchedName {
            pattern,
            name,
            user,
        } => matched(pattern, Escaped(name.as_bytes()).to_string(), user),
        Outcome::Nobody { .. } => Verdict::Nobody,
        Outcome::Waiting { .. } => Verdict::Waiting,
        Outcome::GaveUp { .. } => Verdict::GaveUp,
        Outcome::Ignored { .. } => Verdict::Ignored,
        Outcome::Ambiguous { .. } => Verdict::Ambiguous,
        Outcome::Overlong => Verdict::Overlong,
        Outcome::Missed => Verdict::Missed,
    };
    Line {
        text: Escaped(line).to_string(),
        time: explained.time.map(|(at, _)| at),
        verdict,
    }
}

/// A file, standard input, or one line.
fn read_log(log: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::text(ExitCode::Refused, format!("cannot read '{log}': {error}"));
    if log == "-" {
        let mut text = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut text)
            .map_err(failed)?;
        return Ok(text);
    }
    if Path::new(log).exists() {
        return std::fs::read(log).map_err(failed);
    }
    // A line has blanks; a mistyped path rarely has.
    if log.contains(' ') {
        return Ok(log.as_bytes().to_vec());
    }
    Err(Failure::text(
        ExitCode::Refused,
        format!("there is no file '{log}'"),
    ))
}

/// A line with its verdict; texts are escaped.
struct Line {
    text: String,
    time: Option<Timestamp>,
    verdict: Verdict,
}

enum Verdict {
    Matched {
        pattern: Option<usize>,
        /// An address, a network, or a text, escaped.
        id: String,
        user: Option<String>,
    },
    Ignored,
    /// A line of a session that is no failure so far.
    Waiting,
    /// A failregex matched and named no address.
    Nobody,
    /// A pattern would take too many steps.
    GaveUp,
    Ambiguous,
    Overlong,
    Missed,
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Matched { .. } => "matched",
            Self::Ignored => "ignored",
            Self::Waiting => "waiting",
            Self::Nobody => "nobody",
            Self::GaveUp => "gave up",
            Self::Ambiguous => "ambiguous",
            Self::Overlong => "overlong",
            Self::Missed => "missed",
        }
    }
}

struct Report {
    lines: Vec<Line>,
    patterns: Vec<String>,
    word: &'static str,
}

impl Report {
    fn matched(&self) -> usize {
        self.count("matched")
    }

    fn count(&self, word: &str) -> usize {
        self.lines
            .iter()
            .filter(|line| line.verdict.word() == word)
            .count()
    }

    fn hits(&self, pattern: usize) -> usize {
        let of = |line: &&Line| matches!(line.verdict, Verdict::Matched { pattern: Some(p), .. } if p == pattern);
        self.lines.iter().filter(of).count()
    }

    /// See docs/control-protocol.md for the shape.
    fn wire(&self, args: &RegexArgs) -> serde_json::Value {
        let patterns = self.patterns.iter().enumerate();
        let lines = self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| self.is_shown(line, args));
        serde_json::json!({
            "lines": self.lines.len(),
            "matched": self.matched(),
            "missed": self.count("missed"),
            "ignored": self.count("ignored"),
            "waiting": self.count("waiting"),
            "nobody": self.count("nobody"),
            "gave_up": self.count("gave up"),
            "ambiguous": self.count("ambiguous"),
            "overlong": self.count("overlong"),
            "undated": self.lines.iter().filter(|line| line.time.is_none()).count(),
            "patterns": patterns.map(|(i, text)| serde_json::json!({"failregex": text, "matched": self.hits(i)})).collect::<Vec<_>>(),
            "results": lines.map(|(number, line)| wire_line(number + 1, line)).collect::<Vec<_>>(),
        })
    }

    fn is_shown(&self, line: &Line, args: &RegexArgs) -> bool {
        match line.verdict {
            Verdict::Matched { .. } => true,
            Verdict::Ignored => args.print_ignored,
            Verdict::Missed => args.print_missed || self.count("missed") <= MISSED_SHOWN,
            Verdict::Waiting
            | Verdict::Nobody
            | Verdict::GaveUp
            | Verdict::Ambiguous
            | Verdict::Overlong => true,
        }
    }

    fn text(&self, args: &RegexArgs) -> String {
        let mut text = String::new();
        let mut add = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        for (index, pattern) in self
            .patterns
            .iter()
            .enumerate()
            .filter(|(index, _)| self.hits(*index) > 0)
        {
            add(format!(
                "{} {} matched {} times: {pattern}",
                self.word,
                index + 1,
                self.hits(index)
            ));
        }
        let shown = [
            ("matched", args.print_matched || self.lines.len() == 1),
            (
                "missed",
                args.print_missed || self.count("missed") <= MISSED_SHOWN,
            ),
            ("ignored", args.print_ignored),
            ("waiting", args.print_matched || self.lines.len() == 1),
            ("nobody", true),
            ("gave up", true),
            ("ambiguous", true),
            ("overlong", false),
        ];
        for (verdict, is_shown) in shown {
            for (number, line) in self.lines.iter().enumerate() {
                if is_shown && line.verdict.word() == verdict {
                    add(format!("{verdict:<9} {:>5}: {}", number + 1, line.text));
                    add_reason(line, self.word, &mut add);
                }
            }
        }
        let counts = [
            "matched",
            "missed",
            "ignored",
            "waiting",
            "nobody",
            "gave up",
            "ambiguous",
            "overlong",
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .map(|word| (word, self.count(word)))
            .filter(|(word, count)| *count > 0 || matches!(*word, "matched" | "missed"))
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        add(format!("{} lines: {}", self.lines.len(), counts.join(", ")));
        text
    }
}

fn add_reason(line: &Line, word: &str, add: &mut impl FnMut(String)) {
    if let Verdict::Matched { pattern, id, user } = &line.verdict {
        let time = line
            .time
            .map_or_else(|| "no date".to_owned(), |at| Local(at).to_string());
        let user = user
            .as_ref()
            .map(|user| format!(", user {user}"))
            .unwrap_or_default();
        let pattern = pattern
            .map(|index| format!(", {word} {}", index + 1))
            .unwrap_or_default();
        add(format!("                 {id}, {time}{user}{pattern}"));
    }
}

fn wire_line(number: usize, line: &Line) -> serde_json::Value {
    let (pattern, id, user) = match &line.verdict {
        Verdict::Matched { pattern, id, user } => {
            (pattern.map(|p| p + 1), Some(id.clone()), user.clone())
        }
        _ => (None, None, None),
    };
    serde_json::json!({
        "line": number,
        "verdict": line.verdict.word(),
        "time": line.time.map(Time::from),
        "id": id,
        "user": user,
        "failregex": pattern,
        "text": line.text,
    })
}
