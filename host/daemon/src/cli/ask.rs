//! Commands that a running daemon answers.

use std::path::PathBuf;
use std::time::Duration;

use stockade_config::load;
use stockade_control::{
    Client, ControlReply, ControlRequest, ErrorReply, ExitCode, UnbanRequest, UnbanWhom,
};
use stockade_core::JailName;

use super::args::{Command, GlobalArgs};
use super::{Failure, me, metrics, print, print_json, show};

/// A daemon that restores or lifts 100,000 bans is busy for seconds, not for a minute.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Asks the daemon and shows what it answers.
pub(super) fn ask(global: &GlobalArgs, command: &Command) -> Result<ExitCode, Failure> {
    if let Command::Unban { jail, me: true, .. } = command {
        return unban_me(global, jail.as_deref());
    }
    let request = request(command)?;
    let mut client = connect(global)?;
    let reply = send(&mut client, &request)?;
    let in_detail = matches!(command, Command::Status { jail: Some(_) });
    if global.json {
        print_json(&reply);
    } else if let ControlReply::Error(error) = &reply {
        return Err(refused(error));
    } else if let (Command::Metrics, ControlReply::Status(status)) = (command, &reply) {
        print(&metrics::metrics(status));
    } else {
        print(&show::reply(&reply, in_detail));
        if let Command::Status { jail: Some(jail) } = command {
            print("\n");
            let banned = ControlRequest::Banned {
                jail: optional(Some(jail))?,
            };
            print(&show::reply(&send(&mut client, &banned)?, false));
        }
    }
    Ok(ExitCode::from(&reply))
}

/// Lifts every ban that keeps out who types this, and says how he stays in.
fn unban_me(global: &GlobalArgs, jail: Option<&str>) -> Result<ExitCode, Failure> {
    let me = me::find()?;
    let ids: Vec<String> = me.addrs.iter().map(ToString::to_string).collect();
    let request = UnbanRequest {
        wider: true,
        ..UnbanRequest::new(optional(jail)?, UnbanWhom::Ids(ids.clone()))
    };
    let reply = send(&mut connect(global)?, &ControlRequest::Unban(request))?;
    let unbanned = match &reply {
        ControlReply::Unban(reply) => reply.unbanned,
        ControlReply::Error(error) if !global.json => return Err(refused(error)),
        _ => 0,
    };
    if global.json {
        print_json(&reply);
    } else {
        print(&format!("{} {}\n", me.how, ids.join(", ")));
        print(&show::reply(&reply, false));
        let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        print(&format!(
            "to be never banned, add {} to ignoreip under [defaults], and 'stockade reload'\n",
            quoted.join(", ")
        ));
    }
    // Of several logins most are not banned.
    Ok(if unbanned > 0 {
        ExitCode::Ok
    } else {
        ExitCode::from(&reply)
    })
}

fn connect(global: &GlobalArgs) -> Result<Client, Failure> {
    Client::connect(&socket(global), ANSWER_WITHIN)
        .map_err(|error| Failure::new(ExitCode::from(&error), &error))
}

fn refused(error: &ErrorReply) -> Failure {
    show::diagnostics(&error.diagnostics);
    Failure {
        code: error.kind.into(),
        message: error.message.clone(),
        hint: error.hint.clone(),
    }
}

fn send(client: &mut Client, request: &ControlRequest) -> Result<ControlReply, Failure> {
    let reply = client.request(request);
    reply.map_err(|error| Failure::new(ExitCode::from(&error), &error))
}

fn request(command: &Command) -> Result<ControlRequest, Failure> {
    Ok(match command {
        Command::Status { jail } => ControlRequest::Status {
            jail: optional(jail.as_deref())?,
        },
        Command::Metrics => ControlRequest::Status { jail: None },
        Command::Banned { jail } => ControlRequest::Banned {
            jail: optional(jail.as_deref())?,
        },
        Command::Ban { jail, ips } => ControlRequest::Ban {
            jail: named(jail)?,
            ids: ips.clone(),
        },
        Command::Unban { jail, all, ips, .. } => {
            let whom = if *all {
                UnbanWhom::All
            } else {
                UnbanWhom::Ids(ips.clone())
            };
            ControlRequest::Unban(UnbanRequest::new(optional(jail.as_deref())?, whom))
        }
        Command::Confirm { discard } => ControlRequest::Confirm { discard: *discard },
        Command::Reload { strict } => ControlRequest::Reload { strict: *strict },
        Command::Stop { flush } => ControlRequest::Stop { flush: *flush },
        _ => ControlRequest::Ping {},
    })
}

fn named(jail: &str) -> Result<JailName, Failure> {
    JailName::try_new(jail).map_err(|error| Failure::new(ExitCode::Usage, &error))
}

fn optional(jail: Option<&str>) -> Result<Option<JailName>, Failure> {
    jail.map(named).transpose()
}

/// The configured socket, also where the rest of the configuration has errors: a running daemon must
/// stay reachable while somebody edits it.
pub(super) fn socket(global: &GlobalArgs) -> PathBuf {
    let configured = || load(&global.configuration().files()).daemon.socket;
    global.socket.clone().unwrap_or_else(configured)
}
