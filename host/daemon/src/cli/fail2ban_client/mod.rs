//! `fail2ban-client` by another name: scripts, monitoring checks and exporters call that program and
//! read what it prints. Called through a link of this name, stockade understands the commands that
//! they use, with the same answers and exit codes.

mod commands;
mod options;
mod start;
mod texts;

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use stockade_config::{load, read_files};
use stockade_control::Client;
use stockade_core::parse_bantime;

use super::print;
use commands::{Commands, Refusal};
use options::{Ask, Options};

/// The name by which it is called.
const NAME: &str = "fail2ban-client";

/// See [`super::ask`]: a daemon that restores 100,000 bans is busy for seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

const HELP: &str = "\
Usage: fail2ban-client [OPTIONS] <COMMAND>

This is stockade under the name of fail2ban-client, for scripts that call it.

Options that make a difference:
    -c, --conf <DIR>        fail2ban's configuration directory, for 'start' and -t
    -s, --socket <FILE>     socket of stockade
    -t, --test              test the configuration
    --str2sec <STRING>      convert a time to seconds
    -h, --help              this text
    -V, --version           the version

Commands:
    start | stop | restart | reload [JAIL]
    ping | version | status [JAIL] | banned [IP]... | unban --all | unban <IP>...
    get <JAIL> banip [SEP|--with-time] | banned [IP]... | bantime | findtime | maxretry | maxmatches
               ignoreip | ignoreself | logpath | journalmatch | prefregex | failregex | ignoreregex
               actions | usedns | maxlines | logencoding | logtimezone | datepattern
    set <JAIL> banip <IP>... | unbanip [--report-absent] <IP>... | addignoreip <IP>...
               delignoreip <IP>... | bantime <TIME> | findtime <TIME> | maxretry <NUMBER>
               maxmatches <NUMBER> | ignoreself <BOOL> | attempt <IP> [LINE]...
    get loglevel | logtarget | dbfile | dbpurgeage
    echo [WORD]...

What is set lasts until the next reload. 'stockade --help' shows stockade's own commands.";

/// Whether this process was called as fail2ban-client.
pub(super) fn is_called() -> bool {
    std::env::args_os().next().is_some_and(|program| {
        PathBuf::from(program)
            .file_name()
            .is_some_and(|name| name == NAME)
    })
}

/// Runs as fail2ban-client; the exit code is 0 or 255, as there.
pub(super) fn main() -> u8 {
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument.into_string() {
            Ok(text) => arguments.push(text),
            Err(_) => return usage(),
        }
    }
    let Some(options) = options::parse(arguments) else {
        return usage();
    };
    match &options.ask {
        Ask::Help => say(HELP),
        Ask::Version => say(&format!("stockade v{}", env!("CARGO_PKG_VERSION"))),
        Ask::ShortVersion => say(env!("CARGO_PKG_VERSION")),
        Ask::Seconds(text) => seconds(text),
        Ask::Test => start::test(&options),
        Ask::Command => command(&options),
    }
}

fn say(text: &str) -> u8 {
    print(&format!("{text}\n"));
    0
}

fn usage() -> u8 {
    say(HELP);
    255
}

fn seconds(text: &str) -> u8 {
    match parse_bantime(text) {
        Ok(stockade_core::BanTime::Forever) => say("-1"),
        Ok(stockade_core::BanTime::For(time)) => say(&time.as_secs().to_string()),
        Err(error) => {
            eprintln!("ERROR: {error}");
            255
        }
    }
}

fn command(options: &Options) -> u8 {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    if words.is_empty() {
        return usage();
    }
    if let ["help"] = words.as_slice() {
        return say(HELP);
    }
    if let ["start"] = words.as_slice() {
        return start::start(options);
    }
    if let ["restart"] = words.as_slice() {
        return start::restart(options);
    }
    match ask(options, &words) {
        Ok(answer) => say(&answer),
        Err(Refusal::Unreachable(error)) => {
            log(&format!("{error}. Is fail2ban running?"));
            255
        }
        Err(Refusal::Nok { logged, told }) => {
            log(&format!("NOK: {logged}"));
            say(&told);
            255
        }
    }
}

fn ask(options: &Options, words: &[&str]) -> Result<String, Refusal> {
    let mut client = Client::connect(&socket(options), ANSWER_WITHIN)?;
    Commands {
        client: &mut client,
    }
    .run(words)
}

fn socket(options: &Options) -> PathBuf {
    let configured = || load(&read_files(None)).daemon.socket;
    options.socket.clone().unwrap_or_else(configured)
}

/// A line in the form of fail2ban's log, on standard error.
fn log(text: &str) {
    let now =
        jiff::Timestamp::from_microsecond(crate::clock::now().as_micros()).unwrap_or_default();
    let now = now.to_zoned(TimeZone::system());
    let stamp = now.strftime("%Y-%m-%d %H:%M:%S");
    let millis = now.subsec_nanosecond() / 1_000_000;
    let pid = std::process::id();
    eprintln!("{stamp},{millis:03} fail2ban                [{pid}]: ERROR   {text}");
}
