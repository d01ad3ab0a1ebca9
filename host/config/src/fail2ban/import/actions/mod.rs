//! Actions: those that fill a firewall are the firewall's work here; a command that needs no shell
//! becomes a program of its own; the rest is reported.

pub(super) mod command;
mod firewall;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stockade_core::parse_time_arithmetic;

use super::super::{ResolvedAction, ResolvedJail, Written};
use super::host::ImportHost;
use super::report::Scribe;
use super::toml::Body;
use crate::load::EXEC_MAX;
use crate::sections::exec::{TIMEOUT, TIMEOUT_MAX};
use crate::sections::rules::ACTIONS_MAX;
use crate::settings::EXEC_TAGS;
use crate::words::is_name;
use firewall::Fills;
pub(super) use firewall::{Block, Closure};

/// What the actions of a jail ask of the firewall, and the programs that are told.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What each action that fills a firewall closes.
    pub(super) closures: Vec<Closure>,
    pub(super) programs: Vec<String>,
}

/// The programs of all jails. Jails whose commands are the same share one.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    bodies: BTreeMap<String, Body>,
}

impl Programs {
    /// Takes a program up, and says under which name; `None` where there are too many.
    fn add(&mut self, action: &str, jail: &str, body: Body) -> Option<String> {
        let own = [action.to_owned(), format!("{jail}-{action}")];
        let numbered = (2..).map(|number| format!("action-{number}"));
        let free = |name: &String| {
            is_name(name) && self.bodies.get(name).is_none_or(|known| *known == body)
        };
        let name = own.into_iter().chain(numbered).find(free)?;
        let room = self.bodies.len() < EXEC_MAX || self.bodies.contains_key(&name);
        room.then(|| {
            self.bodies.insert(name.clone(), body);
            name
        })
    }

    pub(super) fn into_bodies(self) -> BTreeMap<String, Body> {
        self.bodies
    }
}

/// What an action of fail2ban's that has no counterpart is for, and what to do instead.
const INSTEAD: [(&str, &str); 13] = [
    ("sendmail", MAIL),
    ("mail", MAIL),
    ("smtp.py", MAIL),
    ("complain", MAIL),
    ("xarf", MAIL),
    ("dshield", MAIL),
    ("mynetwatchman", MAIL),
    ("apprise", WEB),
    ("abuseipdb", WEB),
    ("blocklist_de", WEB),
    ("ipthreat", WEB),
    ("cloudflare", WEB),
    ("netscaler", WEB),
];
const MAIL: &str = "no mail is sent; a program that sends one can be told by [exec.NAME], which hands \
                    it the ban and its lines as JSON on standard input";
const WEB: &str = "the plugin 'webhook', or a program of yours in [exec.NAME], can report bans";
const OTHER: &str = "put it into a program of yours and name that in [exec.NAME]";

/// The commands that are more than telling of a ban and its end, and what becomes of them.
const MORE: [(&str, &str); 8] = [
    (
        "actionstart",
        "it is not run: what it prepares must be there before stockade starts",
    ),
    ("actionstop", "it is not run: bans outlive a stop"),
    ("actionflush", "it is not run: bans outlive a stop"),
    (
        "actioncheck",
        "it is not run: whether the work is still in place is not looked at",
    ),
    (
        "actionrepair",
        "it is not run: whether the work is still in place is not looked at",
    ),
    ("actionreload", "it is not run"),
    (
        "actionprolong",
        "it is not run: the program is not told that a ban becomes longer",
    ),
    (
        "actionreban",
        "it is not run: a ban that outlived a restart is told as 'ban'",
    ),
];

/// What becomes of the actions of a jail.
///
/// # Errors
/// Where an action lets in who is "banned", so that the jail must not be translated; what says so.
pub(super) fn translate(
    jail: &ResolvedJail,
    programs: &mut Programs,
    host: &dyn ImportHost,
    scribe: &mut Scribe<'_>,
) -> Result<Asked, String> {
    let mut asked = Asked::default();
    for action in &jail.actions {
        match firewall::of(action) {
            Fills::Closes(closure) => {
                tell_closure(action, &closure, scribe);
                asked.closures.push(closure);
            }
            Fills::LetsIn(what) => return Err(what),
            Fills::Nothing => tell_program(jail, action, programs, host, scribe, &mut asked),
        }
    }
    Ok(asked)
}

/// The value of a parameter, with its tags replaced and without spaces around it.
fn parameter<'a>(action: &'a ResolvedAction, name: &str) -> Option<&'a str> {
    let value = action.parameters.get(name)?;
    Some(value.value.as_str().trim())
}

fn named(action: &ResolvedAction) -> String {
    format!("action {}", action.name)
}

fn tell_closure(action: &ResolvedAction, closure: &Closure, scribe: &mut Scribe<'_>) {
    let (what, at) = (named(action), Some(action.origin));
    let mut why = format!(
        "bans are in stockade's own nftables table instead of {}",
        closure.tool
    );
    for difference in &closure.differs {
        why.push_str("; ");
        why.push_str(difference);
    }
    scribe.different(&what, at, why);
    for (name, parameter) in &action.parameters {
        let part = format!("{name} of {what}");
        let at = Some(parameter.written.origin());
        let understood = firewall::is_understood(action, name);
        if parameter.given && !understood {
            scribe.left(&part, at, "the firewall of stockade has no such setting");
        } else if !understood && scribe.is_local(parameter.written.origin()) {
            scribe.left(
                &part,
                at,
                "it was changed here, and counts for nothing in stockade",
            );
        }
    }
    for (name, command) in &action.commands {
        if scribe.is_local(command.place(0)) {
            let part = format!("{name} of {what}");
            let why = "it was changed here, which counts for nothing: what fail2ban's own file does is done";
            scribe.left(&part, Some(command.place(0)), why);
        }
    }
    scribe.settle_parts(&what);
}

/// An action that does not fill a firewall: a program, or nothing.
fn tell_program(
    jail: &ResolvedJail,
    action: &ResolvedAction,
    programs: &mut Programs,
    host: &dyn ImportHost,
    scribe: &mut Scribe<'_>,
    asked: &mut Asked,
) {
    let (what, at) = (named(action), Some(action.origin));
    let named = program(action, &jail.name, host, scribe).and_then(|body| {
        let full = asked.programs.len() >= ACTIONS_MAX;
        let name = (!full).then(|| programs.add(&action.name, &jail.name, body));
        name.flatten()
            .ok_or_else(|| Refused::new("there are too many programs already".to_owned()))
    });
    match named {
        Ok(name) => {
            let why = format!(
                "[exec.{name}] runs it, without a shell and without fail2ban's environment; the ban \
                 comes as JSON on standard input"
            );
            scribe.different(&what, at, why);
            tell_parts(action, scribe);
            asked.programs.push(name);
        }
        Err(refused) => {
            let place = refused.at.and_then(|at| scribe.place(at));
            let place = place.map_or_else(String::new, |place| format!(", at {place}"));
            let instead = INSTEAD
                .iter()
                .find(|(name, _)| action.file.starts_with(name))
                .map_or(OTHER, |(_, instead)| instead);
            scribe.left(&what, at, format!("{}{place}; {instead}", refused.why));
        }
    }
    scribe.settle_parts(&what);
}

fn tell_parts(action: &ResolvedAction, scribe: &mut Scribe<'_>) {
    let what = named(action);
    for name in ["actionban", "actionunban", "norestored"] {
        if command(action, name).is_some() {
            scribe.translated(&format!("{name} of {what}"));
        }
    }
    for (name, why) in MORE {
        if let Some(command) = command(action, name) {
            scribe.left(&format!("{name} of {what}"), Some(command.place(0)), why);
        }
    }
    if let Some(timeout) = action.parameters.get("timeout") {
        let part = format!("timeout of {what}");
        match seconds(&timeout.value) {
            Some(time) if time == time.clamp(Duration::from_secs(1), TIMEOUT_MAX) => {
                scribe.translated(&part);
            }
            _ => {
                let why = "a program is given from a second to an hour";
                scribe.different(&part, Some(timeout.written.origin()), why);
            }
        }
    }
}

fn command<'a>(action: &'a ResolvedAction, name: &str) -> Option<&'a Written> {
    let command = action.commands.get(name)?;
    (!command.as_str().trim().is_empty()).then_some(command)
}

/// Why an action is no program, and where that is written.
struct Refused {
    why: String,
    at: Option<crate::source::Origin>,
}

impl Refused {
    fn new(why: String) -> Self {
        Self { why, at: None }
    }
}

/// The action as a program, or why it is none.
fn program(
    action: &ResolvedAction,
    jail: &str,
    host: &dyn ImportHost,
    scribe: &Scribe<'_>,
) -> Result<Body, Refused> {
    if action.is_python() {
        let why = "it is a program in Python for fail2ban's own server";
        return Err(Refused::new(why.to_owned()));
    }
    let Some(ban) = command(action, "actionban") else {
        return Err(Refused::new("it does nothing for a ban".to_owned()));
    };
    // One that depends on the family of the address would be two.
    let by_family = action.parameters.iter().find(|(name, _)| {
        let plain = name.split_once('?').map(|(plain, _)| plain);
        plain.is_some_and(|plain| ["actionban", "actionunban"].contains(&plain))
    });
    if let Some((name, parameter)) = by_family {
        return Err(Refused {
            why: format!("'{name}' makes its command depend on the family of the address"),
            at: Some(parameter.written.origin()),
        });
    }
    let mut body = Body::default();
    if let Some(place) = scribe.place(ban.place(0)) {
        body.comment(&format!("From {place}."));
    }
    body.list("ban", &argv(action, "actionban", ban, jail, host)?);
    if let Some(unban) = command(action, "actionunban") {
        body.list("unban", &argv(action, "actionunban", unban, jail, host)?);
    }
    let timeout = action.parameters.get("timeout");
    if let Some(time) = timeout.and_then(|timeout| seconds(&timeout.value))
        && time != TIMEOUT
    {
        body.time("timeout", time.clamp(Duration::from_secs(1), TIMEOUT_MAX));
    }
    if let Some(norestored) = command(action, "norestored")
        && ["1", "on", "true", "yes"].contains(&&*norestored.as_str().trim().to_lowercase())
    {
        body.truth("restored", false);
    }
    Ok(body)
}

fn seconds(value: &Written) -> Option<Duration> {
    let seconds = parse_time_arithmetic(value.as_str().trim()).ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn argv(
    action: &ResolvedAction,
    name: &str,
    command: &Written,
    jail: &str,
    host: &dyn ImportHost,
) -> Result<Vec<String>, Refused> {
    let refused = |why: String| Refused {
        why: format!("{name}: {why}"),
        at: Some(command.place(0)),
    };
    let text = with_jail(action, command, jail);
    let by_family = |tag: &str| {
        action
            .parameters
            .contains_key(&format!("{tag}?family=inet6"))
    };
    let tags: BTreeSet<&str> = text
        .split('<')
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('>')?.0))
        .collect();
    if let Some(tag) = tags.into_iter().find(|tag| by_family(tag)) {
        return Err(refused(format!(
            "<{tag}> differs with the family of the address, which one command cannot"
        )));
    }
    command::argv(&text, &EXEC_TAGS, &|name| host.program(name)).map_err(refused)
}

/// The command with `<name>` where fail2ban put the jail's own name in, so that jails can share it.
fn with_jail(action: &ResolvedAction, command: &Written, jail: &str) -> String {
    let parts = command.texts();
    parts
        .map(|(text, origin)| {
            // Nobody wrote it: it stands at the place where the jail names the action.
            if origin == action.origin && text == jail {
                "<name>"
            } else {
                text
            }
        })
        .collect()
}
