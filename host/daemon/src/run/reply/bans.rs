//! Answers that change who is banned. They come when the firewall and the store have answered.

use stockade_control::{
    BanReply, ConfirmReply, ControlReply, ErrorKind, ItemResult, Outcome, UnbanReply, UnbanRequest,
    UnbanWhom,
};
use stockade_core::{Effect, Event, FailureId, JailName};

use crate::run::main_loop::Daemon;
use crate::{clock, log};

impl Daemon {
    pub(super) async fn ban(&mut self, jail: JailName, texts: &[String]) -> ControlReply {
        if !self.has_jail(&jail) {
            return ControlReply::unknown_jail(jail.as_str());
        }
        self.look_before_ban(clock::now());
        let mut results = Vec::new();
        for text in texts {
            let id = FailureId::parse(text);
            results.push(match id.network() {
                None => ItemResult::new(text, Outcome::NotAnAddress),
                Some(_) => self.ban_one(&jail, id),
            });
        }
        self.settle().await;
        for item in results
            .iter_mut()
            .filter(|item| item.outcome == Outcome::Banned)
        {
            if let Some(why) = self.not_in_force(&jail, &item.id) {
                *item = ItemResult::new(item.id.clone(), Outcome::Failed).because(why);
            }
        }
        let banned = results
            .iter()
            .filter(|item| item.outcome == Outcome::Banned)
            .count();
        ControlReply::Ban(BanReply {
            banned: u64::try_from(banned).unwrap_or(0),
            results,
        })
    }

    /// Why a ban that was just made does not hold as it should.
    fn not_in_force(&self, jail: &JailName, id: &str) -> Option<String> {
        let firewall = self
            .engine
            .not_enforced(jail, &FailureId::parse(id))
            .map(|why| format!("the firewall refused it: {why}"));
        let stored = || {
            self.engine
                .store_failing()
                .then(|| "it is in the firewall, but cannot be stored".to_owned())
        };
        firewall.or_else(stored)
    }

    fn ban_one(&mut self, jail: &JailName, id: FailureId) -> ItemResult {
        let now = clock::now();
        let text = id.to_string();
        let effects = self.engine.decider.handle(
            Event::Ban {
                jail: jail.clone(),
                ids: vec![id],
            },
            now,
        );
        let result = effects.iter().find_map(|effect| match effect {
            Effect::Prolong { ban } => Some(
                ItemResult::new(ban.id.to_string(), Outcome::AlreadyBanned)
                    .because("its ban ends later now"),
            ),
            Effect::Ban { ban, .. } => Some(ItemResult::new(ban.id.to_string(), Outcome::Banned)),
            Effect::AlreadyBanned { id, .. } => {
                Some(ItemResult::new(id.to_string(), Outcome::AlreadyBanned))
            }
            Effect::Refused { id, reason, .. } => {
                Some(ItemResult::ignored(id.to_string(), *reason))
            }
            Effect::TooWide { id, widest, .. } => Some(
                ItemResult::new(id.to_string(), Outcome::Failed)
                    .because(log::too_wide(id, *widest)),
            ),
            Effect::TableFull { id, .. } => {
                Some(ItemResult::new(id.to_string(), Outcome::TableFull))
            }
            _ => None,
        });
        self.engine.take_up(effects, now);
        result.unwrap_or_else(|| ItemResult::new(text, Outcome::Failed))
    }

    /// Makes the bans that are held, or forgets them.
    pub(super) async fn confirm(&mut self, discard: bool) -> ControlReply {
        let now = clock::now();
        self.look_before_ban(now);
        let held = self.engine.decider.held().waiting;
        let event = if discard {
            Event::Discard
        } else {
            Event::Confirm
        };
        let effects = self.engine.decider.handle(event, now);
        let bans = effects.iter();
        let banned = bans.filter(|effect| matches!(effect, Effect::Ban { .. }));
        let banned = banned.count();
        self.engine.take_up(effects, now);
        self.settle().await;
        if held > 0 {
            tracing::info!("{held} bans were held: {banned} are made");
        }
        ControlReply::Confirm(ConfirmReply {
            held: u64::try_from(held).unwrap_or(u64::MAX),
            banned: u64::try_from(banned).unwrap_or(u64::MAX),
        })
    }

    pub(super) async fn unban(&mut self, request: UnbanRequest) -> ControlReply {
        let UnbanRequest { jail, whom, wider } = request;
        let whom = &whom;
        if let Some(name) = jail.as_ref().filter(|name| !self.has_jail(name)) {
            return ControlReply::unknown_jail(name.as_str());
        }
        let now = clock::now();
        let mut results = Vec::new();
        let mut unbanned = 0_u64;
        match whom {
            UnbanWhom::All => {
                let effects = self.engine.decider.handle(Event::UnbanAll { jail }, now);
                unbanned += count_unbans(&effects);
                self.engine.take_up(effects, now);
            }
            UnbanWhom::Ids(texts) => {
                for text in texts {
                    let ids = vec![FailureId::parse(text)];
                    let effects = self.engine.decider.handle(
                        Event::Unban {
                            jail: jail.clone(),
                            ids,
                            wider,
                        },
                        now,
                    );
                    unbanned += count_unbans(&effects);
                    results.extend(unban_results(text, &effects));
                    self.engine.take_up(effects, now);
                }
            }
        }
        self.settle().await;
        if let Some(why) = self.still_banned(whom, &results) {
            return ControlReply::error(
                ErrorKind::Firewall,
                format!("the firewall refused it: {why}"),
            );
        }
        ControlReply::Unban(UnbanReply { unbanned, results })
    }

    /// Why the firewall still bans somebody who was unbanned just now.
    fn still_banned(&self, whom: &UnbanWhom, results: &[ItemResult]) -> Option<String> {
        if matches!(whom, UnbanWhom::All) {
            return self.engine.enforcement.failure();
        }
        results.iter().find_map(|item| {
            let jail = JailName::try_new(item.jail.as_deref()?).ok()?;
            self.engine.not_enforced(&jail, &FailureId::parse(&item.id))
        })
    }
}

fn count_unbans(effects: &[Effect]) -> u64 {
    let unbans = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Unban { .. }))
        .count();
    u64::try_from(unbans).unwrap_or(u64::MAX)
}

fn unban_results(text: &str, effects: &[Effect]) -> Vec<ItemResult> {
    let of = |effect: &Effect| match effect {
        Effect::Unban { ban, .. } => {
            Some(ItemResult::new(ban.id.to_string(), Outcome::Unbanned).in_jail(ban.jail.as_str()))
        }
        Effect::NotBanned {
            covered_by: Some(wider),
            ..
        } => Some(
            ItemResult::new(text, Outcome::NotBanned)
                .because(format!("{wider} is banned and holds it")),
        ),
        Effect::NotBanned { .. } => Some(ItemResult::new(text, Outcome::NotBanned)),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}
