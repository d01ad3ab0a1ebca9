//! The command line: one subcommand does one thing and ends with a documented exit code.
#![expect(clippy::print_stderr, reason = "this is what a command line is for")]

mod args;
mod ask;
mod check;
mod compare;
mod fail2ban_client;
mod firewall;
mod import;
mod injection;
mod me;
mod metrics;
mod plugin;
mod regex;
mod show;
mod table;

use std::error::Error;
use std::io::{self, Write as _};

use clap::Parser;
use serde::Serialize;
use stockade_control::ExitCode;

use args::{Cli, Command, PluginCommand};
pub(crate) use args::{GlobalArgs, RunArgs};
pub(crate) use check::{tell, wire};

/// Runs the command that was typed.
pub(crate) fn main() -> std::process::ExitCode {
    if fail2ban_client::is_called() {
        return fail2ban_client::main().into();
    }
    own_name().into()
}

/// Runs as `stockade`.
fn own_name() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let done = match cli.command {
        Command::Run(args) => crate::run::run(&cli.global, &args),
        Command::Check(args) => check::check(&cli.global, &args),
        Command::Regex(args) => regex::regex(&cli.global, &args),
        Command::Import(args) => import::import(&cli.global, &args),
        Command::Compare(args) => compare::compare(&cli.global, &args),
        Command::Plugin {
            command: PluginCommand::Inspect { file },
        } => plugin::inspect(&cli.global, &file),
        Command::Firewall { command } => firewall::firewall(&cli.global, &command),
        Command::PluginCompile => plugin::compile(),
        asked => ask::ask(&cli.global, &asked),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.tell(cli.global.json),
    }
}

/// Help and version are no errors; anything else is a wrong call.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is all that can go wrong here, and then nobody reads.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::Usage
    } else {
        ExitCode::Ok
    }
}

/// Why a command did not do what was asked, for the person who typed it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, error: &dyn Error) -> Self {
        Self {
            code,
            message: chain(error),
            hint: None,
        }
    }

    pub(crate) fn text(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn tell(self, json: bool) -> ExitCode {
        if json {
            let error =
                serde_json::json!({ "reply": "error", "message": self.message, "hint": self.hint });
            print(&format!("{error}\n"));
        } else {
            eprintln!("stockade: {}", self.message);
            if let Some(hint) = self.hint {
                eprintln!("hint: {hint}");
            }
        }
        self.code
    }
}

/// An error and what caused it, outermost first.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Writes to standard output; a reader that went away, such as `head`, is no error.
fn print(text: &str) {
    drop(io::stdout().lock().write_all(text.as_bytes()));
}

/// Writes one JSON object on one line.
fn print_json(value: &impl Serialize) {
    // Only a map with keys that are no texts could fail, and nothing that is shown has one.
    let line = serde_json::to_string(value).unwrap_or_default();
    print(&format!("{line}\n"));
}
