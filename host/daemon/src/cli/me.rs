//! Where the person is, or was, who types `stockade unban --me`.

use std::net::IpAddr;

use stockade_control::ExitCode;

use super::Failure;
use crate::ssh::{self, LOGINS, Processes};

/// Whose address is asked for, and how it is known.
#[derive(Debug)]
pub(super) struct Me {
    /// How the addresses are known, in words.
    pub(super) how: String,
    /// At least one.
    pub(super) addrs: Vec<IpAddr>,
}

/// The address of the ssh session; at a console, those from which this user has logged in before.
pub(super) fn find() -> Result<Me, Failure> {
    if let Some(addr) = own_client().or_else(client_above) {
        return Ok(Me {
            how: "your ssh session comes from".to_owned(),
            addrs: vec![addr],
        });
    }
    let Some(user) = user() else {
        return Err(unknown("it is not known who you are"));
    };
    let addrs = ssh::logins(&user);
    if addrs.is_empty() {
        return Err(unknown(&format!(
            "you have no ssh session, and {LOGINS} knows no login of '{user}' from elsewhere"
        )));
    }
    Ok(Me {
        how: format!("you have no ssh session; '{user}' has logged in from"),
        addrs,
    })
}

fn unknown(why: &str) -> Failure {
    let message = format!("cannot tell where you come from: {why}");
    Failure::text(ExitCode::Refused, message).hint(
        "'stockade banned' lists who is banned, 'stockade unban ADDRESS' lets somebody in again",
    )
}

fn own_client() -> Option<IpAddr> {
    let names = ["SSH_CONNECTION", "SSH_CLIENT"];
    names.into_iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        ssh::client(format!("{name}={value}").as_bytes())
    })
}

/// The client in the environment of a process above: sudo(8) takes it out of ours.
fn client_above() -> Option<IpAddr> {
    let processes = Processes::list().ok()?;
    let mut lineage = processes.lineage(std::process::id());
    lineage.find_map(|(_, above)| ssh::client(&ssh::environ(above).ok()?))
}

/// Who was it before sudo, or is it.
fn user() -> Option<String> {
    let before = std::env::var("SUDO_USER").ok();
    before.or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        ssh::name_of(uid, &ssh::text("/etc/passwd"))
    })
}
