//! What survives a restart: bans, their history, counted attempts, how far each log was read, and
//! the key-values of plugins.
//!
//! [`Store`] holds the first four in one SQLite file and changes them in one transaction per
//! [`Batch`], so that after a crash the lines after the stored checkpoint are read again and
//! counted exactly once. [`PluginKv`] is a file of its own: no plugin can delay a ban by writing.
//! [`StateLock`] keeps a second daemon away from both.
//!
//! The crate decides nothing, reads no clock, and starts no thread. Every call blocks until the
//! disk has answered.

mod error;
mod kv;
mod load;
mod lock;
mod open;
mod purge;
mod row;
mod schema;
mod store;

pub use error::{StoreError, UnreadableRow};
pub use kv::{KvError, PluginKv};
pub use load::{PRIOR_MAX, Stored};
pub use lock::{StateLock, StateLockError};
pub use open::Opened;
pub use purge::{CHECKPOINT_AGE_MIN, PURGE_ROWS_MAX, Purged};
pub use store::{BanChange, Batch, Store};
