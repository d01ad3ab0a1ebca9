//! fail2ban's dialect: patterns as Python's `re` reads them after fail2ban's tags are replaced.
//!
//! Unlike the native dialect, which is linear, anchored and reads bytes, this one keeps whatever a
//! user's fail2ban configuration means, look-around included, and reads text.

mod escape;
mod expression;
mod parse;
mod render;
mod syntax;
mod tags;
mod unroll;

pub(crate) use expression::{Expression, GaveUp, Groups};
