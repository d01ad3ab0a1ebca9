//! A program at work: feeding it, hearing it, and waiting for its end.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Call, SAID_BYTES_MAX, now};

/// What a program finds its own programs in; nothing else of our environment is its business.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long one waits for output before looking whether the program has ended: a child that it left
/// behind may hold its output open.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The first pause once a program has closed its output. It ends within moments then, and there may be
/// thousands of calls; every further pause is twice as long, up to [`LOOK_EVERY`].
const PAUSE_MIN: Duration = Duration::from_micros(200);

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// How often an ended program's pipes are read: they hold 64 KiB (pipe(7)), and somebody whom it left behind
/// may go on writing.
const READS_MAX: usize = 8;

/// What ended a wait.
pub(super) enum Waited {
    Ended(ExitStatus),
    Stopped,
    TooLong,
}

/// A program at work, with what it has written so far.
pub(super) struct Running<'a> {
    child: Child,
    input: &'a [u8],
    pub(super) answer: Vec<u8>,
    pub(super) is_cut: bool,
    pub(super) errors: Vec<u8>,
}

impl<'a> Running<'a> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator named the program; its arguments are a list"
    )]
    pub(super) fn start(call: &Call<'a>) -> io::Result<Self> {
        let [program, arguments @ ..] = call.argv else {
            return Err(io::Error::other("there is no program"));
        };
        let environment = call.environment.iter();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(environment.map(|(name, value)| (*name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let running = Self {
            child,
            input: call.input,
            answer: Vec::new(),
            is_cut: false,
            errors: Vec::new(),
        };
        if let Some(stdin) = &running.child.stdin {
            // A program that does not read must not keep us from waiting for its end.
            ioctl_fionbio(stdin, true)?;
        }
        Ok(running)
    }

    /// Waits for the end, or for `deadline`, or until it is stopped.
    pub(super) fn wait(
        &mut self,
        call: &Call<'_>,
        deadline: Instant,
        is_stopped: impl Fn() -> bool,
    ) -> io::Result<Waited> {
        let mut pause = PAUSE_MIN;
        loop {
            let left = deadline.saturating_duration_since(now());
            let silent = self.child.stdout.is_none() && self.child.stderr.is_none();
            self.exchange(left.min(if silent { pause } else { LOOK_EVERY }), call)?;
            if silent {
                pause = LOOK_EVERY.min(pause * 2);
            }
            if let Some(status) = self.child.try_wait()? {
                self.read_rest(call)?;
                return Ok(Waited::Ended(status));
            }
            if is_stopped() {
                return Ok(Waited::Stopped);
            }
            if left.is_zero() {
                return Ok(Waited::TooLong);
            }
        }
    }

    /// Waits until something can be written or read, and does it.
    fn exchange(&mut self, timeout: Duration, call: &Call<'_>) -> io::Result<bool> {
        if self.input.is_empty() {
            // Closes it, so that the program sees the end.
            self.child.stdin = None;
        }
        let (mut writable, mut answers, mut complains) = (false, false, false);
        {
            let child = &self.child;
            let mut fds = Vec::with_capacity(3);
            let ends = [
                (
                    child.stdin.as_ref().map(AsFd::as_fd),
                    PollFlags::OUT,
                    &mut writable,
                ),
                (
                    child.stdout.as_ref().map(AsFd::as_fd),
                    PollFlags::IN,
                    &mut answers,
                ),
                (
                    child.stderr.as_ref().map(AsFd::as_fd),
                    PollFlags::IN,
                    &mut complains,
                ),
            ];
            let mut ready = Vec::with_capacity(3);
            for (fd, flags, is_ready) in ends {
                if let Some(fd) = fd {
                    fds.push(PollFd::from_borrowed_fd(fd, flags));
                    ready.push(is_ready);
                }
            }
            let timeout = Timespec::try_from(timeout).ok();
            if poll(&mut fds, timeout.as_ref()).is_ok() {
                for (fd, is_ready) in fds.iter().zip(ready) {
                    *is_ready = !fd.revents().is_empty();
                }
            }
        }
        if writable && let Some(stdin) = &mut self.child.stdin {
            self.input = written(stdin, self.input);
        }
        if answers {
            let (kept, max) = (&mut self.answer, call.answer_bytes_max);
            self.is_cut |= keep(&mut self.child.stdout, kept, max)?;
        }
        if complains {
            keep(&mut self.child.stderr, &mut self.errors, SAID_BYTES_MAX)?;
        }
        Ok(answers || complains)
    }

    /// Reads what an ended program has left in its pipes, without waiting for what it left behind.
    fn read_rest(&mut self, call: &Call<'_>) -> io::Result<()> {
        self.input = &[];
        for _ in 0..READS_MAX {
            if !self.exchange(Duration::ZERO, call)? {
                break;
            }
        }
        Ok(())
    }

    /// Ends the program and what it has started.
    pub(super) fn kill(&mut self) {
        let id = i32::try_from(self.child.id());
        if let Some(group) = id.ok().and_then(Pid::from_raw) {
            // Fails where all of them have ended, which is what is wanted.
            let _ended = kill_process_group(group, Signal::KILL);
        }
        drop(self.child.wait());
    }
}

/// Writes what fits; what is left. Nothing where the program does not want it.
fn written<'a>(stdin: &mut ChildStdin, input: &'a [u8]) -> &'a [u8] {
    match stdin.write(input) {
        Ok(count) => input.get(count..).unwrap_or_default(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            input
        }
        Err(_) => &[],
    }
}

/// Reads once and keeps the beginning; whether something was thrown away. At its end the pipe is closed.
fn keep<R: Read>(pipe: &mut Option<R>, kept: &mut Vec<u8>, max: usize) -> io::Result<bool> {
    let Some(open) = pipe else {
        return Ok(false);
    };
    let mut buffer = [0; READ_BYTES];
    let count = match open.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
        read => read?,
    };
    if count == 0 {
        *pipe = None;
    }
    let room = max.saturating_sub(kept.len());
    kept.extend(buffer.iter().take(count.min(room)));
    Ok(count > room)
}
