//! Looks names up and lets through only addresses that the plugin may reach.
//!
//! The connection is made to what this returns, with no second look-up in between, so a name that
//! changes its address between check and use (DNS rebinding) gains nothing.

use std::net::SocketAddr;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::address::{Reach, reach};
use super::origin::{GrantedOrigin, Origin};

/// The name leads only to addresses that the plugin may not reach.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{origin}' is at {addr}, which is no public address; to allow it, write {{ origin = \"{origin}\", private = true }}"
)]
pub(crate) struct AddressDenied {
    origin: Origin,
    addr: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct CheckedResolver {
    granted: Vec<GrantedOrigin>,
    names: DefaultResolver,
}

impl CheckedResolver {
    pub(crate) fn new(granted: Vec<GrantedOrigin>) -> Self {
        Self {
            granted,
            names: DefaultResolver::default(),
        }
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let origin = Origin::of(uri).map_err(|error| ureq::Error::Other(error.into()))?;
        let private = self
            .granted
            .iter()
            .any(|granted| granted.private && granted.origin == origin);
        let found = self.names.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        let mut denied = None;
        for addr in found.iter().copied() {
            match reach(addr.ip()) {
                Reach::Public => allowed.push(addr),
                Reach::Private if private => allowed.push(addr),
                Reach::Private | Reach::Never => denied = Some(addr),
            }
        }
        match denied {
            Some(addr) if allowed.is_empty() => {
                Err(ureq::Error::Other(AddressDenied { origin, addr }.into()))
            }
            _ => Ok(allowed),
        }
    }
}
