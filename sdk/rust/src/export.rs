//! The one export macro, and what it puts between the host's calls and an author's type.

use std::cell::RefCell;

use crate::action::{Action, Decision, Outcomes};
use crate::bindings::action::exports::stockade::action::action as wit_action;
use crate::bindings::filter::exports::stockade::filter::filter as wit_filter;
use crate::bindings::host::stockade::types::types as wit;
use crate::filter::{Filter, Findings, Lines};
use crate::{Error, Settings};

/// Makes a type the plugin of this crate: `export!(MyFilter as filter)` or
/// `export!(MyAction as action)`, once, in a crate with `crate-type = ["cdylib", "rlib"]`.
///
/// Expands to nothing in native builds, whose linkers do not take the names of a component's exports.
#[macro_export]
macro_rules! export {
    ($plugin:ty as filter) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "exports have no safe form; made by wit-bindgen")]
        const _: () = {
            use $crate::__private::filter::exports::stockade::filter::filter as wit;

            ::std::thread_local! {
                static PLUGIN: $crate::__private::FilterCell<$plugin> =
                    const { $crate::__private::FilterCell::new() };
            }

            struct Exported;

            impl wit::Guest for Exported {
                fn configure(settings: wit::Settings) -> Result<wit::Plan, wit::Error> {
                    PLUGIN.with(|plugin| plugin.configure(settings))
                }

                fn evaluate(batch: wit::Batch) -> Result<wit::Report, wit::Error> {
                    PLUGIN.with(|plugin| plugin.evaluate(&batch))
                }
            }

            $crate::__private::filter::export_filter!(
                Exported with_types_in $crate::__private::filter
            );
        };
    };
    ($plugin:ty as action) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "exports have no safe form; made by wit-bindgen")]
        const _: () = {
            use $crate::__private::action::exports::stockade::action::action as wit;

            ::std::thread_local! {
                static PLUGIN: $crate::__private::ActionCell<$plugin> =
                    const { $crate::__private::ActionCell::new() };
            }

            struct Exported;

            impl wit::Guest for Exported {
                fn configure(settings: wit::Settings) -> Result<(), wit::Error> {
                    PLUGIN.with(|plugin| plugin.configure(settings))
                }

                fn apply(decisions: Vec<wit::Decision>) -> Vec<Result<(), wit::Error>> {
                    PLUGIN.with(|plugin| plugin.apply(decisions))
                }

                fn revoke(decisions: Vec<wit::Decision>) -> Vec<Result<(), wit::Error>> {
                    PLUGIN.with(|plugin| plugin.revoke(decisions))
                }

                fn reconcile(active: Vec<wit::Decision>) -> Vec<Result<(), wit::Error>> {
                    PLUGIN.with(|plugin| plugin.reconcile(active))
                }

                fn probe() -> Result<(), wit::Error> {
                    PLUGIN.with(|plugin| plugin.probe())
                }
            }

            $crate::__private::action::export_action!(
                Exported with_types_in $crate::__private::action
            );
        };
    };
}

const NOT_CONFIGURED: &str = "called before it was configured";

/// The one filter of a component. The host never calls it twice at once.
#[derive(Debug)]
pub struct FilterCell<F>(RefCell<Option<F>>);

impl<F: Filter> FilterCell<F> {
    /// Not configured yet.
    #[expect(
        clippy::new_without_default,
        reason = "only the macro makes one, in a const"
    )]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the filter; one made earlier is dropped, also where this fails.
    pub fn configure(&self, settings: wit::Settings) -> Result<wit_filter::Plan, wit::Error> {
        self.0.take();
        let (filter, plan) = F::configure(&Settings::from(settings))?;
        self.0.replace(Some(filter));
        Ok(plan.into_wit())
    }

    /// Judges a batch.
    pub fn evaluate(&self, batch: &wit_filter::Batch) -> Result<wit_filter::Report, wit::Error> {
        let mut slot = self.0.borrow_mut();
        let filter = slot.as_mut().ok_or_else(|| Error::other(NOT_CONFIGURED))?;
        let mut found = Findings::default();
        filter.judge_all(Lines::of(batch)?, &mut found);
        Ok(found.into_wit(batch))
    }
}

/// The one action of a component. The host never calls it twice at once.
#[derive(Debug)]
pub struct ActionCell<A>(RefCell<Option<A>>);

impl<A: Action> ActionCell<A> {
    /// Not configured yet.
    #[expect(
        clippy::new_without_default,
        reason = "only the macro makes one, in a const"
    )]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the action; one made earlier is dropped, also where this fails.
    pub fn configure(&self, settings: wit::Settings) -> Result<(), wit::Error> {
        self.0.take();
        let action = A::configure(&Settings::from(settings))?;
        self.0.replace(Some(action));
        Ok(())
    }

    /// Puts bans into force.
    pub fn apply(&self, decisions: Vec<wit_action::Decision>) -> Vec<Result<(), wit::Error>> {
        self.each(decisions, A::apply_all)
    }

    /// Lifts bans.
    pub fn revoke(&self, decisions: Vec<wit_action::Decision>) -> Vec<Result<(), wit::Error>> {
        self.each(decisions, A::revoke_all)
    }

    /// Puts all bans into force again.
    pub fn reconcile(&self, active: Vec<wit_action::Decision>) -> Vec<Result<(), wit::Error>> {
        self.each(active, A::reconcile)
    }

    /// Asks whether it could do its work now.
    pub fn probe(&self) -> Result<(), wit::Error> {
        let mut slot = self.0.borrow_mut();
        let action = slot.as_mut().ok_or_else(|| Error::other(NOT_CONFIGURED))?;
        Ok(action.probe()?)
    }

    fn each(
        &self,
        decisions: Vec<wit_action::Decision>,
        call: impl FnOnce(&mut A, &[Decision]) -> Outcomes,
    ) -> Vec<Result<(), wit::Error>> {
        let decisions: Vec<Decision> = decisions.into_iter().map(Into::into).collect();
        let outcomes = match self.0.borrow_mut().as_mut() {
            Some(action) => call(action, &decisions),
            None => vec![Err(Error::other(NOT_CONFIGURED)); decisions.len()],
        };
        outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(Into::into))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Line, Plan};

    /// Refuses to be made where the settings have `bad`.
    struct Moody;

    impl Filter for Moody {
        fn configure(settings: &Settings) -> Result<(Self, Plan), Error> {
            settings.only(&["good"])?;
            Ok((Self, Plan::new().literal("x").pattern("^y")))
        }

        fn judge(&mut self, line: Line<'_>, found: &mut Findings) {
            found.add(&line, "everybody", Some(line.text));
        }
    }

    impl Action for Moody {
        fn configure(settings: &Settings) -> Result<Self, Error> {
            settings.only(&["good"])?;
            Ok(Self)
        }

        fn apply(&mut self, _: &Decision) -> Result<(), Error> {
            Err(Error::unavailable("later"))
        }

        fn revoke(&mut self, _: &Decision) -> Result<(), Error> {
            Ok(())
        }
    }

    fn setting(key: &str) -> wit::Settings {
        vec![(key.to_owned(), String::new())]
    }

    fn batch() -> wit_filter::Batch {
        wit_filter::Batch {
            text: b"abc".to_vec(),
            ends: vec![3],
            times: vec![0],
            patterns: vec![0],
        }
    }

    fn decision() -> wit_action::Decision {
        wit_action::Decision {
            key: "k".to_owned(),
            jail: "j".to_owned(),
            subject: wit_action::Subject::Text("alice".to_owned()),
            at: 0,
            until: None,
            failures: 0,
            bancount: 1,
            matches: Vec::new(),
        }
    }

    #[test]
    fn a_filter_is_asked_only_after_it_was_configured() {
        let cell = FilterCell::<Moody>::new();
        assert_eq!(cell.evaluate(&batch()).unwrap_err().message, NOT_CONFIGURED);
        let plan = cell.configure(setting("good")).unwrap();
        assert_eq!(
            (plan.literals, plan.patterns),
            (vec!["x".into()], vec!["^y".into()])
        );
        assert_eq!(cell.evaluate(&batch()).unwrap().findings.len(), 1);
        assert!(cell.configure(setting("bad")).is_err());
        assert_eq!(cell.evaluate(&batch()).unwrap_err().message, NOT_CONFIGURED);
    }

    #[test]
    fn an_action_answers_for_each_decision_even_before_it_was_configured() {
        let cell = ActionCell::<Moody>::new();
        let early = cell.apply(vec![decision(), decision()]);
        assert_eq!(early.len(), 2);
        assert!(early.iter().all(Result::is_err));
        assert!(cell.probe().is_err());

        cell.configure(setting("good")).unwrap();
        assert_eq!(cell.probe(), Ok(()));
        assert_eq!(cell.revoke(vec![decision()]), [Ok(())]);
        let refused = cell.reconcile(vec![decision()]);
        let [Err(error)] = &refused[..] else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind, wit::ErrorKind::Unavailable);
    }
}
