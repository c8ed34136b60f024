//! Replays what was recorded of BullMQ 6.7 (spec/vectors/*.json): after each step the keys, the events and the
//! answers must be the same, by meaning.

#![allow(clippy::unwrap_used, reason = "a test panics when something is wrong")]

mod support;

#[path = "vectors/adding.rs"]
mod adding;
#[path = "vectors/compare.rs"]
mod compare;
#[path = "vectors/dedup.rs"]
mod dedup;
#[path = "vectors/exceptions.rs"]
mod exceptions;
#[path = "vectors/families.rs"]
mod families;
#[path = "vectors/features.rs"]
mod features;
#[path = "vectors/metrics.rs"]
mod metrics;
#[path = "vectors/recorded.rs"]
mod recorded;
#[path = "vectors/replay.rs"]
mod replay;
#[path = "vectors/running.rs"]
mod running;
#[path = "vectors/scene.rs"]
mod scene;
#[path = "vectors/schedules.rs"]
mod schedules;
#[path = "vectors/steering.rs"]
mod steering;
#[path = "vectors/working.rs"]
mod working;

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
    working: a13 = "A-13" a14 = "A-14" a15 = "A-15" a16 = "A-16" a17 = "A-17" a18 = "A-18" a19 = "A-19" a20 = "A-20" a21 = "A-21" a22 = "A-22" a23 = "A-23" a24 = "A-24" a25 = "A-25" a26 = "A-26" a27 = "A-27" a28 = "A-28" a29 = "A-29" a30 = "A-30" a31 = "A-31" a32 = "A-32" a33 = "A-33" a34 = "A-34" a35 = "A-35";
    steering: a36 = "A-36" a37 = "A-37" a38 = "A-38" a39 = "A-39" a40 = "A-40" a41 = "A-41" a42 = "A-42" a43 = "A-43" a44 = "A-44" a45 = "A-45" a46 = "A-46" a47 = "A-47" a48 = "A-48" a49 = "A-49" a50 = "A-50" a51 = "A-51" a52 = "A-52";
    running: a53 = "A-53" a54 = "A-54" a55 = "A-55" a56 = "A-56" a57 = "A-57" a58 = "A-58" a59 = "A-59" a60 = "A-60" a61 = "A-61" a62 = "A-62";
    dedup: bd01 = "B-D01" bd02 = "B-D02" bd03 = "B-D03" bd04 = "B-D04" bd05 = "B-D05" bd06 = "B-D06" bd07 = "B-D07" bd08 = "B-D08" bd09 = "B-D09" bd10 = "B-D10" bd11 = "B-D11";
    metrics: bm01 = "B-M01" bm02 = "B-M02" bm03 = "B-M03" bm04 = "B-M04";
    schedules: s01 = "B-S01" s02 = "B-S02" s03 = "B-S03" s04 = "B-S04" s05 = "B-S05" s06 = "B-S06" s07 = "B-S07" s08 = "B-S08" s09 = "B-S09" s10 = "B-S10" s11 = "B-S11" s12 = "B-S12" s13 = "B-S13";
}

/// The twins of the recordings of flows.
macro_rules! family_twins {
    ($($twin:ident = $id:literal)*) => {
        $(
            #[test]
            fn $twin() {
                scene::replay($id, families::$twin);
            }
        )*

        const FAMILY_TWINS: &[&str] = &[$($id),*];
    };
}

family_twins! {
    f01 = "B-F01" f02 = "B-F02" f03 = "B-F03" f04 = "B-F04" f05 = "B-F05" f06 = "B-F06" f07 = "B-F07" f08 = "B-F08" f09 = "B-F09" f10 = "B-F10" f11 = "B-F11" f12 = "B-F12" f13 = "B-F13" f14 = "B-F14" f15 = "B-F15" f16 = "B-F16" f17 = "B-F17" f18 = "B-F18" f19 = "B-F19" f20 = "B-F20" f21 = "B-F21" f22 = "B-F22" f23 = "B-F23" f24 = "B-F24" f25 = "B-F25" f26 = "B-F26"
}

#[test]
fn every_recording_of_flows_has_a_twin_and_every_exception_a_step() {
    assert_eq!(scene::recordings(), FAMILY_TWINS);
    for (id, step, what, reason) in exceptions::FAMILY_EXCEPTIONS {
        assert!(scene::step_names(id).iter().any(|name| name == step), "{id}, {step}");
        assert!(!what.is_empty() && !reason.is_empty(), "{id}, {step}");
    }
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
