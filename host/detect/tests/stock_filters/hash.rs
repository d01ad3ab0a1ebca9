//! A name for a line of somebody else's that does not repeat it.

/// FNV-1a of 64 bits, which needs no crate and stays the same for ever.
pub(crate) fn of(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
