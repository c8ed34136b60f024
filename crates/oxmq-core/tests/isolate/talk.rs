//! What crosses the line: jobs, results, errors, what is written down.

use oxmq_core::{CHILD_LOG_LINES_MAX, ChildOutput, ErrorKind, Handlers};
use serde_json::{Value, json};

use crate::faulty::Fault;
use crate::handlers::{isolated, isolation, log_of, named, result};
use crate::rig::{Rig, ms, reason, soon};

#[tokio::test]
async fn a_typed_handler_in_another_process_returns_its_result() {
    let rig = Rig::new();
    let id = rig.add_one(named("double", &json!({ "number": 21 }))).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    assert_eq!(result(&rig.until_state(&id, "completed").await), 42);
    let pid = rig.add_one(named("pid", &Value::Null)).await;
    let pid = result(&rig.until_state(&pid, "completed").await);
    assert_ne!(pid, std::process::id());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn errors_keep_their_causes_and_what_they_wish() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let fails = |how: &str| named("fails", &json!(how)).with(|options| options.attempts = Some(2));

    let plainly = rig.add_one(fails("plainly")).await;
    let view = rig.until_state(&plainly, "failed").await;
    assert_eq!((reason(&view), view.job.attempts_made), ("the total is not known", 2));
    let stacks: Vec<String> = view.job.stacktrace.unwrap().read().unwrap();
    let stack = "the total is not known\n    caused by: invalid digit found in string";
    assert_eq!(stacks, [stack, stack]);

    let for_good = rig.add_one(fails("for good")).await;
    let view = rig.until_state(&for_good, "failed").await;
    assert_eq!((reason(&view), view.job.attempts_made), ("never again", 1));

    let panics = rig.add_one(fails("panic")).await;
    assert_eq!(reason(&rig.until_state(&panics, "failed").await), "panicked: out of cheese");

    let unfit = rig.add_one(named("double", &json!({ "number": "x" }))).await;
    let view = rig.until_state(&unfit, "failed").await;
    assert!(reason(&view).starts_with("the data of job `double` does not fit `Double`"), "{view:?}");

    let later = rig.add_one(fails("later")).await;
    assert_eq!(rig.until_state(&later, "delayed").await.job.attempts_made, 0);

    let rate = rig.add_one(fails("rate")).await;
    rig.until_told("Returned", 2).await;
    assert_eq!(rig.job(&rate).await.state.as_str(), "waiting");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn what_a_handler_writes_down_is_there_before_its_result_is() {
    let rig = Rig::new();
    let draft = named("writes", &json!({ "step": 1 }));
    let id = rig.add_one(draft.with(|options| options.timeout = Some(ms(3_600_000)))).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    let view = rig.until_state(&id, "completed").await;
    assert_eq!(
        result(&view),
        json!({
            "data": { "step": 1 }, "lines": true, "id": id.as_str(), "queue": "bull:q",
            "start": 1, "tries": 0, "remaining": true, "cancelled": false,
        })
    );
    assert_eq!(view.job.progress.unwrap().as_str(), r#"{"done":1}"#);
    assert_eq!(view.job.data.as_str(), r#"{"step":2}"#);
    assert_eq!(rig.told("Progress"), 1);
    let mut log = log_of(&rig, &id).await;
    log.sort();
    assert_eq!(log, ["first line", "on stderr", "on stdout", "without an end"]);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn what_the_store_refuses_is_told_to_the_handler() {
    let rig = Rig::new();
    let id = rig.add_one(named("writes", &json!(1))).await;
    rig.store.fail_next("note", Fault::Before(ErrorKind::Full));
    let worker = isolated(&rig, isolation().output(ChildOutput::Tracing)).start().unwrap();
    let view = rig.until_state(&id, "failed").await;
    assert!(reason(&view).starts_with("note: "), "{view:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn more_output_than_a_job_may_have_is_dropped_and_that_is_said() {
    let rig = Rig::new();
    let id = rig.add_one(named("chatters", &json!(3_000))).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    rig.until_state(&id, "completed").await;
    let log = log_of(&rig, &id).await;
    assert_eq!(log.len(), CHILD_LOG_LINES_MAX + 1);
    assert_eq!(log[CHILD_LOG_LINES_MAX - 1], "999");
    assert_eq!(log[CHILD_LOG_LINES_MAX], "oxmq: more than 1000 lines of output; the rest is dropped");
    // The child is none the worse for it.
    let next = rig.add_one(named("double", &json!({ "number": 1 }))).await;
    assert_eq!(result(&rig.until_state(&next, "completed").await), 2);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn output_can_go_elsewhere() {
    let rig = Rig::new();
    let id = rig.add_one(named("chatters", &json!(3))).await;
    let worker = isolated(&rig, isolation().output(ChildOutput::Tracing)).start().unwrap();
    rig.until_state(&id, "completed").await;
    assert_eq!(log_of(&rig, &id).await, Vec::<String>::new());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_for_a_job_that_is_over() {
    let rig = Rig::new();
    let file = std::env::temp_dir().join(format!("oxmq-too-late-{}", std::process::id()));
    let id = rig.add_one(named("speaks-too-late", &json!(file))).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    rig.until_state(&id, "completed").await;
    rig.until(async || std::fs::read_to_string(&file).is_ok_and(|text| !text.is_empty())).await;
    let late = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(late.contains("the handler of this job has ended"), "{late}");
    // The next job is another's, and its log has nothing of that.
    let next = rig.add_one(named("double", &json!({ "number": 1 }))).await;
    assert_eq!(result(&rig.until_state(&next, "completed").await), 2);
    assert_eq!(rig.job(&id).await.job.progress, None);
    assert_eq!(log_of(&rig, &next).await, Vec::<String>::new());
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_job_without_a_handler_is_refused_without_a_child() {
    let rig = Rig::new();
    let unknown = rig.add_one(named("unknown", &Value::Null)).await;
    let worker = isolated(&rig, isolation()).start().unwrap();
    let view = rig.until_state(&unknown, "failed").await;
    assert!(reason(&view).starts_with("no handler for jobs named `unknown`"), "{view:?}");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_only_the_worker_has_is_missed_in_the_child() {
    let rig = Rig::new();
    let id = rig.add_one(named("only-here", &Value::Null)).await;
    let only_here = Handlers::new().handle_named("only-here", async |_: Value| Ok::<_, String>(()));
    let worker = isolated(&rig, isolation()).handlers(only_here).start().unwrap();
    let view = rig.until_state(&id, "failed").await;
    assert!(reason(&view).starts_with("no handler for jobs named `only-here`"), "{view:?}");
    soon(worker.close()).await.unwrap();
}
