//! The soak, in its small form: `OXMQ_SOAK_JOBS` jobs, 1,500 unless said otherwise; 50,000 in the full form. `OXMQ_SEED`
//! repeats a run's choices of whom to kill and when.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "figures are printed")]

use oxmq_interop::soak;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[tokio::test]
async fn nothing_is_lost_between_both_sides_however_often_they_are_killed() {
    let jobs = number("OXMQ_SOAK_JOBS").unwrap_or(1_500);
    let seed = number("OXMQ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("soak: OXMQ_SEED={seed}");
    let report = soak::run(
        jobs.try_into().unwrap(),
        seed,
        env!("CARGO_BIN_EXE_soak_worker"),
        env!("CARGO_BIN_EXE_soak_producer"),
    )
    .await;
    println!(
        "soak: {} jobs acknowledged, {} done ({:?}), {} kills of workers and {} of producers, {} starts repeated \
         because of kills ({} stalls), {:.1} s; {:?}",
        report.acknowledged,
        report.jobs,
        report.done_by,
        report.worker_kills,
        report.producer_kills,
        report.duplicate_runs,
        report.stalls,
        report.seconds,
        report.complaints,
    );
}
