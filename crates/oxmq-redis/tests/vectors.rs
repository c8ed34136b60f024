//! Replays what was recorded of BullMQ 6.7 (spec/vectors/A-*.json): after each step the keys, the events and the
//! answers must be the same, by meaning.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

mod support;

#[path = "vectors/adding.rs"]
mod adding;
#[path = "vectors/compare.rs"]
mod compare;
#[path = "vectors/exceptions.rs"]
mod exceptions;
#[path = "vectors/replay.rs"]
mod replay;

/// The twins, by the recordings' ids.
macro_rules! twins {
    ($($module:ident: $($twin:ident = $id:literal)*;)*) => {
        $($(
            #[test]
            fn $twin() {
                replay::replay($id, $module::$twin);
            }
        )*)*

        const TWINS: &[&str] = &[$($($id),*),*];
    };
}

twins! {
    adding: a01 = "A-01" a02 = "A-02" a03 = "A-03" a04 = "A-04" a05 = "A-05" a06 = "A-06" a07 = "A-07" a08 = "A-08"
        a09 = "A-09" a10 = "A-10" a11 = "A-11" a12 = "A-12";
}

#[test]
fn every_recording_has_a_twin_and_every_exception_a_step() {
    let recordings: Vec<_> = replay::files().iter().map(|file| replay::step_names(file)).collect();
    let ids: Vec<&str> = recordings.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, TWINS);
    for (id, step, what, reason) in exceptions::EXCEPTIONS {
        let steps = recordings.iter().find(|(found, _)| found == id).map(|(_, steps)| steps);
        assert!(steps.is_some_and(|steps| steps.iter().any(|name| name == step)), "{id}, {step}");
        assert!(!what.is_empty() && !reason.is_empty(), "{id}, {step}");
    }
}
