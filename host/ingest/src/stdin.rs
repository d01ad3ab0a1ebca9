//! Lines of a stream that is read once: standard input, a pipe, a socket.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use stockade_core::{Checkpoint, Chunk, LineTimes, SourceName};

use crate::lines::{LineStream, Skipped};
use crate::notice::Notice;
use crate::wake::{WakePipe, Waker, readable};

/// Bytes read at once: what a pipe holds (pipe(7)).
const READ_LEN: usize = 64 * 1024;

/// Reads of one [`Lines::poll`], so that it returns to a caller who has to stop.
const READS_PER_POLL_MAX: usize = 16;

/// Follows a stream to its end.
#[derive(Debug)]
pub struct Lines<R> {
    source: SourceName,
    input: R,
    wake: WakePipe,
    stream: LineStream,
    buf: Vec<u8>,
    ended: bool,
}

impl<R: Read + AsFd> Lines<R> {
    /// Reads `input`, which must not buffer by itself (`Stdin` does: use a `File` of its
    /// descriptor), under the name `source`. Lines longer than `line_len_max` bytes are skipped
    /// and reported.
    ///
    /// # Errors
    /// No descriptors are left for the waker.
    pub fn new(input: R, source: SourceName, line_len_max: usize) -> io::Result<Self> {
        Ok(Self {
            source,
            input,
            wake: WakePipe::new()?,
            stream: LineStream::new(line_len_max),
            buf: vec![0; READ_LEN],
            ended: false,
        })
    }

    /// Waits at most `timeout` for new lines, and passes them on; they cannot be read again, so
    /// their checkpoint is none. After the end, [`Notice::Ended`] comes once, and then nothing.
    pub fn poll(&mut self, timeout: Duration, sink: &mut dyn FnMut(Chunk)) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut timeout = timeout;
        for _ in 0..READS_PER_POLL_MAX {
            // After its end the stream is readable for ever: only the waker counts then.
            let input = (!self.ended).then(|| self.input.as_fd());
            let wake = self.wake.as_fd();
            let ready = readable([wake, input.unwrap_or(wake)], timeout);
            let Ok([woken, readable]) = ready else {
                break;
            };
            if woken {
                self.wake.clear();
                break;
            }
            if self.ended || !readable {
                break;
            }
            self.read(&mut notices, sink);
            timeout = Duration::ZERO;
        }
        notices
    }

    /// Makes `poll` return at once, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.wake.waker()
    }

    fn read(&mut self, notices: &mut Vec<Notice>, sink: &mut dyn FnMut(Chunk)) {
        let (lines, error) = match self.input.read(&mut self.buf) {
            Ok(0) => (None, None),
            Ok(n) => {
                let got = self.buf.get(..n).unwrap_or_default();
                (Some(self.stream.push(got)), None)
            }
            Err(error) if is_transient(&error) => return,
            Err(error) => (None, Some(error)),
        };
        if let Some((text, skipped)) = lines {
            return self.emit(text, skipped, notices, sink);
        }
        self.ended = true;
        let (text, skipped) = self.stream.finish();
        self.emit(text, skipped, notices, sink);
        notices.push(Notice::Ended {
            source: self.source.clone(),
            error,
        });
    }

    fn emit(
        &self,
        text: Vec<u8>,
        skipped: Skipped,
        notices: &mut Vec<Notice>,
        sink: &mut dyn FnMut(Chunk),
    ) {
        if skipped.lines > 0 {
            notices.push(Notice::OverlongLines {
                source: self.source.clone(),
                lines: skipped.lines,
                bytes: skipped.bytes,
            });
        }
        if !text.is_empty() {
            sink(Chunk {
                source: self.source.clone(),
                text: text.into(),
                times: LineTimes::InText,
                checkpoint: Checkpoint::None,
            });
        }
    }
}

pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
