//! OpenTelemetry's own SDK behind the feature `otel`: one trace through a job, and the figures.
#![cfg(all(feature = "sqlite", feature = "otel"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when something is wrong")]

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use oxmq::otel::OpenTelemetry;
use oxmq::otel::opentelemetry::baggage::BaggageExt;
use oxmq::otel::opentelemetry::propagation::TextMapCompositePropagator;
use oxmq::otel::opentelemetry::trace::{
    FutureExt, SpanId, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use oxmq::otel::opentelemetry::{Context, KeyValue, Value};
use oxmq::{HandlerError, JobContext, JobOutcome, Queue, Store, Worker};

const PATIENCE: Duration = Duration::from_secs(20);

struct Recording {
    spans: InMemorySpanExporter,
    traces: SdkTracerProvider,
}

impl Recording {
    fn new() -> Self {
        let spans = InMemorySpanExporter::default();
        let traces = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        Self { spans, traces }
    }

    /// The spans with this name, in the order in which they ended.
    fn named(&self, name: &str) -> Vec<SpanData> {
        let spans = self.spans.get_finished_spans().unwrap();
        spans.into_iter().filter(|span| span.name == name).collect()
    }

    fn one(&self, name: &str) -> SpanData {
        let mut spans = self.named(name);
        assert_eq!(spans.len(), 1, "{name}: {spans:#?}");
        spans.remove(0)
    }
}

fn attribute(span: &SpanData, name: &str) -> Option<Value> {
    span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.clone())
}

fn is_under(child: &SpanData, parent: &SpanData) {
    assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id(), "{child:#?}");
    assert_eq!(child.parent_span_id, parent.span_context.span_id(), "{child:#?}");
}

async fn store() -> Arc<dyn Store> {
    oxmq::connect("sqlite::memory:").await.unwrap()
}

#[tokio::test]
async fn a_trace_runs_from_the_producers_request_through_the_job_into_the_handlers_own_spans() {
    let recording = Recording::new();
    let telemetry = Arc::new(OpenTelemetry::new(&recording.traces));
    let store = store().await;
    let queue = Queue::builder(&store, "mail").telemetry(telemetry.clone()).build().unwrap();
    let tracer = Arc::new(recording.traces.tracer("the program's own"));

    let request = Context::current_with_span(tracer.start("request"));
    let add = async { queue.add_named("welcome", &7).await.unwrap() };
    let id = add.with_context(request.clone()).await.id;
    request.span().end();
    let carried = queue.job(&id).await.unwrap().unwrap().job.options().trace.unwrap();
    let add = recording.one("add mail.welcome");
    let context = &add.span_context;
    let expected = format!(r#"{{"traceparent":"00-{}-{}-01"}}"#, context.trace_id(), context.span_id());
    assert_eq!(carried, expected);

    let own = tracer.clone();
    let handler = move |_: u64, job: JobContext| {
        let tracer = own.clone();
        async move {
            tokio::task::yield_now().await;
            job.log("on its way").await?;
            let mut span = tracer.start("send the mail");
            oxmq::otel::opentelemetry::trace::Span::end(&mut span);
            Ok::<u32, HandlerError>(1)
        }
    };
    let worker = Worker::builder(&store, "mail").name("w").telemetry(telemetry).handle_any(handler);
    let worker = worker.start().unwrap();
    let outcome = queue.wait_for(&id, Some(PATIENCE)).await.unwrap();
    assert!(matches!(outcome, JobOutcome::Completed(_)), "{outcome:?}");
    worker.close().await.unwrap();

    let process = recording.one("process mail");
    is_under(&add, &recording.one("request"));
    is_under(&process, &add);
    is_under(&recording.one("send the mail"), &process);
    is_under(&recording.one("complete mail"), &process);
    assert_eq!((&add.span_kind, &process.span_kind), (&SpanKind::Producer, &SpanKind::Consumer));
    assert!(process.parent_span_is_remote);
    assert_eq!(attribute(&process, "bullmq.job.id"), Some(id.to_string().into()));
    assert_eq!(attribute(&process, "bullmq.job.attempts.made"), Some(1.into()));
    assert_eq!(process.events.iter().map(|event| event.name.as_ref()).collect::<Vec<_>>(), ["job completed"]);
    assert_eq!((process.status, process.instrumentation_scope.name()), (Status::Unset, "oxmq"));
    // What a worker does for the queue is in no job's trace.
    for duty in recording.named("moveStalledJobsToWait mail") {
        assert_eq!(duty.parent_span_id, SpanId::INVALID, "{duty:#?}");
    }
    assert_eq!(recording.named("close mail").len(), 1);
}

#[tokio::test]
async fn failures_are_errors_of_their_spans_and_endings_are_counted() {
    let recording = Recording::new();
    let exporter = InMemoryMetricExporter::default();
    let meters =
        SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    let telemetry = Arc::new(OpenTelemetry::new(&recording.traces).with_meter(&meters));
    let store = store().await;
    let queue = Queue::builder(&store, "q").telemetry(telemetry.clone()).build().unwrap();
    let handler = async |good: bool| if good { Ok::<(), _>(()) } else { Err(HandlerError::from("boom")) };
    let worker = Worker::builder(&store, "q").telemetry(telemetry).handle_any(handler).start().unwrap();
    let jobs = [("good", true, 0), ("bad", false, 2)];
    for (name, good, attempts) in jobs {
        let id = queue.add_named(name, &good).attempts(attempts).await.unwrap().id;
        queue.wait_for(&id, Some(PATIENCE)).await.unwrap();
    }
    queue.record_counts().await.unwrap();
    worker.close().await.unwrap();
    meters.force_flush().unwrap();

    let tries: Vec<SpanData> = recording
        .named("process q")
        .into_iter()
        .filter(|span| attribute(span, "bullmq.job.name") == Some("bad".into()))
        .collect();
    assert_eq!(tries.len(), 2);
    for span in &tries {
        is_under(span, &recording.one("add q.bad"));
        assert_eq!(span.status, Status::error("boom"));
        let events: Vec<_> = span.events.iter().map(|event| event.name.as_ref()).collect();
        assert_eq!(events, ["job failed", "exception"]);
    }
    is_under(&recording.one("retry q"), &tries[0]);
    is_under(&recording.one("fail q"), &tries[1]);

    let mut found: Vec<(String, String, u64)> = Vec::new();
    let text = |pairs: &mut dyn Iterator<Item = &KeyValue>| {
        let mut pairs: Vec<String> = pairs.map(|pair| pair.value.to_string()).collect();
        pairs.sort();
        pairs.join(" ")
    };
    for metrics in exporter.get_finished_metrics().unwrap() {
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics().collect::<Vec<_>>()) {
            let AggregatedMetrics::U64(data) = metric.data() else { panic!("{metric:?}") };
            let points: Vec<_> = match data {
                MetricData::Sum(sum) => {
                    sum.data_points().map(|point| (text(&mut point.attributes()), point.value())).collect()
                }
                MetricData::Gauge(gauge) => {
                    gauge.data_points().map(|point| (text(&mut point.attributes()), point.value())).collect()
                }
                MetricData::Histogram(histogram) => histogram
                    .data_points()
                    .map(|point| (text(&mut point.attributes()), point.count()))
                    .collect(),
                MetricData::ExponentialHistogram(_) => panic!("{metric:?}"),
            };
            let name = metric.name();
            found.extend(points.into_iter().map(|(attributes, value)| (name.to_owned(), attributes, value)));
        }
    }
    for expected in [
        ("bullmq.jobs.completed", "completed good q", 1),
        ("bullmq.jobs.retried", "bad q retried", 1),
        ("bullmq.jobs.failed", "bad failed q", 1),
        ("bullmq.job.duration", "completed good q", 1),
        ("bullmq.job.duration", "bad q retried", 1),
        ("bullmq.job.duration", "bad failed q", 1),
        ("bullmq.queue.jobs", "completed q", 1),
        ("bullmq.queue.jobs", "failed q", 1),
        ("bullmq.queue.jobs", "q waiting", 0),
    ] {
        let (name, attributes, value) = expected;
        assert!(
            found.contains(&(name.into(), attributes.into(), value)),
            "{expected:?} is not in {found:#?}"
        );
    }
}

#[tokio::test]
async fn a_propagator_of_the_programs_own_carries_more_than_the_trace() {
    let recording = Recording::new();
    let both = TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]);
    let telemetry = Arc::new(OpenTelemetry::new(&recording.traces).with_propagator(both));
    let store = store().await;
    let queue = Queue::builder(&store, "q").telemetry(telemetry.clone()).build().unwrap();
    let baggage = Context::new().with_baggage([KeyValue::new("customer", "7")]);
    let add = async { queue.add_named("a", &1).await.unwrap().id };
    let id = add.with_context(baggage).await;
    let handler = async |_: u64| {
        let customer = Context::current().baggage().get("customer").map(ToString::to_string);
        Ok::<Option<String>, HandlerError>(customer)
    };
    let worker = Worker::builder(&store, "q").telemetry(telemetry).handle_any(handler).start().unwrap();
    let JobOutcome::Completed(result) = queue.wait_for(&id, Some(PATIENCE)).await.unwrap() else { panic!() };
    assert_eq!(result.read::<Option<String>>().unwrap().as_deref(), Some("7"));
    worker.close().await.unwrap();
    is_under(&recording.one("process q"), &recording.one("add q.a"));
}
