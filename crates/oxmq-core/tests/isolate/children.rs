//! Handlers in processes of their own that have children: the worker asks the store for them.

use std::sync::Arc;

use oxmq_core::{
    Clock, Deduplication, ErrorKind, HandlerError, JobContext, JsonText, QueueAddress, Store, Worker,
};
use serde_json::{Value, json};

use crate::faulty::Fault;
use crate::handlers::{isolated, isolation, log_of, named, result};
use crate::rig::{Rig, ms, reason, soon};

/// A worker of the queue `kids`, in this process: `fail` fails, `long` has a long result, anything else is given back.
fn kids(rig: &Rig, long: &'static str, times: usize) -> Worker {
    let store: Arc<dyn Store> = rig.store.clone();
    let handler = move |data: Value, job: JobContext| async move {
        match job.job().name.as_str() {
            "fail" => Err(HandlerError::give_up("no")),
            "long" => Ok(json!(long.repeat(times))),
            _ => Ok(data),
        }
    };
    Worker::builder(&store, "kids").clock(rig.clock.clone()).handle_any(handler).start().unwrap()
}

#[tokio::test]
async fn a_handler_adds_children_waits_for_them_and_has_their_results() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let id = rig.add_one(named("sums", &json!([1, 2, 4, "fail"]))).await;
    rig.until_state(&id, "waiting-children").await;
    let log = ["[Created, Created, Created, Created, Existing], 4 pending"];
    assert_eq!(log_of(&rig, &id).await, log);
    let kids = kids(&rig, "", 0);
    let view = rig.until_state(&id, "completed").await;
    assert_eq!(
        result(&view),
        json!({
            "sum": 7,
            "failures": ["bull:kids:kid-3: no"],
            "pages": [["ignored", "processed"], ["processed", "processed"]],
        })
    );
    assert_eq!((view.job.attempts_started, view.job.attempts_made), (2, 1));
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_removes_the_children_it_has_no_use_for() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let id = rig.add_one(named("removes", &Value::Null)).await;
    assert_eq!(result(&rig.until_state(&id, "completed").await), json!([1, 0]));
    let kids = QueueAddress::new("kids").unwrap();
    assert_eq!(rig.store.model.job(&kids, &"late".into()).await.unwrap(), None);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_frees_its_deduplication_id() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let owner =
        named("releases", &Value::Null).with(|options| options.deduplication = Some(Deduplication::by("x")));
    let owner = rig.add_one(owner).await;
    assert_eq!(result(&rig.until_state(&owner, "completed").await), json!([true, false]));
    let without = rig.add_one(named("releases", &Value::Null)).await;
    assert_eq!(result(&rig.until_state(&without, "completed").await), json!([false, false]));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn what_the_store_refuses_comes_with_its_kind() {
    let rig = Rig::new();
    for (verb, kind) in [
        ("children", ErrorKind::Unavailable),
        ("add", ErrorKind::Full),
        ("remove", ErrorKind::Refused),
        ("release_deduplication", ErrorKind::Ambiguous),
    ] {
        rig.store.fail_next(verb, Fault::Before(kind));
    }
    let worker = isolated(&rig, isolation()).start().unwrap();
    let draft =
        named("fares-ill", &Value::Null).with(|options| options.deduplication = Some(Deduplication::by("x")));
    let id = rig.add_one(draft).await;
    let view = rig.until_state(&id, "completed").await;
    let told: Vec<String> = view.job.return_value.unwrap().read().unwrap();
    assert_eq!(
        told[..4],
        [
            "unavailable: children: the test wants it so",
            "full: add: the test wants it so",
            "refused: remove: the test wants it so",
            "ambiguous: release_deduplication: the test wants it so",
        ]
    );
    assert!(told[4..].iter().all(|told| told.starts_with("invalid: ")), "{told:?}");
    assert_eq!(rig.store.count("add"), 1, "what makes no sense does not get to the store");
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn long_results_come_in_several_messages_and_many_askers_all_get_them() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let kids = kids(&rig, "long ", 1 << 20);
    let long = rig.add_one(named("reads-at-length", &json!([2, 1]))).await;
    // Two of 5 MiB are more than is told at once.
    assert_eq!(result(&rig.until_state(&long, "completed").await), json!([1, 2]));
    soon(kids.close()).await.unwrap();

    let kids = self::kids(&rig, "long ", 10_000);
    let often = rig.add_one(named("reads-at-length", &json!([2, 150]))).await;
    assert_eq!(result(&rig.until_state(&often, "completed").await), json!([2, 300]));
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_result_that_is_too_long_for_any_message_is_told_to_be() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    // Escaped twice, a quote takes four bytes.
    let kids = kids(&rig, "\"", 17 << 20);
    let id = rig.add_one(named("reads-at-length", &json!([1, 1]))).await;
    let view = rig.until_state(&id, "failed").await;
    assert!(reason(&view).contains("a message has at most"), "{}", reason(&view));
    let stack: JsonText = view.job.stacktrace.unwrap();
    assert!(!stack.as_str().contains("panicked"), "{stack}");
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_requests_does_not_keep_a_handler_from_being_told_to_stop() {
    let rig = Rig::new();
    let worker = isolated(&rig, isolation()).start().unwrap();
    let kids = kids(&rig, "long ", 10_000);
    rig.store.hold("children");
    let id = rig.add_one(named("floods", &json!(1_000))).await;
    rig.until(async || rig.store.count("children") == 1).await;
    // Time for the handler's process to fill the line, until it waits for it to be read.
    Clock::system().sleep(ms(100)).await;
    assert_eq!(rig.store.count("children"), 1, "one request after the other");
    assert!(worker.handle().cancel_local(&id, "enough"));
    rig.store.release("children");
    let view = rig.until_state(&id, "failed").await;
    assert_eq!(reason(&view), "cancelled: enough");
    assert_eq!(log_of(&rig, &id).await, ["read 1000"]);
    soon(worker.close()).await.unwrap();
    soon(kids.close()).await.unwrap();
}
