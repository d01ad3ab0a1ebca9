//! What goes around hook `input`.

/// Rules that translate the destination of packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Translation {
    /// The table that has them, as nft calls it, or `nat of iptables-legacy`, of which only is known that
    /// it is in use.
    pub table: String,
    /// The chain, where it is known.
    pub chain: Option<String>,
}

impl std::fmt::Display for Translation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.chain {
            Some(chain) => write!(f, "chain {chain} of table {}", self.table),
            None => write!(f, "table {}", self.table),
        }
    }
}
