//! One trace runs through a job, whoever adds it and whoever works: OpenTelemetry's own SDKs on both sides, with
//! BullMQ's own package in Node.

use std::sync::Arc;

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use oxmq::otel::OpenTelemetry;
use oxmq::otel::opentelemetry::trace::SpanKind;
use oxmq_core::{FlowJob, FlowProducer, HandlerError, JobState, Queue, Worker};
use oxmq_interop::{Rig, Side, until};
use serde_json::{Value, json};

/// Our side's spans.
struct Ours {
    spans: InMemorySpanExporter,
    telemetry: Arc<OpenTelemetry>,
}

impl Ours {
    fn new() -> Self {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        Self { spans, telemetry: Arc::new(OpenTelemetry::new(&provider)) }
    }

    fn queue(&self, rig: &Rig) -> Queue {
        Queue::builder(&rig.store, &rig.name).telemetry(self.telemetry.clone()).build().unwrap()
    }

    fn worker(&self, rig: &Rig) -> Worker {
        let worker = Worker::builder(&rig.store, &rig.name).telemetry(self.telemetry.clone());
        worker.handle_any(async |data: Value| Ok::<Value, HandlerError>(data)).start().unwrap()
    }

    /// The spans of a trace that have ended, as the agent shows Node's.
    fn spans_of(&self, trace: &str) -> Vec<Value> {
        let spans = self.spans.get_finished_spans().unwrap();
        let mine = spans.iter().filter(|span| span.span_context.trace_id().to_string() == trace);
        mine.map(|span| {
            // Node's numbers.
            let kind = match span.span_kind {
                SpanKind::Producer => 3,
                SpanKind::Consumer => 4,
                _ => 0,
            };
            let id = span.span_context.span_id().to_string();
            let parent = span.parent_span_id.to_string();
            json!({ "name": span.name, "kind": kind, "id": id, "parent": parent })
        })
        .collect()
    }
}

/// The trace that a job carries, and the span that it was added in; as it is stored.
async fn carried(rig: &Rig, id: &str) -> (String, String) {
    let context = rig.view(id).await.unwrap().job.options().trace.unwrap();
    let context: Value = serde_json::from_str(&context).unwrap();
    assert_eq!(context.as_object().unwrap().len(), 1, "{context}");
    let parts: Vec<&str> = context["traceparent"].as_str().unwrap().split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", "01"), "{context}");
    (parts[1].to_owned(), parts[2].to_owned())
}

/// Looks for the span of the run, and of its ending, until both have ended; they must be under one another and `add`.
async fn has_run(name: &str, add: &str, spans: impl AsyncFn() -> Vec<Value>) {
    let find = |spans: &[Value], operation: &str| {
        spans.iter().find(|span| span["name"] == format!("{operation} {name}").as_str()).cloned()
    };
    until("the run and its ending are in the trace", || async {
        let spans = spans().await;
        find(&spans, "process").is_some() && find(&spans, "complete").is_some()
    })
    .await;
    let spans = spans().await;
    let (process, complete) = (find(&spans, "process").unwrap(), find(&spans, "complete").unwrap());
    assert_eq!((&process["parent"], &process["kind"]), (&json!(add), &json!(4)), "{spans:#?}");
    assert_eq!((&complete["parent"], &complete["kind"]), (&process["id"], &json!(0)), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_runs_from_a_producer_in_node_through_a_worker_of_ours() {
    let rig = Rig::new().await;
    let ours = Ours::new();
    let producer = rig.make("Queue", json!({ "telemetry": true })).await;
    let one = rig.agent.call(&producer, "add", json!(["echo", { "a": 1 }])).await.unwrap();
    let many = json!([[{ "name": "echo", "data": 1 }]]);
    let many = rig.agent.call(&producer, "addBulk", many).await.unwrap();
    let worker = ours.worker(&rig);
    for (job, span) in [(&one, format!("add {}.echo", rig.name)), (&many[0], format!("addBulk {}", rig.name))]
    {
        let id = job["id"].as_str().unwrap();
        let (trace, add) = carried(&rig, id).await;
        rig.reaches(id, JobState::Completed).await;
        has_run(&rig.name, &add, async || ours.spans_of(&trace)).await;
        let theirs = rig.agent.ask(json!({ "do": "spans", "trace": trace })).await.unwrap();
        assert_eq!((&theirs[0]["name"], &theirs[0]["id"]), (&json!(span), &json!(add)), "{theirs}");
    }
    worker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_runs_from_a_producer_of_ours_through_a_worker_in_node() {
    let rig = Rig::new().await;
    let ours = Ours::new();
    let queue = ours.queue(&rig);
    let id = queue.add_named("echo", &json!({ "a": 1 })).await.unwrap().id.to_string();
    let (trace, add) = carried(&rig, &id).await;
    // Node reads it as its own.
    let context = rig.node("getJob", json!([id])).await["opts"]["telemetry"]["metadata"].clone();
    assert_eq!(context, format!(r#"{{"traceparent":"00-{trace}-{add}-01"}}"#));
    let worker = rig.make("Worker", json!({ "telemetry": true })).await;
    rig.reaches(&id, JobState::Completed).await;
    has_run(&rig.name, &add, async || {
        let spans = rig.agent.ask(json!({ "do": "spans", "trace": trace })).await.unwrap();
        spans.as_array().unwrap().clone()
    })
    .await;
    let mine = ours.spans_of(&trace);
    assert_eq!((mine.len(), &mine[0]["id"]), (1, &json!(add)), "{mine:#?}");
    rig.agent.close(&worker, json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_one_trace_on_either_side() {
    let rig = Rig::new().await;
    let ours = Ours::new();
    let theirs = async |trace: &str| {
        let spans = rig.agent.ask(json!({ "do": "spans", "trace": trace })).await.unwrap();
        spans.as_array().unwrap().clone()
    };
    let (process, node) = (format!("process {}", rig.name), format!("addNode {}", rig.name));
    for adds in Side::BOTH {
        let [root, kid] = ["root", "kid"].map(|id| format!("{adds:?}-{id}"));
        match adds {
            Side::Node => {
                let producer = rig.make("FlowProducer", json!({ "telemetry": true })).await;
                let of = |id: &str| json!({ "name": "echo", "queueName": rig.name, "data": 1, "opts": { "jobId": id } });
                let mut flow = of(&root);
                flow["children"] = json!([of(&kid)]);
                rig.agent.call(&producer, "add", json!([flow])).await.unwrap();
            }
            Side::Rust => {
                let flows =
                    FlowProducer::builder(&rig.store).telemetry(ours.telemetry.clone()).build().unwrap();
                let of = |id: &str| FlowJob::named(&rig.name, "echo", &1).id(id);
                flows.add(of(&root).child(of(&kid))).await.unwrap();
            }
        }
        let ((trace, above), (same, below)) = (carried(&rig, &root).await, carried(&rig, &kid).await);
        assert_eq!(trace, same);
        let of = async |side: Side| match side {
            Side::Node => theirs(&trace).await,
            Side::Rust => ours.spans_of(&trace),
        };
        let added = of(adds).await;
        let find =
            |id: &Value| added.iter().find(|span| &span["id"] == id).unwrap_or_else(|| panic!("{added:#?}"));
        let (above, below) = (find(&json!(above)), find(&json!(below)));
        assert_eq!((&above["name"], &below["name"]), (&json!(node), &json!(node)));
        assert_eq!((&below["parent"], &below["kind"]), (&above["id"], &json!(3)), "{added:#?}");
        assert_eq!(find(&above["parent"])["name"], format!("addFlow {}", rig.name));
        // The other side works on both.
        match adds.other() {
            Side::Node => {
                let worker = rig.make("Worker", json!({ "telemetry": true })).await;
                rig.reaches(&root, JobState::Completed).await;
                rig.agent.close(&worker, json!([])).await;
            }
            Side::Rust => {
                let worker = ours.worker(&rig);
                rig.reaches(&root, JobState::Completed).await;
                worker.close().await.unwrap();
            }
        }
        let worked = of(adds.other()).await;
        let ran: Vec<&Value> = worked.iter().filter(|span| span["name"] == process.as_str()).collect();
        let parents: Vec<&Value> = ran.iter().map(|span| &span["parent"]).collect();
        assert_eq!(parents, [&below["id"], &above["id"]], "{worked:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_to_carry_no_context_begins_a_trace_of_its_own_on_either_side() {
    let rig = Rig::new().await;
    let ours = Ours::new();
    let producer = rig.make("Queue", json!({ "telemetry": true })).await;
    let omit = json!({ "telemetry": { "omitContext": true } });
    let one = rig.agent.call(&producer, "add", json!(["echo", 1, omit])).await.unwrap();
    // Node writes `tm: false` here.
    let many = json!([[{ "name": "echo", "data": 1, "opts": omit }]]);
    let many = rig.agent.call(&producer, "addBulk", many).await.unwrap();
    let from_node = [one["id"].as_str().unwrap(), many[0]["id"].as_str().unwrap()];
    let worker = ours.worker(&rig);
    for id in from_node {
        assert_eq!(rig.view(id).await.unwrap().job.options().trace, None);
        rig.reaches(id, JobState::Completed).await;
    }
    let processed = format!("process {}", rig.name);
    let runs = || {
        let spans = ours.spans.get_finished_spans().unwrap();
        spans.into_iter().filter(|span| span.name == processed.as_str()).collect::<Vec<_>>()
    };
    until("both runs have ended", || async { runs().len() == 2 }).await;
    assert!(runs().iter().all(|span| span.parent_span_id.to_string() == "0".repeat(16)), "{:#?}", runs());
    worker.close().await.unwrap();

    // What ours writes, Node reads as nothing to go on from.
    let opts = oxmq_core::JobOptions::parse(&omit.to_string()).unwrap();
    let id = ours.queue(&rig).add_named("echo", &1).options(opts).await.unwrap().id.to_string();
    assert_eq!(rig.shown(Side::Node, &id).await["opts"]["telemetry"], json!({ "omitContext": true }));
}
