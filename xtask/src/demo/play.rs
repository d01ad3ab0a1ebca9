//! What happens in the demo, and whether it was observed.

use std::time::Duration;

use serde_json::Value;

use super::logins::{self, GUESSES};
use super::sshd::user_key;
use super::stage::{ATTACKER, MEASURED, SERVER_FOR_ATTACKER, SERVER_FOR_GOOD_HOST, Stage, address};
use super::story::{Event, Story};
use crate::Failure;
use crate::lab::packets;
use crate::run::Run;

/// Something that has to be observed.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) what: &'static str,
    /// Why it was not.
    pub(super) missed: Option<String>,
}

/// How long one guess may take until sshd has refused it.
const GUESS_WITHIN: Duration = Duration::from_secs(20);
/// How long stockade may take for what it does by itself; it needs milliseconds.
const REACTS_WITHIN: Duration = Duration::from_secs(10);
/// How long the attack may last until the first packet is dropped.
const ATTACK_WITHIN: Duration = Duration::from_secs(120);
/// Time between two packets whose fate is watched.
const PACE: Duration = Duration::from_millis(1);
/// Lines of `nft list table` that are shown.
const TABLE_LINES: usize = 40;

type Step = fn(&mut Stage, &mut Story) -> Result<(), Failure>;

const STEPS: [(&str, Step); 12] = [
    ("failures found in the lines of a real sshd", failures),
    ("ban decided", ban),
    ("webhook told by the sandboxed action", told),
    ("first packet dropped, and its time known", first_dropped),
    ("the attacker's next connection times out", locked_out),
    ("the good host still logs in", good_host),
    ("status shows the ban", status),
    ("banned lists the attacker", banned),
    ("the kernel's table has the attacker", table),
    ("unban", unban),
    ("the attacker connects again", back_again),
    ("stop", stop),
];

/// Plays everything; what was missed does not keep the rest from being tried.
pub(super) fn play(mut stage: Stage, story: &mut Story) -> Vec<Check> {
    STEPS
        .iter()
        .map(|(what, step)| {
            let missed = step(&mut stage, story).err().map(|error| error.to_string());
            if let Some(why) = &missed {
                story.tell("demo", format_args!("NOT OBSERVED: {what}: {why}"));
            }
            Check { what, missed }
        })
        .collect()
}

fn failures(stage: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    watch_packets(stage)?;
    for guess in GUESSES {
        let (user, password) = guess;
        story.tell(
            "attacker",
            format_args!("ssh {user}@{SERVER_FOR_ATTACKER}, password '{password}'"),
        );
        let mut ssh = logins::guess(&stage.attacker, &stage.things, guess, SERVER_FOR_ATTACKER)?;
        story.wait(GUESS_WITHIN, |story| has_dropped(story) || !ssh.runs());
        if has_dropped(story) {
            // Its connection is cut: it would wait for minutes.
            drop(ssh);
            break;
        }
    }
    story.wait(REACTS_WITHIN, |story| {
        story.count_said("Found", ATTACKER) > 0
    });
    match story.count_said("Found", ATTACKER) {
        0 => Err("stockade's log has no 'Found' with the attacker's address".into()),
        _ => Ok(()),
    }
}

/// Finds out when the attacker's first packet is dropped, while the attack goes on.
fn watch_packets(stage: &Stage) -> Result<(), Failure> {
    let to = address(MEASURED)?;
    let reporter = stage.reporter.clone();
    let watch = move || {
        let found = packets::first_dropped(None, to, PACE, ATTACK_WITHIN, || {});
        reporter.report(Event::Dropped(found.map_err(|error| error.to_string())));
    };
    stage.attacker.spawn(watch).map(drop)
}

fn has_dropped(story: &Story) -> bool {
    story.dropped.is_some()
}

fn ban(_: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    if story.wait(REACTS_WITHIN, |story| story.has_said("Ban", ATTACKER)) {
        return Ok(());
    }
    Err("stockade's log has no 'Ban' with the attacker's address".into())
}

fn told(_: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    if story.wait(REACTS_WITHIN, |story| ban_document(story).is_some()) {
        return Ok(());
    }
    Err("no document about the ban came".into())
}

/// What the webhook was told of the ban.
fn ban_document(story: &Story) -> Option<&Value> {
    let is = |document: &Value, key: &str, value: &str| {
        document
            .get(key)
            .and_then(Value::as_str)
            .is_some_and(|found| found == value)
    };
    let mut documents = story.told.iter();
    documents.find(|document| is(document, "event", "ban") && is(document, "ip", ATTACKER))
}

fn first_dropped(_: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    story.wait(REACTS_WITHIN, has_dropped);
    let dropped = match &story.dropped {
        None => return Err("no packet was dropped".into()),
        Some(Err(why)) => return Err(why.clone().into()),
        Some(Ok(at)) => *at,
    };
    // The webhook is told which lines led to the ban; the last one decided it.
    let decisive = ban_document(story)
        .and_then(|document| document.get("matches")?.as_array()?.last()?.as_str())
        .ok_or("it is not known which line decided the ban")?;
    let written = story.logged.iter().rev().find(|(_, line)| line == decisive);
    let (written, line) = written.ok_or("the line that decided the ban is not in the log")?;
    let message = line
        .split_once(": ")
        .map_or(line.as_str(), |(_, message)| message);
    let latency_ms = dropped.saturating_duration_since(*written).as_secs_f64() * 1_000.0;
    story.tell_at(
        dropped,
        "kernel",
        format_args!(
            "first packet dropped, {latency_ms:.1} ms after the line \"{message}\" was written"
        ),
    );
    Ok(())
}

fn locked_out(stage: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    story.tell(
        "attacker",
        format_args!("ssh root@{SERVER_FOR_ATTACKER} once more"),
    );
    let guess = ("root", "secret");
    let ended =
        logins::guess_to_the_end(&stage.attacker, &stage.things, guess, SERVER_FOR_ATTACKER)?;
    story.tell("attacker", &ended.stderr);
    if !ended.success && ended.stderr.contains("timed out") {
        return Ok(());
    }
    Err(format!("ssh ended with {}: {}", ended.status, ended.stderr).into())
}

fn good_host(stage: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    story.tell(
        "good host",
        format_args!("ssh alice@{SERVER_FOR_GOOD_HOST} with a key"),
    );
    let key = user_key(&stage.things);
    let said = logins::log_in(&stage.good, &stage.things, &key, SERVER_FOR_GOOD_HOST)?;
    story.wait(Duration::ZERO, |_| true);
    story.tell("good host", format_args!("is in; the server says: {said}"));
    Ok(())
}

fn status(stage: &mut Stage, _: &mut Story) -> Result<(), Failure> {
    crate::say("");
    Story::show("stockade status", &stage.stockade.ask(&["status"])?);
    let status = stage.stockade.status()?;
    // Jails that are on by themselves, for services that this host has, stand beside it.
    let jails = status.get("jails").and_then(Value::as_array);
    let sshd = jails
        .into_iter()
        .flatten()
        .find(|jail| jail.get("name") == Some(&"sshd".into()));
    match sshd
        .and_then(|jail| jail.get("currently_banned"))
        .and_then(Value::as_u64)
    {
        Some(1) => Ok(()),
        found => Err(format!("one should be banned, the status says {found:?}").into()),
    }
}

fn banned(stage: &mut Stage, _: &mut Story) -> Result<(), Failure> {
    Story::show("stockade banned", &stage.stockade.ask(&["banned"])?);
    let banned = stage.stockade.ask_json(&["banned"])?;
    let ban = banned.pointer("/bans/0");
    let has = |key: &str, value: Value| ban.and_then(|ban| ban.get(key)) == Some(&value);
    if has("id", ATTACKER.into()) && has("in_firewall", true.into()) {
        return Ok(());
    }
    Err(format!("the list is {banned}").into())
}

fn table(_: &mut Stage, _: &mut Story) -> Result<(), Failure> {
    let command = "nft list table inet stockade";
    let table = Run::new("nft").args(command.split(' ').skip(1)).read()?;
    let shown: Vec<_> = table.lines().take(TABLE_LINES).collect();
    Story::show(command, &shown.join("\n"));
    if table.contains(ATTACKER) {
        return Ok(());
    }
    Err("the attacker is not in it".into())
}

fn unban(stage: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    let output = stage.stockade.ask(&["unban", ATTACKER])?;
    Story::show(&format!("stockade unban {ATTACKER}"), &output);
    if story.wait(REACTS_WITHIN, |story| story.has_said("Unban", ATTACKER)) {
        return Ok(());
    }
    Err("stockade's log has no 'Unban' with the attacker's address".into())
}

fn back_again(stage: &mut Stage, story: &mut Story) -> Result<(), Failure> {
    let banner = logins::banner(&stage.attacker, address(SERVER_FOR_ATTACKER)?)?;
    story.tell(
        "attacker",
        format_args!("connects, and sshd answers: {banner}"),
    );
    Ok(())
}

fn stop(stage: &mut Stage, _: &mut Story) -> Result<(), Failure> {
    crate::say("");
    Story::show("stockade stop", &stage.stockade.ask(&["stop"])?);
    if stage.stockade.ends() {
        return Ok(());
    }
    Err("the daemon did not end, or not well".into())
}
