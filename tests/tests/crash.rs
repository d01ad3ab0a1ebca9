//! Killed at random moments, stockade forgets nobody and counts no line twice.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;

use stockade_tests::{Daemon, LogFile, Place, banned, failure, in_namespace, rest, wait_until};

/// How often it is killed.
const ROUNDS: usize = 20;
const MAXRETRY: usize = 4;
/// Addresses of a round; a third of them come once less than is needed for a ban.
const ATTACKERS: usize = 24;
/// Always the same, so that a failure can be seen again; the moments still differ a little, since
/// two processes run at once.
const SEED: u64 = 0x5eed_0123_4567_89ab;

/// Marsaglia's xorshift64 ("Xorshift RNGs", 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// The failures of one round in random order, and who has to be banned for them.
fn attack(round: usize, dice: &mut Dice) -> (Vec<String>, BTreeSet<String>) {
    let mut lines = Vec::new();
    let mut guilty = BTreeSet::new();
    for n in 0..ATTACKERS {
        let address = format!("198.18.{round}.{n}");
        let count = if n % 3 == 0 { MAXRETRY - 1 } else { MAXRETRY };
        lines.extend(std::iter::repeat_n(address.clone(), count));
        if count == MAXRETRY {
            guilty.insert(address);
        }
    }
    for last in (1..lines.len()).rev() {
        lines.swap(last, dice.below(last + 1));
    }
    (lines, guilty)
}

/// Appends lines, some at a time, until the daemon's own log has grown by a random length; where
/// that does not come, until there is no line left and all are judged.
fn until_a_random_moment(
    place: &Place,
    log: &mut LogFile,
    lines: &mut Vec<String>,
    dice: &mut Dice,
) {
    let enough = place.logged().len() + dice.below(14_000);
    while place.logged().len() < enough && !lines.is_empty() {
        for _ in 0..=dice.below(6) {
            if let Some(address) = lines.pop() {
                log.line(&failure(&address));
            }
        }
        rest();
    }
}

/// Who was announced as banned since the log had this length.
fn announced(place: &Place) -> BTreeSet<String> {
    let logged = place.logged();
    let bans = logged.lines().filter_map(|line| line.split_once("] Ban "));
    bans.map(|(_, id)| id.to_owned()).collect()
}

fn listed(place: &Place) -> BTreeSet<String> {
    let reply = place.ask(r#"{"command":"banned"}"#);
    let bans = reply["bans"].as_array().unwrap();
    bans.iter()
        .map(|ban| ban["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Every ban that was ever announced is in force again, in the kernel that has lost them all.
fn assert_nothing_is_forgotten(place: &Place, round: usize) {
    let announced = announced(place);
    wait_until(&format!("all bans are back in round {round}"), || {
        banned("sshd").is_superset(&announced)
    });
    let listed = listed(place);
    let forgotten: Vec<_> = announced.difference(&listed).collect();
    assert!(forgotten.is_empty(), "round {round} forgot {forgotten:?}");
}

#[test]
fn killed_at_random_moments_it_bans_all_who_must_be_and_nobody_else() {
    in_namespace(|| {
        let place = Place::new(&format!(
            "[defaults]\nbackend = \"file\"\nmaxretry = {MAXRETRY}\nfindtime = \"1d\"\nbantime = \"1d\"\n\
             [jails.sshd]\nlogpath = \"{{dir}}/auth.log\""
        ));
        let mut log = place.log_file("auth.log");
        let mut dice = Dice(SEED);
        let mut guilty = BTreeSet::new();
        for round in 0..ROUNDS {
            let daemon: Daemon<'_> = if dice.below(4) == 0 {
                place.spawn(&[])
            } else {
                place.start()
            };
            let (mut lines, of_round) = attack(round, &mut dice);
            guilty.extend(of_round);
            if dice.below(3) == 0 {
                log.rotate();
            }
            until_a_random_moment(&place, &mut log, &mut lines, &mut dice);
            daemon.kill();
            // The rest is written while nobody reads.
            for address in lines {
                log.line(&failure(&address));
            }
            if dice.below(2) == 0 {
                // A reboot: the kernel has forgotten.
                stockade_tests::remove_table();
                let daemon = place.start();
                assert_nothing_is_forgotten(&place, round);
                daemon.kill();
            }
        }
        let _daemon = place.start();
        log.failures(MAXRETRY, &["198.19.0.1"]);
        guilty.insert("198.19.0.1".to_owned());
        // Lines of one file are judged in their order, so with this ban all before it are judged.
        wait_until("the last attacker is banned", || {
            banned("sshd").contains("198.19.0.1")
        });
        assert_eq!(banned("sshd"), guilty);
        assert_eq!(listed(&place), guilty);
    });
}
