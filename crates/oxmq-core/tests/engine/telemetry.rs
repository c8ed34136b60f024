//! What telemetry hears: the spans and figures that BullMQ gives for the same, and the context that travels with a job.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq_core::store::OnRefusal;
use oxmq_core::telemetry::{AttributeValue, Meter, Span, SpanKind, SpanParent, Telemetry};
use oxmq_core::{
    Backoff, ErrorKind, FlowJob, FlowProducer, FlowProducerBuilder, HandlerError, JobContext, JobId, JobKey,
    JobOptions, JobState, JsonText, NewJob, Queue, QueueAddress, Schedule, Store,
};
use serde_json::{Map, Value as Json, json};

use crate::faulty::Fault;
use crate::rig::{Rig, soon};

thread_local! {
    /// The tags of the spans that are current on this thread.
    static CURRENT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn current() -> Option<String> {
    CURRENT.with_borrow(|current| current.last().cloned())
}

/// A span as it is written down, in the form of what BullMQ gave; its tag is its way from the root.
struct Noted {
    tag: String,
    noted: Arc<Mutex<Json>>,
}

/// Writes down everything.
#[derive(Default)]
struct Recorder {
    spans: Mutex<Vec<Arc<Mutex<Json>>>>,
    figures: Mutex<Vec<Json>>,
}

fn plain(attributes: &[(&'static str, AttributeValue)]) -> Json {
    attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), plain_value(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn plain_value(value: &AttributeValue) -> Json {
    match value {
        AttributeValue::Text(text) => json!(text),
        AttributeValue::Int(number) => json!(number),
        AttributeValue::Bool(yes) => json!(yes),
        AttributeValue::Texts(texts) => json!(texts),
        other => panic!("{other:?} is new"),
    }
}

impl Telemetry for Recorder {
    fn start(&self, name: &str, kind: SpanKind, parent: SpanParent<'_>) -> Arc<dyn Span> {
        let parent = match parent {
            SpanParent::Current => current(),
            SpanParent::Carried(text) => {
                serde_json::from_str::<Json>(text).ok().and_then(|it| it["tag"].as_str().map(str::to_owned))
            }
            _ => None,
        };
        let kind = match kind {
            SpanKind::Producer => 3,
            SpanKind::Consumer => 4,
            _ => 0,
        };
        let tag = format!("{}>{name}", parent.as_deref().unwrap_or("root"));
        let mut noted = json!({ "name": name, "kind": kind, "attributes": {}, "events": [], "errors": [], "ended": false });
        if let Some(parent) = parent {
            noted["parent"] = parent.into();
        }
        let noted = Arc::new(Mutex::new(noted));
        self.spans.lock().unwrap().push(noted.clone());
        Arc::new(Noted { tag, noted })
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(self)
    }
}

impl Span for Noted {
    fn set(&self, name: &'static str, value: AttributeValue) {
        self.noted.lock().unwrap()["attributes"][name] = plain_value(&value);
    }

    fn event(&self, name: &'static str, attributes: &[(&'static str, AttributeValue)]) {
        let event = json!([name, plain(attributes)]);
        self.noted.lock().unwrap()["events"].as_array_mut().unwrap().push(event);
    }

    fn error(&self, message: &str) {
        self.noted.lock().unwrap()["errors"].as_array_mut().unwrap().push(message.into());
    }

    fn context(&self) -> Option<String> {
        Some(json!({ "tag": self.tag }).to_string())
    }

    fn within(&self, work: &mut dyn FnMut()) {
        CURRENT.with_borrow_mut(|current| current.push(self.tag.clone()));
        work();
        CURRENT.with_borrow_mut(Vec::pop);
    }

    fn end(&self) {
        let mut noted = self.noted.lock().unwrap();
        assert_eq!(noted["ended"], false, "ended twice: {noted}");
        noted["ended"] = true.into();
    }
}

impl Meter for Recorder {
    fn count(&self, name: &'static str, attributes: &[(&'static str, AttributeValue)]) {
        self.figures.lock().unwrap().push(json!({ "counter": name, "v": 1, "a": plain(attributes) }));
    }

    fn duration(&self, name: &'static str, millis: u64, attributes: &[(&'static str, AttributeValue)]) {
        self.figures.lock().unwrap().push(json!({ "histogram": name, "v": millis, "a": plain(attributes) }));
    }

    fn gauge(&self, name: &'static str, value: u64, attributes: &[(&'static str, AttributeValue)]) {
        self.figures.lock().unwrap().push(json!({ "gauge": name, "v": value, "a": plain(attributes) }));
    }
}

impl Recorder {
    fn spans(&self) -> Vec<Json> {
        self.spans.lock().unwrap().iter().map(|span| span.lock().unwrap().clone()).collect()
    }

    /// The spans with this name, of this job if one is named.
    fn named(&self, name: &str, job: Option<&str>) -> Vec<Json> {
        let of_job = |span: &Json| job.is_none() || span["attributes"]["bullmq.job.id"].as_str() == job;
        self.spans().into_iter().filter(|span| span["name"] == name && of_job(span)).collect()
    }

    /// The states that were counted of a job's name, in order.
    fn counted(&self, job: &str) -> Vec<String> {
        let figures = self.figures.lock().unwrap();
        figures
            .iter()
            .filter(|figure| figure["a"]["bullmq.job.name"] == job)
            .filter_map(|figure| Some(figure["counter"].as_str()?.strip_prefix("bullmq.jobs.")?.to_owned()))
            .collect()
    }
}

fn queue(rig: &Rig, recorder: &Arc<Recorder>) -> Queue {
    let store: Arc<dyn Store> = rig.store.clone();
    Queue::builder(&store, "q").clock(rig.clock.clone()).telemetry(recorder.clone()).build().unwrap()
}

async fn until_gone(rig: &Rig, id: &JobId, state: JobState) {
    rig.until_moving(Duration::from_millis(50), async || rig.job(id).await.state == state).await;
}

#[tokio::test]
async fn spans_and_figures_are_bullmqs() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    queue.add_named("a", &json!({})).id("J1").await.unwrap();
    let omit = JobOptions::parse(r#"{"telemetry":{"omitContext":true}}"#).unwrap();
    queue.add_named("a", &json!({})).options(omit).id("J2").await.unwrap();
    let options = JobOptions::parse(r#"{"jobId":"J3"}"#).unwrap();
    let bulk = NewJob { name: "b".into(), data: JsonText::empty_object(), options };
    queue.add_bulk(vec![bulk]).await.unwrap();
    let carried = async |id: &str| rig.job(&id.into()).await.job.options().trace;
    assert_eq!(carried("J1").await.as_deref(), Some(r#"{"tag":"root>add q.a"}"#));
    assert_eq!(carried("J2").await, None);
    assert_eq!(carried("J3").await.as_deref(), Some(r#"{"tag":"root>addBulk q"}"#));
    queue.pause().await.unwrap();
    queue.remove("J2").await.unwrap();
    queue.remove("J3").await.unwrap();
    rig.hand.advance(Duration::from_millis(7));
    queue.resume().await.unwrap();
    let worker = rig.worker().name("wn").telemetry(recorder.clone());
    let worker = worker.handle_any(async |_: Json| Ok::<(), HandlerError>(())).start().unwrap();
    let id = worker.handle().id().to_owned();
    until_completed_without_moving(&rig, "J1").await;
    // The upkeep looks for stalled jobs in its own time: a job can be done before it, and so can the worker.
    rig.until(async || !recorder.named("moveStalledJobsToWait q", None).is_empty()).await;
    soon(worker.close()).await.unwrap();
    queue.retry_all(JobState::Failed, |_| {}).await.unwrap();
    queue.promote_all(|_| {}).await.unwrap();
    queue.trim_events(1_000).await.unwrap();
    queue.clean(JobState::Completed, Duration::ZERO, 10, |_| {}).await.unwrap();
    for _ in 0..3 {
        queue.add_named("c", &json!({})).await.unwrap();
    }
    queue.record_counts().await.unwrap();

    let theirs = include_str!("telemetry_bullmq.json");
    let theirs = theirs.replace("\"<T0+7>\"", "1700000000007").replace("<worker>", &id);
    let theirs: Vec<Json> = serde_json::from_str(&theirs).unwrap();
    assert_eq!(theirs.len(), 16);
    let ours = recorder.spans();
    let figures = recorder.figures.lock().unwrap().clone();
    for mut expected in theirs {
        if expected.get("name").is_none() {
            assert!(figures.contains(&expected), "{expected} is not in {figures:#?}");
            continue;
        }
        expected["errors"] = json!([]);
        match expected["name"].as_str().unwrap() {
            // Node does not name the span that is current; ours is the same, see the interop tests.
            "complete q" => expected["parent"] = "root>add q.a>process q".into(),
            // Ours takes a state, always.
            "retryJobs q" => {
                expected["attributes"]["bullmq.queue.options"] = r#"{"state":"failed"}"#.into();
            }
            _ => {}
        }
        assert!(ours.contains(&expected), "{expected:#} is not in {ours:#?}");
    }
    assert!(ours.iter().all(|span| span["ended"] == true), "{ours:#?}");
    let close = recorder.named("close q", None).remove(0);
    assert_eq!(close["attributes"]["bullmq.worker.force.close"], false);
    let stalled = recorder.named("moveStalledJobsToWait q", None).remove(0);
    assert_eq!(stalled["attributes"]["bullmq.worker.stalled.jobs"], json!([]));
    assert_eq!(stalled["attributes"]["bullmq.worker.name"], "wn");
}

async fn until_completed_without_moving(rig: &Rig, id: &str) {
    rig.until_state(&id.into(), "completed").await;
}

#[tokio::test]
async fn each_ending_has_its_span_and_its_counter() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    let work = async |_: Json, job: JobContext| -> Result<u32, HandlerError> {
        match (job.job().name.as_str(), job.start_number()) {
            ("fails", _) | ("again" | "later", 1) => Err("boom".into()),
            ("postponed", 1) => Err(HandlerError::again_after(Duration::from_secs(1))),
            ("limited", 1) => Err(HandlerError::rate_limited(Duration::from_secs(1))),
            _ => Ok(1),
        }
    };
    let worker = rig.worker().telemetry(recorder.clone()).handle_any(work).start().unwrap();
    let backoff = Backoff::fixed(Duration::from_secs(1));
    for (name, spans, counted) in [
        ("completes", vec!["complete"], vec!["completed"]),
        ("fails", vec!["fail"], vec!["failed"]),
        ("again", vec!["retry", "complete"], vec!["retried", "completed"]),
        ("later", vec!["delay", "complete"], vec!["delayed", "completed"]),
        ("postponed", vec!["complete"], vec!["delayed", "completed"]),
        ("limited", vec!["complete"], vec!["waiting", "completed"]),
    ] {
        let mut add = queue.add_named(name, &json!({})).id(name);
        if name == "again" {
            add = add.attempts(2);
        } else if name == "later" {
            add = add.attempts(2).backoff(backoff.clone());
        }
        let id = add.await.unwrap().id;
        let end = if name == "fails" { JobState::Failed } else { JobState::Completed };
        until_gone(&rig, &id, end).await;
        rig.until(async || recorder.counted(name).len() == counted.len()).await;
        assert_eq!(recorder.counted(name), counted, "{name}");
        let under = format!("root>add q.{name}>process q");
        let found: Vec<String> = recorder
            .spans()
            .iter()
            .filter(|span| span["parent"] == under.as_str())
            .filter(|span| span["attributes"]["bullmq.job.id"] == name)
            .map(|span| span["attributes"]["bullmq.queue.operation"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, spans, "{name}");
        for process in recorder.named("process q", Some(name)) {
            assert_eq!(process["parent"], format!("root>add q.{name}"));
            assert_eq!(process["ended"], true, "{process:#}");
        }
    }
    // A failed try is an event, as in BullMQ, and an error.
    let failed = recorder.named("process q", Some("fails")).remove(0);
    assert_eq!(failed["events"], json!([["job failed", { "bullmq.job.failed.reason": "boom" }]]));
    assert_eq!(failed["errors"], json!(["boom"]));
    // No try is spent on what is put off.
    let put_off = recorder.named("process q", Some("postponed")).remove(0);
    assert!(put_off["attributes"].get("bullmq.job.attempts.made").is_none(), "{put_off:#}");
    // The handler's wish for a pause is carried out within its span.
    let limit = recorder.named("rateLimit q", None).remove(0);
    assert_eq!(limit["parent"], "root>add q.limited>process q");
    assert_eq!(limit["attributes"]["bullmq.worker.rate.limit"], 1_000);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_handler_runs_within_the_span_of_its_job_at_each_poll() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    let inner = queue.clone();
    let work = move |_: Json, job: JobContext| {
        let queue = inner.clone();
        async move {
            let mut seen = vec![current()];
            tokio::task::yield_now().await;
            seen.push(current());
            if job.job().name == "parent" {
                queue.add_named("child", &json!({})).id("child").await?;
            }
            seen.push(current());
            Ok::<_, HandlerError>(seen)
        }
    };
    let worker = rig.worker().concurrency(2).telemetry(recorder.clone()).handle_any(work).start().unwrap();
    queue.add_named("parent", &json!({})).id("parent").await.unwrap();
    let child = "child".into();
    rig.until(async || rig.store.model.job(&rig.queue, &child).await.unwrap().is_some()).await;
    until_gone(&rig, &child, JobState::Completed).await;
    let parent = rig.until_state(&"parent".into(), "completed").await;
    let seen: Vec<String> = parent.job.return_value.unwrap().read().unwrap();
    let way = "root>add q.parent>process q";
    assert_eq!(seen, [way; 3]);
    let child = rig.job(&child).await;
    assert_eq!(child.job.options().trace, Some(format!(r#"{{"tag":"{way}>add q.child"}}"#)));
    let seen: Vec<String> = child.job.return_value.unwrap().read().unwrap();
    assert_eq!(seen[0], format!("{way}>add q.child>process q"));
    assert_eq!(current(), None);
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn whose_context_a_job_carries_is_as_in_bullmq() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    let own = |omit: bool| {
        let json = json!({ "telemetry": { "metadata": "mine", "omitContext": omit } });
        JobOptions::parse(&json.to_string()).unwrap()
    };
    let add = async |options: JobOptions| {
        let id = queue.add_named("a", &json!({})).options(options).await.unwrap().id;
        rig.job(&id).await.job.options().trace
    };
    let bulk = async |options: JobOptions| {
        let job = NewJob { name: "a".into(), data: JsonText::empty_object(), options };
        let id = queue.add_bulk(vec![job]).await.unwrap().remove(0).id;
        rig.job(&id).await.job.options().trace
    };
    assert_eq!(add(own(false)).await.as_deref(), Some(r#"{"tag":"root>add q.a"}"#));
    assert_eq!(add(own(true)).await.as_deref(), Some("mine"));
    assert_eq!(bulk(own(false)).await.as_deref(), Some("mine"));
    assert_eq!(bulk(own(true)).await.as_deref(), Some("mine"));
    // A queue whose jobs are all to begin traces of their own.
    let store: Arc<dyn Store> = rig.store.clone();
    let defaults = JobOptions::parse(r#"{"telemetry":{"omitContext":true}}"#).unwrap();
    let queue =
        Queue::builder(&store, "q").telemetry(recorder.clone()).default_options(defaults).build().unwrap();
    let id = queue.add_named("a", &json!({})).await.unwrap().id;
    assert_eq!(rig.job(&id).await.job.options().trace, None);
    // Without telemetry, what the producer says is stored.
    let queue = Queue::new(&store, "q").unwrap();
    let id = queue.add_named("a", &json!({})).options(own(false)).await.unwrap().id;
    assert_eq!(rig.job(&id).await.job.options().trace.as_deref(), Some("mine"));
}

fn flows(rig: &Rig, recorder: &Arc<Recorder>) -> FlowProducerBuilder {
    let store: Arc<dyn Store> = rig.store.clone();
    FlowProducer::builder(&store).clock(rig.clock.clone()).telemetry(recorder.clone())
}

fn node(queue: &str, name: &str, id: &str) -> FlowJob {
    FlowJob::named(queue, name, &json!({})).id(id)
}

/// The context that a job carries.
async fn carried(rig: &Rig, queue: &str, id: &JobId) -> Option<String> {
    let queue = QueueAddress::new(queue).unwrap();
    rig.store.model.job(&queue, id).await.unwrap().unwrap().job.options().trace
}

#[tokio::test]
async fn flows_schedules_and_released_ids_have_bullmqs_spans() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let (queue, flows) = (queue(&rig, &recorder), flows(&rig, &recorder).build().unwrap());
    let mine = JobOptions::parse(r#"{"jobId":"M","telemetry":{"metadata":"mine"}}"#).unwrap();
    let omit = JobOptions::parse(r#"{"jobId":"O","telemetry":{"omitContext":true}}"#).unwrap();
    let flow = node("q", "root", "R")
        .child(node("c", "kid", "K"))
        .child(FlowJob::named("c", "bare", &json!({})))
        .child(FlowJob::named("c", "mine", &json!({})).options(mine).child(node("d", "deep", "D")))
        .child(FlowJob::named("c", "omit", &json!({})).options(omit));
    let added = flows.add(flow).await.unwrap();
    let bare = &added.children[1].job.id;
    let both = [node("q", "b1", "B1").child(node("c", "bk", "BK")), node("q", "b2", "B2")];
    assert!(flows.add_bulk(both).await.unwrap().iter().all(Result::is_ok));
    assert!(flows.add_bulk([]).await.unwrap().is_empty());
    assert!(!queue.release_deduplication("x").await.unwrap());
    let every = Schedule::every(Duration::from_secs(100));
    let next = queue.schedules().put_named("sch", every, "tick", &json!({})).await.unwrap().next.unwrap();

    // What BullMQ 6.7 gave for the same.
    let theirs = include_str!("telemetry_flow_bullmq.json");
    let theirs = theirs.replace("<bare>", bare.as_str()).replace("<next>", next.job.as_str());
    let mut theirs: Vec<Json> = serde_json::from_str(&theirs).unwrap();
    let mut ours = recorder.spans();
    // It goes through several flows level by level.
    for spans in [&mut theirs, &mut ours] {
        spans.sort_by_key(Json::to_string);
    }
    assert_eq!(theirs.len(), 13);
    assert_eq!(json!(ours), json!(theirs));

    let of = async |queue: &str, id: &str| carried(&rig, queue, &id.into()).await;
    let tag = |way: &str| Some(format!(r#"{{"tag":"root>{way}"}}"#));
    assert_eq!(of("q", "R").await, tag("addFlow q>addNode q"));
    assert_eq!(of("c", "K").await, tag("addFlow q>addNode q>addNode c"));
    assert_eq!(of("d", "D").await, tag("addFlow q>addNode q>addNode c>addNode d"));
    assert_eq!(of("c", "M").await.as_deref(), Some("mine"));
    assert_eq!(of("c", "O").await, None);
    assert_eq!(of("c", "BK").await, tag("addBulkFlows>addNode q>addNode c"));
    // BullMQ leaves it out of a node without options.
    assert_eq!(of("c", bare.as_str()).await, tag("addFlow q>addNode q>addNode c"));
    // A schedule goes on after the trace in which it was put.
    assert_eq!(of("q", next.job.as_str()).await, None);
    let options = JobOptions::parse(r#"{"telemetry":{"metadata":"mine"}}"#).unwrap();
    let every = Schedule::every(Duration::from_secs(100));
    let put = queue.schedules().put_named("own", every, "tick", &json!({})).options(options);
    let next = put.await.unwrap().next.unwrap();
    assert_eq!(of("q", next.job.as_str()).await.as_deref(), Some("mine"));
}

#[tokio::test]
async fn what_is_refused_of_a_flow_is_on_its_span() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let errors = |name: &str, job: Option<&str>| {
        let mut spans = recorder.named(name, job);
        let span = spans.pop().unwrap();
        assert_eq!(span["ended"], true, "{span:#}");
        span["errors"].clone()
    };
    let all = flows(&rig, &recorder).build().unwrap();
    // One that makes no sense has no nodes yet.
    let error = all.add(node("q", "", "N")).await.unwrap_err();
    assert_eq!(errors("addFlow q", None), json!([error.to_string()]));
    let error = all.add_bulk([node("q", "", "N")]).await.unwrap_err();
    assert_eq!(errors("addBulkFlows", None), json!([error.to_string()]));
    assert!(recorder.named("addNode q", None).is_empty());
    // The store fails the call.
    rig.store.fail_next("add_flow", Fault::Before(ErrorKind::Unavailable));
    let error = all.add(node("q", "n", "N")).await.unwrap_err();
    assert_eq!(errors("addFlow q", None), json!([error.to_string()]));
    assert_eq!(errors("addNode q", Some("N")), json!([]));
    // One of two is refused: its root tells.
    let gone = JobKey::new(QueueAddress::new("q").unwrap(), "gone");
    let two = [node("q", "good", "G"), node("q", "bad", "B").parent(gone)];
    let error = all.add_bulk(two).await.unwrap().remove(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(errors("addBulkFlows", None), json!([]));
    assert_eq!(errors("addNode q", Some("G")), json!([]));
    assert_eq!(errors("addNode q", Some("B")), json!([error.to_string()]));
    // Another job stands for one that is deduplicated.
    let alone = |id: &str| {
        let options = json!({ "jobId": id, "deduplication": { "id": "once" } });
        FlowJob::named("q", "alone", &json!({})).options(JobOptions::parse(&options.to_string()).unwrap())
    };
    all.add(alone("A1")).await.unwrap();
    assert_eq!(all.add(alone("A2")).await.unwrap().job.id.as_str(), "A1");
    assert_eq!(recorder.named("addNode q", Some("A1")).len(), 2);
    // A node is refused, and the rest is kept.
    let rest = flows(&rig, &recorder).on_refusal(OnRefusal::KeepRest).build().unwrap();
    rest.add(node("q", "other", "P").child(node("c", "kid", "K"))).await.unwrap();
    rest.add(node("q", "root", "R").child(node("c", "kid", "K"))).await.unwrap();
    assert_eq!(errors("addNode q", Some("R")), json!([]));
    assert_eq!(errors("addNode c", Some("K")), json!(["refused: refused"]));
}

#[tokio::test]
async fn a_child_that_a_handler_adds_is_in_the_trace_of_its_job() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    let work = async |_: Json, job: JobContext| -> Result<(), HandlerError> {
        if job.child_counts().await?.pending > 0 {
            return Ok(());
        }
        job.add_child_named("c", "kid", &json!({})).id("K").await?;
        Err(HandlerError::wait_for_children())
    };
    let worker = rig.worker().telemetry(recorder.clone()).handle_any(work).start().unwrap();
    queue.add_named("a", &json!({})).id("J").await.unwrap();
    rig.until_state(&"J".into(), "waiting-children").await;
    let way = "root>add q.a>process q";
    let add = recorder.named("add c.kid", Some("K")).remove(0);
    assert_eq!((&add["parent"], &add["kind"], &add["ended"]), (&json!(way), &json!(3), &json!(true)));
    let attributes = json!({
        "bullmq.queue.name": "c", "bullmq.queue.operation": "add", "bullmq.job.name": "kid", "bullmq.job.id": "K"
    });
    assert_eq!(add["attributes"], attributes);
    assert_eq!(carried(&rig, "c", &"K".into()).await, Some(format!(r#"{{"tag":"{way}>add c.kid"}}"#)));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn what_goes_wrong_is_on_the_span() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    rig.store.fail_next("pause", Fault::Before(ErrorKind::Unavailable));
    let error = queue.pause().await.unwrap_err();
    let pause = recorder.named("pause q", None).remove(0);
    assert_eq!(pause["errors"], json!([error.to_string()]));
    assert_eq!(pause["ended"], true);
    let error = queue.add_named("", &json!({})).await.unwrap_err();
    assert_eq!(recorder.named("add q.", None).remove(0)["errors"], json!([error.to_string()]));

    // An ending that has to be sent twice has a span for each time.
    queue.add_named("a", &json!({})).id("J").await.unwrap();
    rig.store.fail_next("finish", Fault::Before(ErrorKind::Unavailable));
    let worker = rig.worker().telemetry(recorder.clone());
    let worker = worker.handle_any(async |_: Json| Ok::<(), HandlerError>(())).start().unwrap();
    until_gone(&rig, &"J".into(), JobState::Completed).await;
    rig.until(async || recorder.counted("a") == ["completed"]).await;
    let sent = recorder.named("complete q", Some("J"));
    let errors: Vec<usize> = sent.iter().map(|span| span["errors"].as_array().unwrap().len()).collect();
    assert_eq!(errors, [1, 0], "{sent:#?}");
    let process = recorder.named("process q", Some("J"));
    assert_eq!((process.len(), &process[0]["errors"]), (1, &json!([])));
    soon(worker.close()).await.unwrap();
}

#[tokio::test]
async fn a_worker_tells_of_leases_and_of_its_own_pauses() {
    let rig = Rig::new();
    let recorder = Arc::new(Recorder::default());
    let queue = queue(&rig, &recorder);
    let gate = crate::rig::Barrier::default();
    let held = gate.clone();
    let worker = rig.worker().telemetry(recorder.clone());
    let worker = worker.handle_any(move |_: Json| {
        let gate = held.clone();
        async move {
            gate.wait().await;
            Ok::<(), HandlerError>(())
        }
    });
    let worker = worker.start().unwrap();
    worker.handle().pause();
    worker.handle().resume();
    queue.add_named("a", &json!({})).id("J").await.unwrap();
    rig.until_state(&"J".into(), "active").await;
    let extended = |span: &Json| span["attributes"]["bullmq.worker.jobs.to.extend.locks"] == json!(["J"]);
    rig.until_moving(Duration::from_secs(1), async || {
        recorder.named("extendLocks q", None).iter().any(extended)
    })
    .await;
    gate.open();
    rig.until_state(&"J".into(), "completed").await;
    soon(worker.close()).await.unwrap();
    let pause = recorder.named("pause q", None).remove(0);
    assert_eq!(pause["attributes"]["bullmq.worker.do.not.wait.active"], true);
    assert!(pause["attributes"]["bullmq.worker.id"].is_string());
    assert_eq!(recorder.named("resume q", None).len(), 1);
    // The duties are traces of their own.
    for span in recorder.named("extendLocks q", None) {
        assert!(span.get("parent").is_none(), "{span:#}");
    }
}

/// A tracing system that is broken.
struct Broken;

impl Telemetry for Broken {
    fn start(&self, name: &str, _kind: SpanKind, _parent: SpanParent<'_>) -> Arc<dyn Span> {
        assert!(name.starts_with("process") || name.starts_with("add"), "broken");
        Arc::new(Broken)
    }

    fn meter(&self) -> Option<&dyn Meter> {
        panic!("broken")
    }
}

impl Span for Broken {
    fn set(&self, _name: &'static str, _value: AttributeValue) {
        panic!("broken")
    }

    fn event(&self, _name: &'static str, _attributes: &[(&'static str, AttributeValue)]) {
        panic!("broken")
    }

    fn error(&self, _message: &str) {
        panic!("broken")
    }

    fn context(&self) -> Option<String> {
        panic!("broken")
    }

    fn within(&self, work: &mut dyn FnMut()) {
        work();
        panic!("broken")
    }

    fn end(&self) {
        panic!("broken")
    }
}

#[tokio::test]
async fn telemetry_that_panics_harms_no_job() {
    let rig = Rig::new();
    let store: Arc<dyn Store> = rig.store.clone();
    let queue =
        Queue::builder(&store, "q").clock(rig.clock.clone()).telemetry(Arc::new(Broken)).build().unwrap();
    let worker = rig.worker().telemetry(Arc::new(Broken));
    let worker = worker.handle_any(async |fails: bool| {
        tokio::task::yield_now().await;
        assert!(!fails, "on purpose");
        Ok::<u32, HandlerError>(5)
    });
    let worker = worker.start().unwrap();
    let good = queue.add_named("a", &false).await.unwrap().id;
    let bad = queue.add_named("a", &true).await.unwrap().id;
    let view = rig.until_state(&good, "completed").await;
    assert_eq!(view.job.return_value.unwrap().as_str(), "5");
    let view = rig.until_state(&bad, "failed").await;
    assert_eq!(crate::rig::reason(&view), "panicked: on purpose");
    // Leases are renewed all the same.
    rig.until_moving(Duration::from_secs(1), async || rig.store.count("recover") >= 2).await;
    soon(worker.close()).await.unwrap();
}
