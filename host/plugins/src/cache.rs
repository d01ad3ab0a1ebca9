//! Compiled code, kept over restarts in a directory of our own.
//!
//! A file holds an authentication code (HMAC-SHA-256 over its name and the compiled code, with a key
//! that is made once in the same directory) and the compiled code. It is read whole and verified in
//! memory before it is used. On any doubt it is as if the file were not there: the component is
//! compiled again. The code does not defend against root, nor against our own user, who can read the
//! key; it does against files that were cut off, mixed up, or put there from elsewhere.

mod dir;
mod hmac;

use std::fs::File;
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

use crate::escape::hex;
use crate::trusted::OwnCode;
pub(crate) use dir::DirError;
use dir::PrivateDir;

/// File of the key.
const KEY_FILE: &str = "key";
/// Compiled code is two to three times the component, which has at most 32 MiB.
pub(crate) const CODE_BYTES_MAX: u64 = 256 << 20;
/// More components than an installation has, with room for old versions of them.
const FILES_MAX: usize = 64;

/// The directory, open, with its key.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: PrivateDir,
    key: [u8; hmac::CODE_BYTES],
}

impl CodeCache {
    /// Opens the directory at `path`; makes it and the key where they are missing.
    ///
    /// # Errors
    /// Where the directory cannot be made, or is not ours alone.
    pub(crate) fn open(path: &Path) -> Result<Self, DirError> {
        let dir = PrivateDir::open(path)?;
        let key = key(&dir)?;
        Ok(Self { dir, key })
    }

    /// The compiled code of `component` for `engine`, if it is here and beyond doubt.
    pub(crate) fn get(&self, engine: &Engine, component: &[u8]) -> Option<OwnCode> {
        let name = file_name(engine, component);
        let mut file = match self.dir.read(&name, CODE_BYTES_MAX) {
            Ok(file) => file,
            Err(DirError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = name, %error, "compiled plugin is not trusted; compiling it again");
                return None;
            }
        };
        let stored = file.split_off(hmac::CODE_BYTES.min(file.len()));
        if hmac::is_equal(&hmac::code(&self.key, &[name.as_bytes(), &stored]), &file) {
            return Some(OwnCode::vouch(stored));
        }
        tracing::warn!(
            file = name,
            "compiled plugin is damaged or not ours; compiling it again"
        );
        None
    }

    /// Keeps the compiled code of `component`.
    ///
    /// # Errors
    /// Where it cannot be written; nothing depends on that.
    pub(crate) fn put(
        &self,
        engine: &Engine,
        component: &[u8],
        code: &OwnCode,
    ) -> Result<(), DirError> {
        let name = file_name(engine, component);
        let authentication = hmac::code(&self.key, &[name.as_bytes(), code.bytes()]);
        self.dir.write(&name, &[&authentication, code.bytes()])?;
        self.prune()
    }

    /// Removes the oldest files past [`FILES_MAX`], among them those that an interrupted write left.
    fn prune(&self) -> Result<(), DirError> {
        let mut files = self.dir.list()?;
        files.retain(|(_, name)| name != KEY_FILE);
        files.sort();
        let surplus = files.len().saturating_sub(FILES_MAX);
        files
            .iter()
            .take(surplus)
            .try_for_each(|(_, name)| self.dir.remove(name))
    }
}

/// The key in `dir`, or a new one, which makes all files in it worthless.
fn key(dir: &PrivateDir) -> Result<[u8; hmac::CODE_BYTES], DirError> {
    let length = u64::try_from(hmac::CODE_BYTES).unwrap_or(u64::MAX);
    if let Ok(bytes) = dir.read(KEY_FILE, length)
        && let Ok(key) = bytes.try_into()
    {
        return Ok(key);
    }
    let mut key = [0; hmac::CODE_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    dir.write(KEY_FILE, &[&key])?;
    Ok(key)
}

/// Named by what the code is of and what it is for: another component, another wasmtime or other
/// settings are another file.
fn file_name(engine: &Engine, component: &[u8]) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let of_engine = hasher.0.finalize();
    let of_engine = of_engine.get(..16).unwrap_or(&of_engine);
    format!(
        "{}-{}.cwasm",
        hex(&Sha256::digest(component)),
        hex(of_engine)
    )
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not used: the whole digest is taken instead.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
