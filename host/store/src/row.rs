//! Our types as columns, and back.
//!
//! Reading trusts nothing: the file may have been edited by hand. What does not fit is a text that
//! says so, never a panic and never a wrong value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::Row;
use rusqlite::types::ValueRef;
use stockade_core::{
    Ban, Checkpoint, FailureId, FileCheckpoint, Fingerprint, JailName, Timestamp, UnbanReason,
};

/// Characters of a row's own text that an error quotes: enough to find the row.
const QUOTED_MAX: usize = 80;

const KIND_ADDR: i64 = 0;
const KIND_SUBNET: i64 = 1;
const KIND_TEXT: i64 = 2;

const CHECKPOINT_NONE: i64 = 0;
const CHECKPOINT_FILE: i64 = 1;
const CHECKPOINT_JOURNAL: i64 = 2;

/// The ban was followed by another one of the same id whose beginning differs, with no unban between.
pub(crate) const REASON_REPLACED: i64 = 4;

/// A column does not hold what it should.
pub(crate) type Unreadable = String;

/// An id as the columns `kind` and `id`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdKey {
    pub(crate) kind: i64,
    pub(crate) text: String,
}

impl IdKey {
    /// The key of `id`; ids that mean the same have the same key.
    pub(crate) fn of(id: &FailureId) -> Self {
        let canonical = match id {
            FailureId::Addr(addr) => FailureId::from_addr(*addr),
            FailureId::Subnet(net) => FailureId::from_net(*net),
            FailureId::Text(_) => id.clone(),
        };
        let kind = match canonical {
            FailureId::Addr(_) => KIND_ADDR,
            FailureId::Subnet(_) => KIND_SUBNET,
            FailureId::Text(_) => KIND_TEXT,
        };
        Self {
            kind,
            text: canonical.to_string(),
        }
    }
}

pub(crate) fn reason_code(reason: UnbanReason) -> i64 {
    match reason {
        UnbanReason::Expired => 0,
        UnbanReason::Manual => 1,
        UnbanReason::JailStopped => 2,
        UnbanReason::Ignored => 3,
        UnbanReason::Displaced => 5,
        UnbanReason::TooWide => 6,
    }
}

/// Columns `jail, kind, id` from `first` on.
pub(crate) fn who(row: &Row<'_>, first: usize) -> Result<(JailName, FailureId), Unreadable> {
    let jail = text(row, first, "jail")?;
    let jail = JailName::try_new(jail).map_err(|e| format!("jail {}: {e}", quoted(jail)))?;
    let kind = integer(row, first + 1, "kind")?;
    let written = text(row, first + 2, "id")?;
    let id = match kind {
        KIND_TEXT => FailureId::Text(written.into()),
        _ => FailureId::parse(written),
    };
    let fits = matches!(
        (kind, &id),
        (KIND_ADDR, FailureId::Addr(_))
            | (KIND_SUBNET, FailureId::Subnet(_))
            | (KIND_TEXT, FailureId::Text(_))
    );
    // Written in another form than ours, it could never be found again by its key.
    if !fits || IdKey::of(&id).text != written {
        return Err(format!(
            "id {} of jail '{jail}' is not of kind {kind}",
            quoted(written)
        ));
    }
    Ok((jail, id))
}

/// Columns `jail, kind, id, at, until, failures, bancount`.
pub(crate) fn ban(row: &Row<'_>) -> Result<Ban, Unreadable> {
    let (jail, id) = who(row, 0)?;
    Ok(Ban {
        jail,
        id,
        at: time(row, 3, "at")?,
        until: match row.get_ref(4) {
            Ok(ValueRef::Null) => None,
            _ => Some(time(row, 4, "until")?),
        },
        failures: small(row, 5, "failures")?,
        bancount: small(row, 6, "bancount")?,
    })
}

/// Times as one blob of 8 bytes each, little-endian.
pub(crate) fn times_blob(times: &[Timestamp]) -> Vec<u8> {
    times
        .iter()
        .flat_map(|t| t.as_micros().to_le_bytes())
        .collect()
}

/// The times in column `index`.
pub(crate) fn times(row: &Row<'_>, index: usize) -> Result<Vec<Timestamp>, Unreadable> {
    let (chunks, rest) = blob(row, index, "times")?.as_chunks::<8>();
    if chunks.is_empty() || !rest.is_empty() {
        return Err("times are not whole numbers of 8 bytes".into());
    }
    let micros = chunks.iter().map(|bytes| i64::from_le_bytes(*bytes));
    Ok(micros.map(Timestamp::from_micros).collect())
}

/// A checkpoint as columns; u64 are kept bit by bit in SQLite's signed integers.
#[derive(Debug, Default)]
pub(crate) struct CheckpointColumns<'a> {
    pub(crate) kind: i64,
    pub(crate) path: Option<&'a [u8]>,
    pub(crate) device: Option<i64>,
    pub(crate) inode: Option<i64>,
    pub(crate) position: Option<i64>,
    pub(crate) print_len: Option<u32>,
    pub(crate) print_hash: Option<i64>,
    pub(crate) cursor: Option<&'a str>,
}

impl<'a> CheckpointColumns<'a> {
    pub(crate) fn of(checkpoint: &'a Checkpoint) -> Self {
        match checkpoint {
            Checkpoint::File(file) => Self {
                kind: CHECKPOINT_FILE,
                path: Some(path_bytes(&file.path)),
                device: Some(file.device.cast_signed()),
                inode: Some(file.inode.cast_signed()),
                position: Some(file.position.cast_signed()),
                print_len: Some(file.fingerprint.len),
                print_hash: Some(file.fingerprint.hash.cast_signed()),
                cursor: None,
            },
            Checkpoint::Journal { cursor } => Self {
                kind: CHECKPOINT_JOURNAL,
                cursor: Some(cursor),
                ..Self::default()
            },
            Checkpoint::None => Self {
                kind: CHECKPOINT_NONE,
                ..Self::default()
            },
        }
    }
}

/// Columns `kind, path, device, inode, position, print_len, print_hash, cursor` from `first` on.
pub(crate) fn checkpoint(row: &Row<'_>, first: usize) -> Result<Checkpoint, Unreadable> {
    match integer(row, first, "kind")? {
        CHECKPOINT_FILE => Ok(Checkpoint::File(FileCheckpoint {
            path: PathBuf::from(OsStr::from_bytes(blob(row, first + 1, "path")?)),
            device: integer(row, first + 2, "device")?.cast_unsigned(),
            inode: integer(row, first + 3, "inode")?.cast_unsigned(),
            position: integer(row, first + 4, "position")?.cast_unsigned(),
            fingerprint: Fingerprint {
                len: small(row, first + 5, "print_len")?,
                hash: integer(row, first + 6, "print_hash")?.cast_unsigned(),
            },
        })),
        CHECKPOINT_JOURNAL => Ok(Checkpoint::Journal {
            cursor: text(row, first + 7, "cursor")?.to_owned(),
        }),
        CHECKPOINT_NONE => Ok(Checkpoint::None),
        kind => Err(format!("there is no checkpoint of kind {kind}")),
    }
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The text in column `index`, which an error calls `name`.
pub(crate) fn text<'r>(row: &'r Row<'_>, index: usize, name: &str) -> Result<&'r str, Unreadable> {
    match row.get_ref(index) {
        Ok(ValueRef::Text(bytes)) => {
            std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))
        }
        _ => Err(format!("{name} is not a text")),
    }
}

fn blob<'r>(row: &'r Row<'_>, index: usize, name: &str) -> Result<&'r [u8], Unreadable> {
    match row.get_ref(index) {
        Ok(ValueRef::Blob(bytes)) => Ok(bytes),
        _ => Err(format!("{name} is not a blob")),
    }
}

fn integer(row: &Row<'_>, index: usize, name: &str) -> Result<i64, Unreadable> {
    match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => Ok(number),
        _ => Err(format!("{name} is not an integer")),
    }
}

/// The count in column `index`.
pub(crate) fn small(row: &Row<'_>, index: usize, name: &str) -> Result<u32, Unreadable> {
    let number = integer(row, index, name)?;
    u32::try_from(number).map_err(|_| format!("{name} {number} is out of range"))
}

fn time(row: &Row<'_>, index: usize, name: &str) -> Result<Timestamp, Unreadable> {
    integer(row, index, name).map(Timestamp::from_micros)
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED_MAX).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_looks_like_an_address_has_a_key_of_its_own() {
        let addr = IdKey::of(&FailureId::parse("192.0.2.1"));
        let text = IdKey::of(&FailureId::Text("192.0.2.1".into()));
        assert_eq!(addr.text, text.text);
        assert_ne!(addr, text);
    }

    #[test]
    fn ids_that_mean_the_same_have_the_same_key() {
        let mapped = FailureId::Addr("::ffff:192.0.2.1".parse().unwrap());
        let host = FailureId::Subnet("192.0.2.1/32".parse().unwrap());
        let plain = IdKey::of(&FailureId::parse("192.0.2.1"));
        assert_eq!(IdKey::of(&mapped), plain);
        assert_eq!(IdKey::of(&host), plain);
        let loose = FailureId::Subnet("192.0.2.1/24".parse().unwrap());
        assert_eq!(IdKey::of(&loose).text, "192.0.2.0/24");
    }
}
