//! The rules of a jail: asked for, and changed until the configuration is read again.

use stockade_config::{DatePattern, FilterChoice, IgnoreEntry, JailRules, JailSettings, Located};
use stockade_control::{ControlReply, ErrorKind, RulesReply, TuneRequest};
use stockade_core::{BanTime, Escaped, JailName, parse_bantime, parse_duration};

use crate::clock;
use crate::run::boot;
use crate::run::main_loop::Daemon;

impl Daemon {
    pub(super) fn rules(&self, name: &JailName) -> ControlReply {
        match self.rules_of(name) {
            Some(rules) => ControlReply::Rules(Box::new(rules)),
            None => ControlReply::unknown_jail(name.as_str()),
        }
    }

    /// Changes all that is asked for, or nothing.
    pub(super) async fn tune(&mut self, request: &TuneRequest) -> ControlReply {
        let mut jails = self.setup.jails.iter_mut();
        let Some(jail) = jails.find(|jail| jail.settings.name == request.jail) else {
            return ControlReply::unknown_jail(request.jail.as_str());
        };
        match tuned(&jail.settings.rules, request) {
            Ok(rules) => jail.settings.rules = rules,
            Err(why) => return ControlReply::error(ErrorKind::BadRequest, why),
        }
        let now = clock::now();
        let effects = self.engine.decider.reload(boot::policies(&self.setup), now);
        self.engine.take_up(effects, now);
        self.watch_ignores(now);
        self.settle().await;
        match self.rules_of(&request.jail) {
            Some(rules) => ControlReply::Tune(Box::new(rules)),
            None => ControlReply::unknown_jail(request.jail.as_str()),
        }
    }

    fn rules_of(&self, name: &JailName) -> Option<RulesReply> {
        let mut jails = self.setup.jails.iter();
        let jail = jails.find(|jail| jail.settings.name == *name)?;
        Some(reply(&jail.settings))
    }
}

fn reply(jail: &JailSettings) -> RulesReply {
    let texts = |list: &[Located<String>]| list.iter().map(|text| text.value.clone()).collect();
    let rules = &jail.rules;
    let mut reply = RulesReply {
        jail: jail.name.to_string(),
        logpath: texts(&jail.logpath),
        journalmatch: jail.journalmatch.clone(),
        maxretry: rules.maxretry.get(),
        findtime_s: rules.findtime.as_secs(),
        bantime_s: match rules.bantime {
            BanTime::For(time) => Some(time.as_secs()),
            BanTime::Forever => None,
        },
        bantime_increment: rules.bantime_increment.as_ref().map(Into::into),
        maxmatches: rules.maxmatches,
        ignoreip: rules.ignoreip.iter().map(IgnoreEntry::to_string).collect(),
        ignoreself: rules.ignoreself,
        usedns: rules.usedns.as_str().to_owned(),
        logencoding: rules
            .logencoding
            .as_ref()
            .map_or_else(|| "auto".to_owned(), |name| name.value.clone()),
        logtimezone: rules.logtimezone.to_string(),
        maxlines: 1,
        actions: rules.actions.iter().map(ToString::to_string).collect(),
        ..RulesReply::default()
    };
    match &jail.filter {
        FilterChoice::Plain(filter) => {
            reply.filter = filter.name.clone();
            reply.prefregex = filter.prefregex.as_ref().map(|text| text.value.clone());
            reply.failregex = texts(&filter.failregex);
            reply.ignoreregex = texts(&filter.ignoreregex);
            reply.maxlines = filter.maxlines;
            reply.datepattern = match &filter.datepattern {
                DatePattern::Default => vec!["default".to_owned()],
                DatePattern::None => vec!["none".to_owned()],
                DatePattern::Patterns(patterns) => texts(patterns),
            };
            if let Some(json) = &filter.json {
                reply.failregex = json.failure.iter().map(ToString::to_string).collect();
                reply.ignoreregex = json.ignore.iter().map(ToString::to_string).collect();
            }
        }
        FilterChoice::Plugin(name) => reply.filter = format!("plugin {name}"),
    }
    reply
}

/// The rules after the change, or why it cannot be made.
fn tuned(before: &JailRules, request: &TuneRequest) -> Result<JailRules, String> {
    let mut rules = before.clone();
    let wrong = |key: &str, text: &str, why: String| {
        let text = Escaped(text.as_bytes()).to_string();
        format!("'{key}' cannot be '{text}': {why}")
    };
    if let Some(text) = &request.bantime {
        rules.bantime = parse_bantime(text).map_err(|e| wrong("bantime", text, e.to_string()))?;
    }
    if let Some(text) = &request.findtime {
        rules.findtime =
            parse_duration(text).map_err(|e| wrong("findtime", text, e.to_string()))?;
    }
    if let Some(maxretry) = request.maxretry {
        rules.maxretry = maxretry;
    }
    if let Some(maxmatches) = request.maxmatches {
        rules.maxmatches = maxmatches;
    }
    if let Some(ignoreself) = request.ignoreself {
        rules.ignoreself = ignoreself;
    }
    let entry = |text: &String| {
        IgnoreEntry::parse(text).ok_or_else(|| {
            wrong(
                "ignoreip",
                text,
                "it is no address, network or name".to_owned(),
            )
        })
    };
    for text in &request.ignore {
        let entry = entry(text)?;
        if !rules.ignoreip.contains(&entry) {
            rules.ignoreip.push(entry);
        }
    }
    for text in &request.unignore {
        let entry = entry(text)?;
        let before = rules.ignoreip.len();
        rules.ignoreip.retain(|other| *other != entry);
        if rules.ignoreip.len() == before {
            return Err(format!("{entry} is not in ignoreip"));
        }
    }
    Ok(rules)
}
