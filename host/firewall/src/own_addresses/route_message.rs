//! Messages of FreeBSD's routing socket (route(4)).

/// `RTM_NEWADDR` and `RTM_DELADDR` (net/route.h): an interface was given an address, or lost one.
const ABOUT_ADDRESSES: [u8; 2] = [0xc, 0xd];

/// `RTM_VERSION` (net/route.h). A message of another version is laid out in another way.
const VERSION: u8 = 5;

/// Whether a message tells that addresses of interfaces have changed, or may have.
///
/// All messages begin with their length (two bytes), the version and their type (one byte each).
pub(super) fn tells_of_addresses(message: &[u8]) -> bool {
    match message {
        [_, _, VERSION, kind, ..] => ABOUT_ADDRESSES.contains(kind),
        // Looking once too often costs nothing.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_addresses_are_changes_of_addresses() {
        // RTM_ADD, RTM_GET, RTM_IFINFO and RTM_IFANNOUNCE tell of routes and interfaces.
        for kind in [0x1, 0x4, 0xe, 0x11] {
            assert!(!tells_of_addresses(&[20, 0, 5, kind, 0, 0]));
        }
        for kind in [0xc, 0xd] {
            assert!(tells_of_addresses(&[20, 0, 5, kind, 0, 0]));
        }
    }

    #[test]
    fn a_message_that_is_not_understood_counts_as_a_change() {
        assert!(tells_of_addresses(&[20, 0, 6, 0x1]));
        assert!(tells_of_addresses(&[20, 0, 5]));
        assert!(tells_of_addresses(&[]));
    }
}
