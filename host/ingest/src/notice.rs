//! What a source has to tell the operator.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_core::SourceName;

use std::os::unix::ffi::OsStrExt;
use stockade_core::Escaped;

/// Something that happened to a source; `Display` is a line for the operator, safe to log.
///
/// A notice is a fact, not a failure: the source goes on by itself in every case but
/// [`Notice::Ended`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// No file matches the glob yet; it is watched for.
    NoFileYet {
        /// The glob as configured.
        glob: String,
    },
    /// A file is read from now on.
    Opened {
        /// Its path.
        path: PathBuf,
        /// Where reading begins, in bytes.
        position: u64,
    },
    /// Another file has taken the path; the old one is read to its end first.
    Rotated {
        /// The path.
        path: PathBuf,
    },
    /// A file has a new name and is read on under it.
    Renamed {
        /// The path it had.
        from: PathBuf,
        /// The path it has.
        to: PathBuf,
    },
    /// A file was emptied, or rewritten with something else; it is read from its beginning.
    Truncated {
        /// The path.
        path: PathBuf,
    },
    /// Since the last run the file was rotated away; the rest of the old one is read first.
    RotatedMeanwhile {
        /// The path.
        path: PathBuf,
        /// Where the old file was found.
        rest: PathBuf,
    },
    /// Since the last run the file was rotated away, and the old one cannot be read: lines
    /// written after the last run and before the rotation are lost.
    RestLost {
        /// The path.
        path: PathBuf,
        /// There are compressed files that may hold them; they are not read.
        compressed: bool,
    },
    /// The file is gone; it is read again as soon as there is one.
    Vanished {
        /// The path.
        path: PathBuf,
    },
    /// The path matches, but is not something to read lines from.
    NotALog {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: NotALog,
    },
    /// A file or directory cannot be read now; it is tried again.
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Changes are found by looking again and again, because the system does not report them.
    Polled {
        /// File or directory.
        path: PathBuf,
        /// How often it is looked at.
        every: Duration,
        /// Why.
        reason: String,
    },
    /// The system could not report all changes (a queue was full); everything was looked at.
    ChangesMissed,
    /// Lines longer than the limit were left out.
    OverlongLines {
        /// Where they were.
        source: SourceName,
        /// How many.
        lines: u64,
        /// How long together, in bytes.
        bytes: u64,
    },
    /// journalctl ended by itself and is started again.
    JournalEnded {
        /// Which journal.
        source: SourceName,
        /// How it ended, and the end of what it wrote to stderr, escaped.
        reason: String,
        /// When it is started again.
        retry_in: Duration,
    },
    /// The journal no longer knows where we were: entries may have been removed before they were
    /// read. What it still has since then is read.
    CursorUnknown {
        /// Which journal.
        source: SourceName,
    },
    /// Entries of the journal were left out, because they were malformed or had no message.
    BadEntries {
        /// Which journal.
        source: SourceName,
        /// How many.
        entries: u64,
    },
    /// The source has no more lines and never will.
    Ended {
        /// Which.
        source: SourceName,
        /// Why, where it is not simply its end.
        error: Option<io::Error>,
    },
}

/// Why a path is not read although it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotALog {
    /// A directory.
    Directory,
    /// A named pipe: reading would take the lines from somebody.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// A compressed file, by the ending of its name.
    Compressed,
}

impl NotALog {
    fn words(self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Compressed => "compressed",
        }
    }
}

impl Notice {
    /// Should the operator look at it? Otherwise it is the ordinary life of a log.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::NoFileYet { .. }
            | Self::Opened { .. }
            | Self::Rotated { .. }
            | Self::Renamed { .. }
            | Self::Truncated { .. }
            | Self::RotatedMeanwhile { .. }
            | Self::Vanished { .. }
            | Self::Polled { .. } => false,
            Self::NotALog { kind, .. } => *kind != NotALog::Compressed,
            Self::Ended { error, .. } => error.is_some(),
            Self::RestLost { .. }
            | Self::Unreadable { .. }
            | Self::ChangesMissed
            | Self::OverlongLines { .. }
            | Self::JournalEnded { .. }
            | Self::CursorUnknown { .. }
            | Self::BadEntries { .. } => true,
        }
    }
}

fn quoted(path: &Path) -> impl fmt::Display {
    format!("'{}'", Escaped(path.as_os_str().as_bytes()))
}

fn named(source: &SourceName) -> impl fmt::Display {
    format!("'{}'", Escaped(source.as_str().as_bytes()))
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JournalEnded { .. }
            | Self::CursorUnknown { .. }
            | Self::BadEntries { .. }
            | Self::OverlongLines { .. }
            | Self::Ended { .. } => self.fmt_source(f),
            _ => self.fmt_file(f),
        }
    }
}

impl Notice {
    fn fmt_source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverlongLines {
                source,
                lines,
                bytes,
            } => write!(
                f,
                "skipped {lines} over-long lines ({bytes} bytes) of {}",
                named(source)
            ),
            Self::JournalEnded {
                source,
                reason,
                retry_in,
            } => write!(
                f,
                "cannot follow {}: {reason}; trying again in {retry_in:?}",
                named(source)
            ),
            Self::CursorUnknown { source } => write!(
                f,
                "{} no longer knows the stored cursor; reading all it has since then",
                named(source)
            ),
            Self::BadEntries { source, entries } => {
                write!(
                    f,
                    "skipped {entries} malformed entries of {}",
                    named(source)
                )
            }
            Self::Ended {
                source,
                error: None,
            } => write!(f, "{} has ended", named(source)),
            Self::Ended {
                source,
                error: Some(error),
            } => write!(f, "cannot read {} any further: {error}", named(source)),
            _ => Ok(()),
        }
    }

    fn fmt_file(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFileYet { glob } => {
                write!(f, "no file matches '{}' yet", Escaped(glob.as_bytes()))
            }
            Self::Opened { path, position } => {
                write!(f, "reading {} from byte {position}", quoted(path))
            }
            Self::Rotated { path } => write!(f, "{} was rotated", quoted(path)),
            Self::Renamed { from, to } => {
                write!(f, "{} was renamed to {}", quoted(from), quoted(to))
            }
            Self::Truncated { path } => write!(
                f,
                "{} was truncated; reading it from the beginning",
                quoted(path)
            ),
            Self::RotatedMeanwhile { path, rest } => write!(
                f,
                "{} was rotated meanwhile; reading the rest from {}",
                quoted(path),
                quoted(rest)
            ),
            Self::RestLost { path, compressed } => {
                write!(
                    f,
                    "{} was rotated meanwhile, and the rest of the old file cannot be found",
                    quoted(path)
                )?;
                if *compressed {
                    f.write_str("; compressed files are not read")?;
                }
                Ok(())
            }
            Self::Vanished { path } => write!(f, "{} has vanished; waiting for it", quoted(path)),
            Self::NotALog { path, kind } => {
                write!(f, "not reading {}: it is {}", quoted(path), kind.words())
            }
            Self::Unreadable { path, source } => {
                write!(f, "cannot read {}: {source}; trying again", quoted(path))
            }
            Self::Polled {
                path,
                every,
                reason,
            } => write!(f, "looking at {} every {every:?}: {reason}", quoted(path)),
            Self::ChangesMissed => f.write_str("the system dropped reports of changed files"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_line_of_our_log() {
        let notice = Notice::Vanished {
            path: PathBuf::from("/var/log/a\n[sshd] Ban 192.0.2.1"),
        };
        assert_eq!(
            notice.to_string(),
            "'/var/log/a\\n[sshd] Ban 192.0.2.1' has vanished; waiting for it"
        );
    }
}
