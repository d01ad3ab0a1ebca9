//! What a filter finds in a line, whoever the filter is run by.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One failregex that matched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// Index of the failregex.
    pub pattern: usize,
    /// Who or what failed; `None` for a session that has not said so yet.
    pub id: Option<String>,
    /// When, in microseconds since the epoch; `None` where nothing tells.
    pub at: Option<i64>,
    /// Whether it is no failure, but belongs to a session that may fail.
    pub nofail: bool,
    /// How many matched lines the failure is made of.
    pub attempts: u32,
    /// What the groups hold that have a name, in lower case; texts, and lists of them.
    pub captures: BTreeMap<String, Value>,
}
