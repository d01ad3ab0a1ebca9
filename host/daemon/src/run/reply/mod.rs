//! Answers to control requests.

mod attempt;
mod bans;
mod doctor;
mod rules;
mod status;

use stockade_control::{ControlReply, ControlRequest, ErrorKind, StopReply, VersionReply};
use stockade_core::JailName;

use super::main_loop::Daemon;
use super::socket::Asked;

impl Daemon {
    /// Answers a request. A client that went away does not matter.
    pub(super) async fn answer(&mut self, asked: Asked) {
        let reply = match asked.request {
            ControlRequest::Ping {} => ControlReply::Ping {},
            ControlRequest::Version {} => {
                ControlReply::Version(VersionReply::new(env!("CARGO_PKG_VERSION")))
            }
            ControlRequest::Status { jail } => self.status(jail.as_ref()).await,
            ControlRequest::Banned { jail } => self.banned(jail.as_ref()).await,
            ControlRequest::Rules { jail } => self.rules(&jail),
            ControlRequest::Tune(request) => self.tune(&request).await,
            ControlRequest::Attempt { jail, id, lines } => self.attempt(jail, &id, &lines).await,
            ControlRequest::Ban { jail, ids } => self.ban(jail, &ids).await,
            ControlRequest::Unban(request) => self.unban(request).await,
            ControlRequest::Confirm { discard } => self.confirm(discard).await,
            ControlRequest::Reload { strict } => self.reload(strict).await,
            ControlRequest::Doctor {} => self.doctor().await,
            ControlRequest::Stop { flush } => self.stop_reply(flush).await,
            _ => ControlReply::error(ErrorKind::UnknownCommand, "this command is not known here"),
        };
        if matches!(reply, ControlReply::Stop(_)) {
            self.last_reply = Some(asked.written);
        }
        drop(asked.reply.send(reply));
    }

    fn has_jail(&self, name: &JailName) -> bool {
        self.setup
            .jails
            .iter()
            .any(|jail| jail.settings.name == *name)
    }

    async fn stop_reply(&mut self, flush: bool) -> ControlReply {
        self.begin_stop();
        self.drain_readers().await;
        self.finish_turn();
        if flush && let Err(error) = self.engine.enforcement.teardown().await {
            return ControlReply::error(ErrorKind::Firewall, crate::cli::chain(&error));
        }
        let left = if flush {
            0
        } else {
            self.engine.decider.bans().count()
        };
        ControlReply::Stop(StopReply {
            flushed: flush,
            bans_left: u64::try_from(left).unwrap_or(0),
        })
    }
}
