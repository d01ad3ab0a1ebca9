//! How long 100,000 bans take to restore, ours against `nft -f` with a file made beforehand.
//!
//! Prints one line of JSON with the wall-clock seconds of each, and of listing them again. Changes the firewall, so it runs
//! only in a network namespace of its own:
//!
//! ```sh
//! unshare -Urn cargo run --release -p stockade-firewall --example restore_speed
//! ```

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(target_os = "linux")]
    return linux::main();
    #[cfg(not(target_os = "linux"))]
    return Err("nftables exists on Linux only".into());
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::error::Error;
    use std::fmt::Write as _;
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use stockade_core::{IpNet, JailName};
    use stockade_firewall::{
        Backend, BlockType, Change, Hook, JailRules, NftablesOptions, PortRange, Ports, Protocol,
    };

    type Outcome<T> = Result<T, Box<dyn Error>>;

    const BANS: u32 = 100_000;
    const TIMEOUT: Duration = Duration::from_secs(3600);
    /// Without the host's root, `nft` cannot have a send buffer for all at once.
    const NFT_PIECE: u32 = 2_500;
    const NFT_TABLE: &str = "inet restore_speed";

    pub(super) fn main() -> Outcome<()> {
        refuse_outside_of_a_namespace()?;
        let (ours, list) = ours()?;
        let (nft, pieces) = nft()?;
        #[expect(clippy::print_stdout, reason = "the result is what this is for")]
        {
            println!(
                r#"{{"bans":{BANS},"ours_s":{ours:.3},"list_s":{list:.3},"nft_s":{nft:.3},"nft_transactions":{pieces},"ratio":{:.2}}}"#,
                ours / nft
            );
        }
        Ok(())
    }

    /// A namespace made for this has no interface but `lo`; a machine to protect has others.
    fn refuse_outside_of_a_namespace() -> Outcome<()> {
        let interfaces = std::fs::read_to_string("/proc/self/net/dev")?;
        let names = interfaces.lines().filter_map(|line| line.split_once(':'));
        if names.map(|(name, _)| name.trim()).eq(["lo"]) {
            Ok(())
        } else {
            Err("this would change the firewall of the machine: run it by `unshare -Urn`".into())
        }
    }

    fn address(index: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + index))
    }

    /// Seconds to ban, and to list what is banned.
    fn ours() -> Outcome<(f64, f64)> {
        let jail = JailName::try_new("sshd")?;
        let changes: Vec<_> = (0..BANS)
            .map(|index| Change::Ban {
                jail: jail.clone(),
                net: IpNet::from(address(index)),
                timeout: Some(TIMEOUT),
            })
            .collect();
        let mut firewall = Backend::Nftables(NftablesOptions::default()).open()?;
        firewall.configure(&[JailRules {
            jail,
            ports: Ports::List(vec![PortRange::single(22)]),
            protocols: vec![Protocol::Tcp],
            block: BlockType::Drop,
            hooks: BTreeSet::from([Hook::Input]),
        }])?;
        let begin = now();
        let refused = firewall.apply(&changes)?;
        let seconds = begin.elapsed().as_secs_f64();
        let begin = now();
        let held = firewall.list()?.len();
        let listing = begin.elapsed().as_secs_f64();
        firewall.teardown()?;
        if held != changes.len() || !refused.is_empty() {
            return Err(format!("{held} of {BANS} bans are in the kernel").into());
        }
        Ok((seconds, listing))
    }

    /// Seconds, and in how many transactions.
    fn nft() -> Outcome<(f64, u32)> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("bans.nft");
        let set =
            format!("table {NFT_TABLE} {{\nset bans {{ type ipv4_addr\nflags timeout\n}}\n}}\n");
        std::fs::write(&file, set)?;
        let mut seconds = 0.0;
        let mut pieces = 0;
        run_nft(&file)?;
        let all = elements(0, BANS)?;
        std::fs::write(&file, all)?;
        if let Ok(all_at_once) = run_nft(&file) {
            seconds = all_at_once;
            pieces = 1;
        } else {
            for first in (0..BANS).step_by(usize::try_from(NFT_PIECE)?) {
                std::fs::write(&file, elements(first, NFT_PIECE)?)?;
                seconds += run_nft(&file)?;
                pieces += 1;
            }
        }
        Ok((seconds, pieces))
    }

    fn elements(first: u32, count: u32) -> Outcome<String> {
        let mut text = format!("add element {NFT_TABLE} bans {{");
        for index in first..first + count {
            write!(text, "{} timeout {}s,", address(index), TIMEOUT.as_secs())?;
        }
        text.push_str("}\n");
        Ok(text)
    }

    fn run_nft(file: &Path) -> Outcome<f64> {
        #[expect(clippy::disallowed_methods, reason = "nft is what we measure against")]
        let mut nft = Command::new("nft");
        nft.arg("-f").arg(file);
        let begin = now();
        let output = nft.output()?;
        let seconds = begin.elapsed().as_secs_f64();
        if output.status.success() {
            Ok(seconds)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a clock is what this is about")]
        Instant::now()
    }
}
