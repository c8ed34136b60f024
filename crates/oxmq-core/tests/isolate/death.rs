//! Processes that die, by their own doing or for their memory; and jobs that kill them again.

use oxmq_core::{JobView, QUARANTINED};
use serde_json::{Value, json};

use crate::handlers::{isolated, isolation, named, result};
use crate::rig::{Draft, Rig, ms, reason, soon};

const MEMORY: &str = ", last memory ";

/// The reason without the figure of the memory, which is there.
fn bare(reason: &str) -> String {
    let mut bare = String::new();
    let mut rest = reason;
    while let Some((before, after)) = rest.split_once(MEMORY) {
        let (figure, after) = after.split_once(" MiB").unwrap();
        assert!(figure.parse::<u64>().unwrap() > 0, "{reason}");
        bare.push_str(before);
        rest = after;
    }
    bare + rest
}

async fn fate(rig: &Rig, draft: Draft) -> JobView {
    let id = rig.add_one(draft).await;
    rig.until(async || rig.job(&id).await.state.is_final()).await;
    rig.job(&id).await
}

fn dies(how: &str) -> Draft {
    named("dies", &json!(how))
}

#[tokio::test]
async fn a_process_that_dies_fails_one_try_and_says_how() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    for (how, told) in [
        ("kill", "the handler's process died: signal 9 (SIGKILL): alas"),
        ("abort", "the handler's process died: signal 6 (SIGABRT): alas"),
        ("exit", "the handler's process died: exit code 3: alas"),
    ] {
        let view = fate(&rig, dies(how)).await;
        assert_eq!((view.state.as_str(), view.job.attempts_made), ("failed", 1));
        assert_eq!(bare(reason(&view)), told);
        // The worker goes on.
        let next = fate(&rig, named("double", &json!({ "number": 1 }))).await;
        assert_eq!(result(&next), 2);
    }
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_killed_its_process_once_may_try_again() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let view = fate(&rig, named("dies-at-first", &json!(1)).with(|options| options.attempts = Some(2))).await;
    assert_eq!((view.state.as_str(), view.job.attempts_made), ("completed", 2));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_killed_its_process_twice_is_quarantined() {
    for stacks in [None, Some(0), Some(1)] {
        let rig = Rig::new();
        let draft = dies("kill").with(|options| {
            options.attempts = Some(10);
            options.stack_trace_limit = stacks;
        });
        let id = rig.add_one(draft).await;
        // A worker each time: nothing is remembered but what is stored.
        for starts in 1..=2 {
            let worker = isolated(&rig, isolation()).start().unwrap();
            rig.until(async || rig.job(&id).await.job.attempts_made >= starts).await;
            soon(worker.close()).await.unwrap();
        }
        let view = rig.job(&id).await;
        assert_eq!((view.state.as_str(), view.job.attempts_made), ("failed", 2), "{view:?}");
        assert!(reason(&view).starts_with(QUARANTINED));
        assert_eq!(
            bare(reason(&view)),
            "quarantined: the handler's process died 2 times: signal 9 (SIGKILL): alas; before that: signal 9 (SIGKILL): alas"
        );
    }
}

#[tokio::test]
async fn a_process_that_has_too_much_memory_is_killed_and_that_counts() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation().kill_above(200 << 20)).start().unwrap();
    let id = rig.add_one(named("bloats", &json!(300)).with(|options| options.attempts = Some(5))).await;
    rig.until_moving(ms(50), async || rig.job(&id).await.state.is_final()).await;
    let view = rig.job(&id).await;
    let told = bare(reason(&view));
    let evidence = "signal 9 (SIGKILL) by its worker, as it may have 200 MiB";
    let all = format!("quarantined: the handler's process died 2 times: {evidence}; before that: {evidence}");
    assert_eq!((told, view.job.attempts_made), (all, 2));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn one_killer_among_many_harms_no_other() {
    let rig = Rig::new();
    let mut drafts: Vec<Draft> =
        (0..60).map(|number| named("double", &json!({ "number": number }))).collect();
    drafts.insert(20, dies("abort").with(|options| options.attempts = Some(5)));
    let ids = rig.add(drafts).await;
    let worker = isolated(&rig, isolation()).concurrency(3).start().unwrap();
    rig.until(async || rig.counts().await.unfinished() == 0).await;
    let counts = rig.counts().await;
    assert_eq!((counts.completed, counts.failed), (60, 1));
    let killer = rig.job(&ids[20]).await;
    assert!(reason(&killer).starts_with(QUARANTINED), "{killer:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_died_while_it_waited_is_nobodys_fault() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    for _ in 0..3 {
        let view = fate(&rig, named("pid", &Value::Null)).await;
        let pid = result(&view).as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    soon(worker.close()).await.unwrap();
}
