//! Turns a component into machine code.
//!
//! wasmtime does not promise that compiling hostile input ends or fits in memory, so the daemon has a
//! child of its own do it, with limits. The child bounds what compiling costs; its output is trusted as
//! the compiler's own would be.

use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::Engine;

use crate::cache::CODE_BYTES_MAX;
use crate::engine::engine;
use crate::escape::escaped;
use crate::limits::COMPONENT_BYTES_MAX;
use crate::trusted::OwnCode;

/// Where components are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compile {
    /// In this process, without limits: for tests and for tools that compile what their user gave.
    InProcess,
    /// In a child with limits.
    Child {
        /// A program that calls [`compile_child_main`].
        program: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// Address space of the child: many times what a component of 32 MiB takes.
const CHILD_BYTES_MAX: u64 = 1 << 30;
/// CPU time of the child, and wall time that the parent waits: compiling takes a second per megabyte.
const CHILD_SECONDS_MAX: u64 = 60;
/// What is kept of the child's complaint.
const STDERR_BYTES_MAX: u64 = 4 << 10;
/// Threads of the child: each takes stack and heap of the address space.
const CHILD_THREADS: &str = "4";

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is not valid, or uses what is not allowed. The text is wasmtime's.
    #[error("{0}")]
    Refused(String),
    /// The child could not be started or spoken to.
    #[error("cannot run the compiler '{program}': {source}")]
    Child {
        /// What was started.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// The child ended without a result.
    #[error("the compiler ended with {status}, probably past its limit of 1 GiB or 60 s: {stderr}")]
    Died {
        /// Its exit status.
        status: String,
        /// What it said, escaped.
        stderr: String,
    },
    /// The child took too long.
    #[error("compiling took longer than {CHILD_SECONDS_MAX} s")]
    TooLong,
}

impl Compile {
    /// Compiles `component` for `engine`.
    pub(crate) fn run(&self, engine: &Engine, component: &[u8]) -> Result<OwnCode, CompileError> {
        match self {
            Self::InProcess => compile(engine, component).map(OwnCode::vouch),
            Self::Child { program, args } => {
                let name = program.display().to_string();
                in_child(program, args, component)
                    .map_err(|source| CompileError::Child {
                        program: name,
                        source,
                    })?
                    .map(OwnCode::vouch)
            }
        }
    }
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    engine
        .precompile_component(component)
        .map_err(|error| CompileError::Refused(escaped(format!("{error:#}").as_bytes(), 1024)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the compiler is started"
)]
fn in_child(
    program: &PathBuf,
    args: &[String],
    component: &[u8],
) -> io::Result<Result<Vec<u8>, CompileError>> {
    let mut child = std::process::Command::new(program)
        .args(args)
        .env_clear()
        .env("RAYON_NUM_THREADS", CHILD_THREADS)
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (done, ended) = mpsc::channel();
    let waited = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that ends early is heard of by its status.
            let written = stdin.map(|mut stdin| stdin.write_all(component));
            tracing::trace!(?written, "component handed to the compiler");
        });
        let complaint = scope.spawn(move || stderr.map(complaint).unwrap_or_default());
        scope.spawn(move || {
            let mut code = Vec::new();
            let read = stdout.map_or(Ok(0), |from| {
                from.take(CODE_BYTES_MAX).read_to_end(&mut code)
            });
            // The parent has gone on if it waited too long.
            done.send(read.map(|_| code)).is_ok()
        });
        let answer = ended.recv_timeout(Duration::from_secs(CHILD_SECONDS_MAX));
        if answer.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        let stderr = complaint.join().unwrap_or_default();
        io::Result::Ok((answer, status, stderr))
    });
    let (answer, status, stderr) = waited?;
    let code = match answer {
        Ok(code) => code?,
        Err(RecvTimeoutError::Timeout) => return Ok(Err(CompileError::TooLong)),
        Err(RecvTimeoutError::Disconnected) => Vec::new(),
    };
    let stderr = escaped(stderr.trim_ascii_end(), 1024);
    Ok(match status.code() {
        Some(0) if !code.is_empty() => Ok(code),
        Some(REFUSED) => Err(CompileError::Refused(stderr)),
        _ => Err(CompileError::Died {
            status: status.to_string(),
            stderr,
        }),
    })
}

fn complaint(stderr: ChildStderr) -> Vec<u8> {
    let mut text = Vec::new();
    // What can be read is enough: this is only for the message.
    match stderr.take(STDERR_BYTES_MAX).read_to_end(&mut text) {
        Ok(_) | Err(_) => text,
    }
}

/// Exit status of the child for a component that the compiler refuses (`EX_DATAERR`, sysexits.h).
const REFUSED: i32 = 65;
/// Exit status of the child where it cannot work (`EX_OSERR`, sysexits.h).
const CANNOT_WORK: u8 = 71;

/// The whole of the compiling child: limits itself, reads a component from its standard input, writes
/// the machine code to its standard output.
///
/// The program that [`Compile::Child`] names calls this first of all and ends with the status it
/// returns.
#[must_use]
pub fn compile_child_main() -> std::process::ExitCode {
    let result = limit_self().and_then(|()| {
        let mut component = Vec::new();
        let limit = u64::try_from(COMPONENT_BYTES_MAX).unwrap_or(u64::MAX);
        io::stdin().lock().take(limit).read_to_end(&mut component)?;
        let engine = engine().map_err(|error| io::Error::other(format!("{error:#}")))?;
        Ok((engine, component))
    });
    let (status, text) = match result {
        Err(error) => (CANNOT_WORK, error.to_string()),
        Ok((engine, component)) => match compile(&engine, &component) {
            Err(error) => (
                u8::try_from(REFUSED).unwrap_or(CANNOT_WORK),
                error.to_string(),
            ),
            Ok(code) => match io::stdout().lock().write_all(&code) {
                Ok(()) => return std::process::ExitCode::SUCCESS,
                Err(error) => (CANNOT_WORK, error.to_string()),
            },
        },
    };
    // Without a standard error the status has to say it all.
    let told = writeln!(io::stderr(), "{text}");
    std::process::ExitCode::from(if told.is_ok() { status } else { CANNOT_WORK })
}

fn limit_self() -> io::Result<()> {
    for (resource, value) in [
        (Resource::As, CHILD_BYTES_MAX),
        (Resource::Cpu, CHILD_SECONDS_MAX),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        )?;
    }
    Ok(())
}
