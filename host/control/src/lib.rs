//! The control socket's words: what a client can ask, what the daemon answers, and a client.
//!
//! One JSON object a line in both directions, a reply for each request in order. The shape is stable
//! and documented in `docs/control-protocol.md`; a test holds that document and these types together.
//! Nothing is decided here, and the socket itself belongs to the daemon.

mod client;
mod doctor;
mod exit;
mod frame;
mod reply;
mod request;
mod rules;
mod status;
mod time;

pub use client::{Client, ClientError};
pub use doctor::{Check, DoctorReply, Finding};
pub use exit::ExitCode;
pub use frame::{
    DecodeError, FRAME_LEN_MAX, FrameError, REPLY_LEN_MAX, decode_reply, decode_request, encode,
    encode_request, read_frame,
};
pub use reply::{
    AttemptReply, BanEntry, BanReply, BannedReply, BrokenJail, ConfirmReply, ControlReply,
    Diagnostic, ErrorKind, ErrorReply, Excerpt, IdKind, ItemResult, Outcome, ReloadReply, Severity,
    StopReply, UnbanReply, VersionReply,
};
pub use request::{ControlRequest, TuneRequest, UnbanRequest, UnbanWhom};
pub use rules::{Growth, Increment, RulesReply};
pub use status::{
    AbsentJail, BackendStatus, FirewallStatus, HeldStatus, JailStatus, LogStatus, PluginRole,
    PluginState, PluginStatus, ProtectedStatus, SourceKind, SourceStatus, State, StatusReply,
    Stopped, StoreStatus,
};
pub use time::Time;

/// Version of the protocol. Raised when a field or value is removed or changes its meaning; new fields,
/// commands and values come without notice.
pub const PROTOCOL: u32 = 1;
