//! fail2ban itself, asked what it finds: one long-lived Python process with the installed package.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use stockade_core::Timestamp;

use crate::verdict::Verdict;

/// The side of the conversation that imports fail2ban.
const PROGRAM: &str = concat!(include_str!("invent.py"), include_str!("oracle.py"));

/// Debian's package is seen by Debian's Python alone; another one may come first on `PATH`.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// Set where a test must not be skipped because something is not installed.
pub const MUST_RUN: &str = "STOCKADE_TESTS_MUST_RUN";

/// Where Debian's package has its code.
pub const PACKAGE: &str = "/usr/lib/python3/dist-packages/fail2ban";

/// Why fail2ban could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// Python or fail2ban is not installed.
    #[error("no Python that can import fail2ban: {0}")]
    Missing(String),
    /// The process ended, or what it says cannot be read.
    #[error("fail2ban's process does not answer")]
    Silent(#[source] io::Error),
    /// It could not do what was asked.
    #[error("fail2ban refuses: {0}")]
    Refused(String),
}

/// Time and place of fail2ban's process.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it takes for now.
    pub now: Timestamp,
    /// The zone of dates without one, as the variable TZ has it.
    pub zone: String,
    /// A tree of fail2ban's sources instead of the package that Python finds.
    pub tree: Option<PathBuf>,
}

/// fail2ban in a process of its own.
#[derive(Debug)]
pub struct Oracle {
    child: Child,
    /// `None` only while it is being stopped.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    version: String,
}

/// A filter in fail2ban's process.
#[derive(Clone, Debug, Deserialize)]
pub struct TheirFilter {
    filter: usize,
    /// Its patterns, all expanded.
    pub failregex: Vec<String>,
    /// Likewise, without fail2ban's tags replaced.
    pub prefregex: Option<String>,
    /// Likewise.
    pub ignoreregex: Vec<String>,
    /// How many lines a pattern sees.
    pub maxlines: u32,
    /// As fail2ban's client hands it over.
    pub datepattern: Option<Value>,
}

/// Where a date stands, in characters, and when it is, in microseconds since the epoch, if it can be.
pub type TheirDate = (usize, usize, Option<i64>);

/// What fail2ban says of one line: its findings, or the exception that it stumbled over.
pub type Judged = Result<Vec<Verdict>, String>;

/// How lines are to be judged.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Every failregex is tried, also those after one that matches.
    pub every: bool,
    /// The first line is the first that the filter ever sees.
    pub forget: bool,
    /// The time of a line is not looked for in it, but is now.
    pub journal: bool,
    /// When each line is read, in seconds since the epoch; empty where the time stands still.
    pub times: Vec<i64>,
}

/// Patterns of a filter that stands in no file.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Patterns {
    /// What every line has to match.
    pub prefregex: Option<String>,
    /// What a failure looks like.
    pub failregex: Vec<String>,
    /// What is no failure after all.
    pub ignoreregex: Vec<String>,
    /// Templates, one a line; `None` for fail2ban's own.
    pub datepattern: Option<String>,
    /// How many lines a pattern sees; `None` for one.
    pub maxlines: Option<u32>,
    /// `yes`, `warn`, `no` or `raw`; `None` for `warn`.
    pub usedns: Option<String>,
    /// The zone of dates without one, in fail2ban's words; `None` for that of the process.
    pub logtimezone: Option<String>,
    /// As in a running daemon, dates far from now count as now.
    pub operating: bool,
}

impl Oracle {
    /// Starts fail2ban.
    ///
    /// # Errors
    /// Where no Python can import it.
    pub fn start(setup: &Setup) -> Result<Self, OracleError> {
        let mut said = Vec::new();
        for python in PYTHONS {
            match Self::start_with(python, setup) {
                Ok(oracle) => return Ok(oracle),
                Err(cause) => said.push(format!("{python}: {cause}")),
            }
        }
        Err(OracleError::Missing(said.join("; ")))
    }

    fn start_with(python: &str, setup: &Setup) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "fail2ban is written in Python")]
        let mut command = Command::new(python);
        let seconds = setup.now.as_micros() / 1_000_000;
        let mut child = command
            .args(["-B", "-c", PROGRAM])
            .arg(setup.tree.as_deref().unwrap_or(Path::new("")))
            .arg(seconds.to_string())
            .env("TZ", &setup.zone)
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| io::Error::other("it has no output"))?;
        let mut oracle = Self {
            child,
            input,
            output: BufReader::new(output),
            version: String::new(),
        };
        #[derive(Deserialize)]
        struct Hello {
            version: String,
        }
        let hello: Hello = serde_json::from_str(&oracle.line()?)?;
        oracle.version = hello.version;
        Ok(oracle)
    }

    /// The version of fail2ban.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it is of this version or a later one.
    #[must_use]
    pub fn is_since(&self, version: [u32; 3]) -> bool {
        let parts = self.version.split(['.', '-', '+', '~']);
        let own = parts.map(|part| part.parse().unwrap_or(0)).take(3);
        own.collect::<Vec<u32>>().as_slice() >= version.as_slice()
    }

    /// Reads a filter of a configuration folder such as `/etc/fail2ban`, with options as in brackets
    /// behind its name. With `names` host names are ids of their own, without they are nobody.
    ///
    /// # Errors
    /// Where fail2ban cannot read it.
    pub fn read(
        &mut self,
        dir: &Path,
        name: &str,
        options: &[(String, String)],
        names: bool,
    ) -> Result<TheirFilter, OracleError> {
        let options: serde_json::Map<_, _> = options
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        self.ask(json!({
            "ask": "read",
            "dir": dir,
            "name": name,
            "options": options,
            "usedns": if names { "warn" } else { "no" },
            "raw": names,
        }))
    }

    /// Makes a filter. With `raw` names are not resolved.
    ///
    /// # Errors
    /// Where fail2ban refuses a pattern.
    pub fn make(&mut self, patterns: &Patterns, raw: bool) -> Result<TheirFilter, OracleError> {
        let mut request = json!(patterns);
        let more = json!({"ask": "make", "raw": raw});
        if let (Value::Object(request), Value::Object(more)) = (&mut request, more) {
            request.extend(more);
        }
        self.ask(request)
    }

    /// Asks what is found in lines, one after the other.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn judge<L: AsRef<[u8]>>(
        &mut self,
        filter: &TheirFilter,
        lines: impl IntoIterator<Item = L>,
        question: &Question,
    ) -> Result<Vec<Judged>, OracleError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum One {
            Found(Vec<Verdict>),
            Fault(String),
        }
        let lines: Vec<String> = lines.into_iter().map(|line| sent(line.as_ref())).collect();
        let results: Vec<One> = self.results(json!({
            "ask": "judge",
            "filter": filter.filter,
            "lines": lines,
            "every": question.every,
            "forget": question.forget,
            "journal": question.journal,
            "times": question.times,
        }))?;
        let judged = |one| match one {
            One::Found(found) => Ok(found),
            One::Fault(fault) => Err(fault),
        };
        Ok(results.into_iter().map(judged).collect())
    }

    /// Asks for texts that the patterns of a filter describe, near enough to be of interest.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn invent(
        &mut self,
        filter: &TheirFilter,
        seed: u64,
        count: usize,
    ) -> Result<Vec<Vec<u8>>, OracleError> {
        let texts: Vec<String> = self.results(json!({
            "ask": "invent",
            "filter": filter.filter,
            "seed": seed,
            "count": count,
        }))?;
        Ok(texts.iter().map(|text| received(text)).collect())
    }

    /// Asks where the date of each line stands, in characters, and when it is; `templates` are one
    /// `datepattern` each, and none of them means fail2ban's own.
    ///
    /// # Errors
    /// Where fail2ban refuses a template.
    pub fn dates<L: AsRef<[u8]>>(
        &mut self,
        templates: &[String],
        lines: impl IntoIterator<Item = L>,
    ) -> Result<Vec<Option<TheirDate>>, OracleError> {
        let lines: Vec<String> = lines.into_iter().map(|line| sent(line.as_ref())).collect();
        self.results(json!({"ask": "dates", "templates": templates, "lines": lines}))
    }

    /// Asks how many failures of one address are counted after each of some, which happened at `times`,
    /// in seconds.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn count(&mut self, times: &[i64], findtime: u32) -> Result<Vec<u32>, OracleError> {
        self.results(json!({"ask": "count", "times": times, "findtime": findtime}))
    }

    /// Asks what bytes are as text in a log of this encoding; `None` where Python does not know it.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn decode(&mut self, encoding: &str, bytes: &[u8]) -> Result<Option<String>, OracleError> {
        #[derive(Deserialize)]
        struct Text {
            results: Option<String>,
        }
        let text: Text =
            self.ask(json!({"ask": "decode", "encoding": encoding, "bytes": bytes}))?;
        Ok(text.results)
    }

    /// Sets what fail2ban takes for now.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn set_now(&mut self, now: Timestamp) -> Result<(), OracleError> {
        let seconds = now.as_micros() / 1_000_000;
        self.ask::<Value>(json!({"ask": "now", "now": seconds}))?;
        Ok(())
    }

    fn results<T: for<'de> Deserialize<'de>>(
        &mut self,
        request: Value,
    ) -> Result<Vec<T>, OracleError> {
        #[derive(Deserialize)]
        struct Answer<T> {
            results: Vec<T>,
        }
        Ok(self.ask::<Answer<T>>(request)?.results)
    }

    fn ask<T: for<'de> Deserialize<'de>>(&mut self, request: Value) -> Result<T, OracleError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Answer<T> {
            Fault { fault: String },
            Answer(T),
        }
        let mut text = request.to_string();
        text.push('\n');
        let answer = self
            .send(&text)
            .and_then(|()| self.line())
            .map_err(OracleError::Silent)?;
        match serde_json::from_str(&answer).map_err(|cause| OracleError::Silent(cause.into()))? {
            Answer::Answer(answer) => Ok(answer),
            Answer::Fault { fault } => Err(OracleError::Refused(fault)),
        }
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        let ended = || io::Error::other("it has ended");
        let input = self.input.as_mut().ok_or_else(ended)?;
        input.write_all(text.as_bytes())?;
        input.flush()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("it has ended"));
        }
        Ok(line)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.input = None;
        if self.child.wait().is_err() {
            self.child.kill().unwrap_or_default();
        }
    }
}

/// Bytes as JSON can have them: one character for each.
fn sent(line: &[u8]) -> String {
    line.iter().copied().map(char::from).collect()
}

/// The way back.
fn received(text: &str) -> Vec<u8> {
    let byte = |char| u8::try_from(u32::from(char)).unwrap_or(b'?');
    text.chars().map(byte).collect()
}
