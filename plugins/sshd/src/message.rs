//! The messages of OpenSSH that are failures: the same as in `config/filters/sshd.toml`, which says
//! why just these.
//!
//! Who connects chooses the user name, the client's identification and the reason of a disconnect,
//! and may write into each what looks like the rest of a message. So every message is read from the
//! side that is sshd's own, to its very end: nobody else may be banned by what an attacker writes.

use std::net::IpAddr;

use stockade_sdk::filter::LogText;

use crate::peer::{self, Port};
use crate::tail::{before_key, before_preauth, before_protocol, is_number, is_words};

/// A failure, as its message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure<'a> {
    pub(crate) addr: IpAddr,
    /// The user name that was tried, where the message has one.
    pub(crate) user: Option<&'a [u8]>,
}

impl<'a> Failure<'a> {
    fn of_addr(addr: IpAddr) -> Self {
        Self { addr, user: None }
    }

    fn of_user((user, addr): (&'a [u8], IpAddr)) -> Self {
        let user = (!user.is_empty()).then_some(user);
        Self { addr, user }
    }
}

type Reader = fn(&[u8]) -> Option<Failure<'_>>;

/// How each message begins, and what reads the rest of it. No beginning is that of another.
const MESSAGES: [(&str, Reader); 18] = [
    ("Failed ", failed),
    ("PAM: ", pam),
    (
        "maximum authentication attempts exceeded for ",
        too_many_attempts,
    ),
    ("ROOT LOGIN REFUSED FROM ", root_refused),
    ("Invalid user ", unknown_user),
    ("Illegal user ", unknown_user),
    ("User ", not_allowed),
    ("Connection closed by ", connection_over),
    ("Connection reset by ", connection_over),
    ("Disconnected from ", disconnected),
    ("Unable to negotiate with ", not_negotiated),
    ("Did not receive identification string from ", peer_alone),
    ("banner exchange: Connection from ", banner_exchange),
    ("Bad protocol version identification '", bad_identification),
    ("Protocol major versions differ for ", versions_differ),
    (
        "Timeout before authentication for connection from ",
        timeout_of_connection,
    ),
    ("Timeout before authentication for ", peer_alone),
    ("ssh_dispatch_run_fatal: Connection from ", dispatch_fatal),
];

/// What the plan looks for: one of these is in every message that counts, and in few others.
pub(crate) const LITERALS: [&str; 25] = [
    "Failed password for ",
    "Failed keyboard-interactive for ",
    "Failed keyboard-interactive/bsdauth for ",
    "Failed publickey for invalid user ",
    "Failed publickey for illegal user ",
    "Failed hostbased for invalid user ",
    "Failed hostbased for illegal user ",
    "Failed gssapi-with-mic for invalid user ",
    "Failed gssapi-with-mic for illegal user ",
    "PAM: ",
    "maximum authentication attempts exceeded for ",
    "ROOT LOGIN REFUSED FROM ",
    "Invalid user ",
    "Illegal user ",
    " not allowed because ",
    "Connection closed by ",
    "Connection reset by ",
    "Disconnected from ",
    "Unable to negotiate with ",
    "Did not receive identification string from ",
    "banner exchange: Connection from ",
    "Bad protocol version identification '",
    "Protocol major versions differ for ",
    "Timeout before authentication for ",
    "ssh_dispatch_run_fatal: Connection from ",
];

/// Reads a message.
pub(crate) fn read(message: &[u8]) -> Option<Failure<'_>> {
    let message = ["error: ", "fatal: "]
        .iter()
        .find_map(|level| message.after_prefix(level))
        .unwrap_or(message);
    MESSAGES
        .iter()
        .find_map(|(begin, reader)| Some((reader, message.after_prefix(begin)?)))
        .and_then(|(reader, rest)| reader(rest))
}

/// Methods by which a password or a typed answer was wrong. `keyboard-interactive/pam` is not among
/// them: PAM's own message stands beside it.
const TYPED: [&str; 3] = [
    "password for ",
    "keyboard-interactive for ",
    "keyboard-interactive/bsdauth for ",
];

/// Methods that clients try on their own; they count only for users who do not exist.
const TRIED: [&str; 3] = ["publickey for ", "hostbased for ", "gssapi-with-mic for "];

/// `METHOD for [invalid user ]USER from ADDR port N ssh2[: KEY]`.
fn failed(text: &[u8]) -> Option<Failure<'_>> {
    let after_one_of = |methods: &[&str]| methods.iter().find_map(|m| text.after_prefix(m));
    let typed = after_one_of(&TYPED);
    let unknown = typed
        .or_else(|| after_one_of(&TRIED))
        .and_then(after_unknown_user)
        .and_then(|rest| peer::user_at_end(before_protocol(before_key(rest)), Port::Given));
    let known = || peer::user_at_end(before_protocol(typed?), Port::Given);
    unknown.or_else(known).map(Failure::of_user)
}

/// What follows `invalid user ` or `illegal user `.
fn after_unknown_user(text: &[u8]) -> Option<&[u8]> {
    text.after_prefix("invalid user ")
        .or_else(|| text.after_prefix("illegal user "))
}

/// What PAM says of a failure (`pam_strerror` of Linux-PAM).
const PAM_REASONS: [&str; 6] = [
    "Authentication failure for ",
    "Permission denied for ",
    "User not known to the underlying authentication module for ",
    "User account has expired for ",
    "Have exhausted maximum number of retries for service for ",
    "Authentication service cannot retrieve authentication info for ",
];

/// `REASON for [invalid user ]USER from ADDR[ port N]`.
fn pam(text: &[u8]) -> Option<Failure<'_>> {
    let rest = PAM_REASONS
        .iter()
        .find_map(|reason| text.after_prefix(reason))?;
    after_unknown_user(rest)
        .and_then(|rest| peer::user_at_end(rest, Port::Optional))
        .or_else(|| peer::user_at_end(rest, Port::Optional))
        .map(Failure::of_user)
}

/// `[invalid user ]USER from ADDR port N ssh2[ [preauth]]`.
fn too_many_attempts(text: &[u8]) -> Option<Failure<'_>> {
    let text = before_protocol(before_preauth(text).unwrap_or(text));
    text.after_prefix("invalid user ")
        .and_then(|rest| peer::user_at_end(rest, Port::Given))
        .or_else(|| peer::user_at_end(text, Port::Given))
        .map(Failure::of_user)
}

/// `ADDR[ port N][ [preauth]]`.
fn root_refused(text: &[u8]) -> Option<Failure<'_>> {
    peer_alone(before_preauth(text).unwrap_or(text))
}

/// `USER from ADDR[ port N]`.
fn unknown_user(text: &[u8]) -> Option<Failure<'_>> {
    peer::user_at_end(text, Port::Optional).map(Failure::of_user)
}

/// `USER from ADDR not allowed because REASON`.
fn not_allowed(text: &[u8]) -> Option<Failure<'_>> {
    let (rest, reason) = text.rsplit_around(" not allowed because ")?;
    let own = |byte: &u8| byte.is_ascii_alphabetic() || b"' ".contains(byte);
    if reason.is_empty() || !reason.iter().all(own) {
        return None;
    }
    peer::user_at_end(rest, Port::None).map(Failure::of_user)
}

/// `authenticating user USER ADDR port N [preauth]`, or `ADDR port N[ [preauth]]`, or
/// `ADDR [preauth]`.
fn connection_over(text: &[u8]) -> Option<Failure<'_>> {
    authenticating(text).or_else(|| {
        let (rest, port) = match before_preauth(text) {
            Some(rest) => (rest, Port::Optional),
            None => (text, Port::Given),
        };
        peer::whole(rest, port).map(Failure::of_addr)
    })
}

/// `authenticating user USER ADDR port N [preauth]`, or `ADDR[ port N] [preauth]`.
fn disconnected(text: &[u8]) -> Option<Failure<'_>> {
    authenticating(text)
        .or_else(|| peer::whole(before_preauth(text)?, Port::Optional).map(Failure::of_addr))
}

fn authenticating(text: &[u8]) -> Option<Failure<'_>> {
    let rest = before_preauth(text.after_prefix("authenticating user ")?)?;
    peer::at_end(rest, Port::Given).map(Failure::of_user)
}

/// `ADDR[ port N]: no matching WHAT. Their offer: …`.
fn not_negotiated(text: &[u8]) -> Option<Failure<'_>> {
    let (addr, reason) = peer::before_colon(text, Port::Optional)?;
    reason.after_prefix("no matching ")?;
    Some(Failure::of_addr(addr))
}

/// `ADDR[ port N]`.
fn peer_alone(text: &[u8]) -> Option<Failure<'_>> {
    peer::whole(text, Port::Optional).map(Failure::of_addr)
}

/// `ADDR port N: REASON`.
fn banner_exchange(text: &[u8]) -> Option<Failure<'_>> {
    let (addr, reason) = peer::before_colon(text, Port::Given)?;
    is_words(reason).then_some(Failure::of_addr(addr))
}

/// `…' from ADDR[ port N]`, where what stands before the quote is the client's.
fn bad_identification(text: &[u8]) -> Option<Failure<'_>> {
    let (identification, addr) = peer::user_at_end(text, Port::Optional)?;
    identification.before_suffix("'")?;
    Some(Failure::of_addr(addr))
}

/// `ADDR[ port N]: OURS vs. THEIRS`.
fn versions_differ(text: &[u8]) -> Option<Failure<'_>> {
    peer::before_colon(text, Port::Optional).map(|(addr, _)| Failure::of_addr(addr))
}

/// `ADDR to OUR-ADDR, pid = N`.
fn timeout_of_connection(text: &[u8]) -> Option<Failure<'_>> {
    let (rest, pid) = text.rsplit_around(", pid = ")?;
    let (theirs, ours) = rest.split_around(" to ")?;
    let one_word = !ours.is_empty() && !ours.iter().any(u8::is_ascii_whitespace);
    if !is_number(pid) || !one_word {
        return None;
    }
    peer::addr(theirs).map(Failure::of_addr)
}

/// `[authenticating user USER ]ADDR port N: REASON [preauth]`.
fn dispatch_fatal(text: &[u8]) -> Option<Failure<'_>> {
    let text = before_preauth(text)?;
    let (peer, reason) = text.rsplit_around(": ")?;
    if !is_words(reason) {
        return None;
    }
    match peer.after_prefix("authenticating user ") {
        Some(rest) => peer::at_end(rest, Port::Given).map(Failure::of_user),
        None => peer::whole(peer, Port::Given).map(Failure::of_addr),
    }
}
