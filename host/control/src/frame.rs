//! Lines in and out: bytes to requests and replies, with an end to how long they may be.

use std::io::{self, BufRead};

use serde::Deserialize;

use crate::{ControlReply, ControlRequest, ErrorKind};

/// Bytes of a request, its line end included: some 25,000 IPv6 addresses to ban at once. The daemon
/// holds no more for a client.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;

/// Bytes of a reply, its line end included: some 300,000 bans.
pub const REPLY_LEN_MAX: usize = 64 * 1024 * 1024;

/// Characters of an unknown command or of a parser's message that are repeated to the client.
const QUOTED_MAX: usize = 200;

/// Why a line is not a request or a reply.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than allowed.
    #[error("the line is longer than {max} bytes")]
    TooLong {
        /// What is allowed.
        max: usize,
    },
    /// Not a JSON object of the right shape.
    #[error("not understood: {message}")]
    Malformed {
        /// What is wrong, escaped.
        message: String,
    },
    /// A `command` that is not known.
    #[error("there is no command '{command}'")]
    UnknownCommand {
        /// The command, escaped and cut.
        command: String,
    },
}

impl From<DecodeError> for ControlReply {
    fn from(error: DecodeError) -> Self {
        let message = error.to_string();
        match error {
            DecodeError::TooLong { .. } => Self::error_with_hint(
                ErrorKind::RequestTooLong,
                message,
                "ask for fewer ids at once",
            ),
            DecodeError::Malformed { .. } => Self::error(ErrorKind::BadRequest, message),
            DecodeError::UnknownCommand { .. } => Self::error_with_hint(
                ErrorKind::UnknownCommand,
                message,
                format!("commands are {}", ControlRequest::COMMANDS.join(", ")),
            ),
        }
    }
}

/// Reads a request from its line, with or without the line end.
///
/// # Errors
/// Where it is too long, not a request, or one of an unknown command. `ControlReply::from` makes the
/// reply of it.
pub fn decode_request(line: &[u8]) -> Result<ControlRequest, DecodeError> {
    #[derive(Deserialize)]
    struct Any {
        command: String,
    }
    check_len(line, FRAME_LEN_MAX)?;
    // Looked at first, because "unknown" is another answer than "wrong".
    let any: Any = serde_json::from_slice(line).map_err(|e| malformed(&e))?;
    if !ControlRequest::COMMANDS.contains(&any.command.as_str()) {
        return Err(DecodeError::UnknownCommand {
            command: quoted(&any.command),
        });
    }
    serde_json::from_slice(line).map_err(|e| malformed(&e))
}

/// Reads a reply from its line, with or without the line end.
///
/// # Errors
/// Where it is too long or not a reply that this version knows.
pub fn decode_reply(line: &[u8]) -> Result<ControlReply, DecodeError> {
    check_len(line, REPLY_LEN_MAX)?;
    serde_json::from_slice(line).map_err(|e| malformed(&e))
}

/// A reply as its line, with the line end. One that would be longer than [`REPLY_LEN_MAX`] becomes an
/// error that says so.
#[must_use]
pub fn encode(reply: &ControlReply) -> String {
    encode_within(REPLY_LEN_MAX, reply)
}

fn encode_within(max: usize, reply: &ControlReply) -> String {
    let line = line_of(reply);
    if line.len() <= max {
        return line;
    }
    line_of(&ControlReply::error_with_hint(
        ErrorKind::ReplyTooLong,
        format!("the reply is longer than {max} bytes"),
        "ask for one jail only",
    ))
}

/// A request as its line, with the line end.
#[must_use]
pub fn encode_request(request: &ControlRequest) -> String {
    line_of(request)
}

fn line_of(message: &impl serde::Serialize) -> String {
    // Only a map with keys that are no texts could fail, and none of our types has one.
    let mut line = serde_json::to_string(message).unwrap_or_default();
    line.push('\n');
    line
}

fn check_len(line: &[u8], max: usize) -> Result<(), DecodeError> {
    // A reader that stops at the limit hands over a line of exactly that length without its end.
    if line.len() > max || (line.len() == max && !line.ends_with(b"\n")) {
        return Err(DecodeError::TooLong { max });
    }
    Ok(())
}

fn malformed(error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed {
        message: quoted(&error.to_string()),
    }
}

/// Text from the client, cut, with nothing in it that could forge a line of a log.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars().take(QUOTED_MAX) {
        match c {
            // Harmless, and part of serde's own words.
            '\'' | '"' => quoted.push(c),
            c => quoted.extend(c.escape_debug()),
        }
    }
    quoted
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The line is longer than allowed; the connection is of no further use.
    #[error("the line is longer than {max} bytes")]
    TooLong {
        /// What is allowed.
        max: usize,
    },
    /// The other end went away in the middle of a line.
    #[error("the connection ended in the middle of a line")]
    Incomplete,
    /// The connection failed.
    #[error("cannot read")]
    Io(#[from] io::Error),
}

/// Reads the next line, without its end, into `line`, which is cleared first. `false` where the other
/// end has closed the connection. Never holds more than `max` bytes, the line end included.
///
/// # Errors
/// Where the line is too long or incomplete, or reading fails.
pub fn read_frame(
    reader: &mut impl BufRead,
    max: usize,
    line: &mut Vec<u8>,
) -> Result<bool, FrameError> {
    line.clear();
    loop {
        let available = match reader.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return match line.is_empty() {
                true => Ok(false),
                false => Err(FrameError::Incomplete),
            };
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available
            .get(..end.unwrap_or(available.len()))
            .unwrap_or_default();
        if line.len() + part.len() >= max {
            return Err(FrameError::TooLong { max });
        }
        let needed = line.len() + part.len();
        if needed > line.capacity() {
            // Doubling, as a vector does by itself, but not beyond the limit.
            let room = (line.capacity() * 2).clamp(needed, max);
            line.reserve_exact(room - line.len());
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_would_be_too_long_becomes_an_error_that_says_so() {
        let reply = ControlReply::error(ErrorKind::Internal, "x".repeat(500));
        let line = encode(&reply);
        assert_eq!(encode_within(line.len(), &reply), line);
        let shorter = encode_within(line.len() - 1, &reply);
        let told = decode_reply(shorter.as_bytes()).unwrap();
        assert!(
            matches!(&told, ControlReply::Error(e) if e.kind == ErrorKind::ReplyTooLong),
            "{told:?}"
        );
    }
}
