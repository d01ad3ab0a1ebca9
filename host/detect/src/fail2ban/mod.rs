//! fail2ban's dialect: patterns as Python's `re` reads them after fail2ban's tags are replaced.
//!
//! Unlike the native dialect, which is linear, anchored and reads bytes, this one keeps whatever a
//! user's fail2ban configuration means, look-around included, and reads text.

mod chain;
mod escape;
mod expression;
mod fields;
mod identity;
mod judge;
mod linearize;
mod parse;
mod relaxed;
mod render;
mod rules;
mod sessions;
mod syntax;
mod tags;
mod unroll;
mod window;

pub(crate) use expression::{Expression, ExpressionOptions, GaveUp, Groups};
pub(crate) use identity::Identity;
pub(crate) use judge::{Judgement, Line, Match, Scratch, State};
pub(crate) use relaxed::relaxed;
pub(crate) use rules::Rules;
