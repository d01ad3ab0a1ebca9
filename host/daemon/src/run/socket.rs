//! The control socket: requests in, replies out, nothing decided here.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Gid, chown};
use stockade_control::{ControlReply, ControlRequest, FRAME_LEN_MAX, decode_request, encode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Clients that are served at once. Only root and one group can connect; more than this is a script
/// gone wrong, and it waits.
const CLIENTS_MAX: usize = 32;
/// A client that says nothing for so long is disconnected, so that it cannot hold a place for ever.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A request and the place for its reply.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: ControlRequest,
    pub(super) reply: oneshot::Sender<ControlReply>,
    /// Ends when the reply is on its way to the client, or the client is gone.
    pub(super) written: oneshot::Receiver<()>,
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("another stockade answers at '{}'", path.display())]
    InUse { path: PathBuf },
    #[error("'{}' exists and is not a socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("there is no group '{group}' for the control socket")]
    NoGroup { group: String },
    #[error("cannot open the control socket '{}'", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The open socket; its file is removed when it is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Opens the socket for root and `group`. A socket that nobody answers at is what a killed daemon
    /// left, and is replaced.
    pub(super) fn open(path: &Path, group: Option<&str>) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        let gid = group.map(group_id).transpose()?;
        clear_stale(path)?;
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        // Bound under a mask that lets nobody in, so that there is no moment before the chmod.
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(mask);
        let listener = bound.map_err(failed)?;
        if let Some(gid) = gid {
            chown(path, None, Some(gid)).map_err(|errno| failed(errno.into()))?;
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            listener,
        })
    }

    /// Serves clients until the receiver of `requests` is gone.
    pub(super) async fn serve(self, requests: mpsc::Sender<Asked>) {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        while !requests.is_closed() {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        let served = serve_client(stream, &requests).await;
                        drop(place);
                        if let Err(error) = served {
                            tracing::debug!("a control client was disconnected: {error}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a control client: {error}");
                    // Out of descriptors: give those in use time to be closed.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

async fn serve_client(stream: UnixStream, requests: &mpsc::Sender<Asked>) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(FRAME_LEN_MAX).unwrap_or(u64::MAX);
        let mut frame = (&mut reading).take(limit);
        let read = tokio::time::timeout(IDLE_MAX, frame.read_until(b'\n', &mut line));
        if read.await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        // Dropped when this turn ends, after the reply was written.
        let (_writing, written) = oneshot::channel();
        let reply = match decode_request(&line) {
            Ok(request) => ask(request, written, requests).await,
            Err(error) => ControlReply::from(error),
        };
        writing.write_all(encode(&reply).as_bytes()).await?;
        if !whole {
            return Ok(());
        }
    }
}

async fn ask(
    request: ControlRequest,
    written: oneshot::Receiver<()>,
    requests: &mpsc::Sender<Asked>,
) -> ControlReply {
    let (reply, answer) = oneshot::channel();
    let asked = Asked {
        request,
        reply,
        written,
    };
    if requests.send(asked).await.is_err() {
        return ControlReply::stopping();
    }
    answer.await.unwrap_or_else(|_| ControlReply::stopping())
}

/// Removes a socket file that nobody listens at.
fn clear_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket {
            path: path.to_owned(),
        });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The number of a group by its name, from group(5).
fn group_id(group: &str) -> Result<Gid, SocketError> {
    let unknown = || SocketError::NoGroup {
        group: group.to_owned(),
    };
    let table = std::fs::read_to_string("/etc/group").map_err(|_| unknown())?;
    table
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| {
            let name = fields.next()?;
            let id = fields.nth(1)?;
            (name == group).then(|| id.parse().ok()).flatten()
        })
        .map(Gid::from_raw)
        .ok_or_else(unknown)
}
