//! `stockade firewall`: whether bans hold, and what has to be set up.

use stockade_control::{
    Check, Client, ClientError, ControlReply, ControlRequest, DoctorReply, ExitCode,
};

use super::args::{FirewallCommand, GlobalArgs};
use super::ask::{ANSWER_WITHIN, socket};
use super::{Failure, print, print_json, show};

pub(super) fn firewall(
    global: &GlobalArgs,
    command: &FirewallCommand,
) -> Result<ExitCode, Failure> {
    match command {
        FirewallCommand::Doctor => doctor(global),
        FirewallCommand::Setup => {
            print(&setup());
            Ok(ExitCode::Ok)
        }
    }
}

fn doctor(global: &GlobalArgs) -> Result<ExitCode, Failure> {
    let reply = match ask(global) {
        Ok(reply) => reply,
        // Without a daemon nothing can be tested with a packet, but there is something to say.
        Err(ClientError::NotReachable { .. }) => ControlReply::Doctor(without_daemon()),
        Err(error) => return Err(Failure::new(ExitCode::from(&error), &error)),
    };
    if global.json {
        print_json(&reply);
    } else if let ControlReply::Error(error) = reply {
        return Err(Failure::text(error.kind.into(), error.message));
    } else {
        print(&show::reply(&reply, false));
    }
    Ok(ExitCode::from(&reply))
}

fn ask(global: &GlobalArgs) -> Result<ControlReply, ClientError> {
    let mut client = Client::connect(&socket(global), ANSWER_WITHIN)?;
    client.request(&ControlRequest::Doctor {})
}

/// What can be said without asking a daemon.
fn without_daemon() -> DoctorReply {
    let hint = "start it: 'stockade run', or by the system's service manager".to_owned();
    let mut checks = vec![Check::bad(
        "stockade does not run: nobody is banned anew, and nothing can be tested with a packet",
        Some(hint),
    )];
    checks.push(match stockade_firewall::choose() {
        Ok(choice) => Check::good(format!(
            "firewall = \"auto\" means {}, since {}",
            choice.backend.name(),
            choice.because
        )),
        Err(error) => {
            let hint = error.hint().map(str::to_owned);
            Check::bad(super::chain(&error), hint)
        }
    });
    DoctorReply { checks }
}

/// What an administrator has to do by hand.
fn setup() -> String {
    if cfg!(target_os = "freebsd") {
        return stockade_firewall::setup_lines();
    }
    match stockade_firewall::choose() {
        Ok(choice) => format!(
            "Nothing has to be set up: firewall = \"auto\" means {}, since {}.\n\
             'stockade firewall doctor' tells whether bans hold.\n",
            choice.backend.name(),
            choice.because
        ),
        Err(error) => {
            let hint = error.hint();
            let hint = hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
            format!("{}{hint}\n", super::chain(&error))
        }
    }
}
