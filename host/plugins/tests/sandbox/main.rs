//! Plugins that misbehave, and some that do not, in the real sandbox. The components are made from WAT
//! text and our WIT, so no wasm toolchain is needed.

#[cfg(test)]
mod action;
#[cfg(test)]
mod component;
#[cfg(test)]
mod filter;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod load;
#[cfg(test)]
mod real;
#[cfg(test)]
mod request;
