//! Commands that a running daemon answers.

use std::path::PathBuf;
use std::time::Duration;

use stockade_config::load;
use stockade_control::{Client, ControlReply, ControlRequest, ExitCode, UnbanRequest, UnbanWhom};
use stockade_core::JailName;

use super::args::{Command, GlobalArgs};
use super::{Failure, metrics, print, print_json, show};

/// A daemon that restores or lifts 100,000 bans is busy for seconds, not for a minute.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Asks the daemon and shows what it answers.
pub(super) fn ask(global: &GlobalArgs, command: &Command) -> Result<ExitCode, Failure> {
    let request = request(command)?;
    let mut client = Client::connect(&socket(global), ANSWER_WITHIN)
        .map_err(|error| Failure::new(ExitCode::from(&error), &error))?;
    let reply = send(&mut client, &request)?;
    let in_detail = matches!(command, Command::Status { jail: Some(_) });
    if global.json {
        print_json(&reply);
    } else if let ControlReply::Error(error) = &reply {
        show::diagnostics(&error.diagnostics);
        return Err(Failure {
            code: error.kind.into(),
            message: error.message.clone(),
            hint: error.hint.clone(),
        });
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
        Command::Unban { jail, all, ips } => {
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
