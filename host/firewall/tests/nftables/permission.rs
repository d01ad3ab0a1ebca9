//! Without permission.

use std::error::Error as _;

use stockade_firewall::{Backend, FirewallError, NftablesOptions, choose};

use crate::namespace::without_power;

#[test]
fn without_permission_the_error_says_what_to_do() {
    without_power(
        "permission::without_permission_the_error_says_what_to_do",
        || {
            for error in [
                choose().unwrap_err(),
                Backend::Nftables(NftablesOptions::default())
                    .open()
                    .unwrap_err(),
            ] {
                assert!(
                    matches!(error, FirewallError::NotPermitted { .. }),
                    "{error}"
                );
                assert_eq!(error.to_string(), "not permitted to use nftables");
                assert_eq!(error.hint(), Some("run as root or with CAP_NET_ADMIN"));
                assert!(
                    error
                        .source()
                        .unwrap()
                        .to_string()
                        .contains("not permitted")
                );
            }
            // A dry run needs none.
            assert_eq!(Backend::Nothing.open().unwrap().name(), "none");
        },
    );
}
