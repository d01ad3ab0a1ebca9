//! Which of the two iptables is in use: the one that is a front of nf_tables, or the old one (legacy).
//!
//! Both may be installed, and each has rules of its own in the kernel. Rules beside those of the others are
//! seen by whoever administers the machine, and the two do not fight over an order that nobody defined.

use super::names::Family;
use super::saved::Saved;
use super::tools::run;
use crate::{FirewallError, IptablesVariant};

impl IptablesVariant {
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Nft => "-nft",
            Self::Legacy => "-legacy",
        }
    }

    /// Which one the answer of `iptables -V` is of.
    fn of_version(text: &str) -> Self {
        if text.contains("nf_tables") {
            Self::Nft
        } else {
            // Before 1.8 there was no other.
            Self::Legacy
        }
    }
}

/// The programs of one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) variant: IptablesVariant,
    suffix: &'static str,
}

impl Programs {
    pub(super) fn save(&self, family: Family) -> String {
        format!("{}{}-save", family.program(), self.suffix)
    }

    pub(super) fn restore(&self, family: Family) -> String {
        format!("{}{}-restore", family.program(), self.suffix)
    }

    /// The name of the program for IPv4, without what follows.
    pub(super) fn name(&self) -> String {
        format!("iptables{}", self.suffix)
    }
}

/// What `iptables` stands for on this machine.
pub(super) fn alternative(backend: &'static str) -> Result<Programs, FirewallError> {
    Ok(Programs {
        variant: version(backend, "iptables")?,
        suffix: "",
    })
}

/// The programs of the variant that was asked for, or of the one that is in use, and why.
pub(super) fn find(
    backend: &'static str,
    wanted: Option<IptablesVariant>,
) -> Result<(Programs, String), FirewallError> {
    if let Some(variant) = wanted {
        let programs = named(backend, variant)?;
        let because = format!("the configuration names {}", programs.name());
        return Ok((programs, because));
    }
    let in_use = [IptablesVariant::Nft, IptablesVariant::Legacy]
        .map(|variant| has_rules(backend, variant).map(|has| has.then_some(variant)));
    let [nft, legacy] = in_use;
    let (variant, why) = match (nft?, legacy?) {
        (Some(variant), None) | (None, Some(variant)) => (variant, "rules"),
        (nft, _) => {
            let programs = alternative(backend)?;
            let others = if nft.is_some() { "both" } else { "neither" };
            let because = format!(
                "{others} of iptables-nft and iptables-legacy have rules, and 'iptables' is {}",
                match programs.variant {
                    IptablesVariant::Nft => "nf_tables",
                    IptablesVariant::Legacy => "legacy",
                }
            );
            return Ok((programs, because));
        }
    };
    let programs = named(backend, variant)?;
    let because = format!(
        "{} has {why}, and the other variant has none",
        programs.name()
    );
    Ok((programs, because))
}

/// The programs of a variant, under whatever name they are installed.
fn named(backend: &'static str, variant: IptablesVariant) -> Result<Programs, FirewallError> {
    let suffix = variant.suffix();
    let error = match version(backend, &format!("iptables{suffix}")) {
        Ok(_) => return Ok(Programs { variant, suffix }),
        Err(error) => error,
    };
    match alternative(backend) {
        Ok(programs) if programs.variant == variant => Ok(programs),
        _ => Err(error),
    }
}

/// Whether this variant has rules; one that is not installed or not in the kernel has none.
fn has_rules(backend: &'static str, variant: IptablesVariant) -> Result<bool, FirewallError> {
    for family in Family::ALL {
        let program = format!("{}{}-save", family.program(), variant.suffix());
        match run(backend, "look for rules of iptables", &[&program], "") {
            Ok(text) if Saved::parse(&text).has_rules() => return Ok(true),
            Err(error @ FirewallError::NotPermitted { .. }) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(false)
}

fn version(backend: &'static str, program: &str) -> Result<IptablesVariant, FirewallError> {
    let text = run(
        backend,
        "ask iptables for its version",
        &[program, "-V"],
        "",
    )?;
    Ok(IptablesVariant::of_version(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_known_by_its_version() {
        for (text, variant) in [
            ("iptables v1.8.9 (nf_tables)\n", IptablesVariant::Nft),
            ("iptables v1.8.9 (legacy)\n", IptablesVariant::Legacy),
            ("iptables v1.6.1\n", IptablesVariant::Legacy),
        ] {
            assert_eq!(IptablesVariant::of_version(text), variant);
        }
    }

    #[test]
    fn programs_are_named_after_their_variant() {
        let programs = Programs {
            variant: IptablesVariant::Legacy,
            suffix: "-legacy",
        };
        assert_eq!(programs.save(Family::V6), "ip6tables-legacy-save");
        assert_eq!(programs.restore(Family::V4), "iptables-legacy-restore");
    }
}
