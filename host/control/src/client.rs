//! A blocking client: what the command line uses, and others may.

use std::io::{self, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::frame::{self, DecodeError, FrameError};
use crate::{ControlReply, ControlRequest, FRAME_LEN_MAX, REPLY_LEN_MAX};

/// A connection to a running daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the control socket at `path`. `timeout` is how long the daemon may be silent while
    /// it is asked something; zero is taken as one millisecond.
    ///
    /// # Errors
    /// Where nobody answers at `path`, or the user may not ask.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        // Zero would mean for ever to the system, and an error to std.
        let timeout = timeout.max(Duration::from_millis(1));
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| ClientError::connecting(path, source))?;
        Ok(Self {
            path: path.to_path_buf(),
            stream: BufReader::new(stream),
        })
    }

    /// Asks and waits for the reply. A [`ControlReply::Error`] is a reply too. After an error, connect
    /// anew: a late reply would be taken for that of the next request.
    ///
    /// # Errors
    /// Where the request is too long, or the connection ends, fails, is silent for too long, or brings
    /// something that is no reply.
    pub fn request(&mut self, request: &ControlRequest) -> Result<ControlReply, ClientError> {
        let line = frame::encode_request(request);
        if line.len() > FRAME_LEN_MAX {
            return Err(ClientError::RequestTooLong { len: line.len() });
        }
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.map_err(|source| self.talking(source))?;
        let mut line = Vec::new();
        match frame::read_frame(&mut self.stream, REPLY_LEN_MAX, &mut line) {
            Ok(true) => {}
            Ok(false) | Err(FrameError::Incomplete) => return Err(self.closed()),
            Err(FrameError::Io(source)) => return Err(self.talking(source)),
            Err(FrameError::TooLong { max }) => {
                return Err(self.bad_reply(DecodeError::TooLong { max }));
            }
        }
        frame::decode_reply(&line).map_err(|source| self.bad_reply(source))
    }

    fn talking(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        match source.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::TimedOut { path },
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ClientError::Closed { path },
            _ => ClientError::Io { path, source },
        }
    }

    fn closed(&self) -> ClientError {
        ClientError::Closed {
            path: self.path.clone(),
        }
    }

    fn bad_reply(&self, source: DecodeError) -> ClientError {
        let path = self.path.clone();
        ClientError::BadReply { path, source }
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the path.
    #[error("stockade is not running, or its socket is not at '{}'", path.display())]
    NotReachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The user may not open the socket.
    #[error(
        "no permission to open '{}': only root and the group of the control socket may",
        path.display()
    )]
    NotPermitted {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The daemon said nothing for too long.
    #[error("stockade at '{}' does not answer in time", path.display())]
    TimedOut {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon ended the connection without a reply.
    #[error("stockade at '{}' ended the connection without a reply", path.display())]
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection failed.
    #[error("the connection to stockade at '{}' failed", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The request is longer than the daemon reads.
    #[error("the request has {len} bytes, stockade reads at most {max}", max = FRAME_LEN_MAX)]
    RequestTooLong {
        /// Its length.
        len: usize,
    },
    /// What came is no reply: another program listens there, or a stockade of another version.
    #[error("'{}' gave a reply that this stockade does not understand", path.display())]
    BadReply {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl ClientError {
    fn connecting(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::PermissionDenied => Self::NotPermitted { path, source },
            _ => Self::NotReachable { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitCode;

    /// Root may open every socket, so the system's answer is given here.
    #[test]
    fn a_user_who_may_not_ask_is_told_who_may() {
        let refused = io::Error::from(ErrorKind::PermissionDenied);
        let error = ClientError::connecting(Path::new("/run/s.sock"), refused);
        assert_eq!(
            error.to_string(),
            "no permission to open '/run/s.sock': only root and the group of the control socket may"
        );
        assert_eq!(ExitCode::from(&error), ExitCode::NotPermitted);
    }
}
