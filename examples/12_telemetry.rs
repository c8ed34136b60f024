//! One trace from the request through the job into the handler's own spans, and the figures as Prometheus text.
#![allow(clippy::print_stdout, reason = "a tutorial shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use oxmq::metrics::prometheus;
use oxmq::otel::OpenTelemetry;
use oxmq::otel::opentelemetry::trace::{FutureExt, SpanId, TraceContextExt, Tracer, TracerProvider};
use oxmq::otel::opentelemetry::{Context, global};
use oxmq::{HandlerError, JobOutcome, Queue, Worker};

/// What a handler traces lies under its job, without a word about it.
async fn resize(file: String) -> Result<String, HandlerError> {
    let decoded = global::tracer("pictures").in_span("decode", |_| file.to_uppercase());
    Ok(decoded)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A program would export with `opentelemetry-otlp`. This one keeps the spans to show them.
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    global::set_tracer_provider(provider.clone());

    let telemetry = Arc::new(OpenTelemetry::global());
    let store = oxmq::connect("sqlite::memory:").await?;
    let queue = Queue::builder(&store, "pictures").telemetry(telemetry.clone()).build()?;
    let worker = Worker::builder(&store, "pictures").telemetry(telemetry).handle_named("resize", resize);
    let worker = worker.start()?;

    let request = Context::current_with_span(provider.tracer("web").start("POST /pictures"));
    let add = async { queue.add_named("resize", "cat.jpg").await };
    let added = add.with_context(request.clone()).await?;
    request.span().end();

    let outcome = queue.wait_for(added.id, Some(Duration::from_secs(10))).await?;
    anyhow::ensure!(matches!(outcome, JobOutcome::Completed(_)), "{outcome:?}");
    let handle = worker.handle();
    worker.close().await?;

    let trace = request.span().span_context().trace_id();
    let spans = spans.get_finished_spans()?;
    let children = |parent: SpanId| {
        spans
            .iter()
            .filter(move |span| span.span_context.trace_id() == trace && span.parent_span_id == parent)
    };
    let mut way: Vec<(usize, &opentelemetry_sdk::trace::SpanData)> =
        children(SpanId::INVALID).map(|span| (0, span)).collect();
    let mut names = Vec::new();
    while let Some((depth, span)) = way.pop() {
        println!("{:depth$}{}", "", span.name, depth = depth * 2);
        names.push(span.name.as_ref());
        way.extend(children(span.span_context.span_id()).map(|child| (depth + 1, child)));
    }
    names.sort_unstable();
    let expected =
        ["POST /pictures", "add pictures.resize", "complete pictures", "decode", "process pictures"];
    anyhow::ensure!(names == expected, "{names:?}");

    // For an endpoint that Prometheus reads.
    let figures = queue.figures().await?.with_worker(&handle.stats());
    let text = prometheus(&[figures], &store.call_times(), &[("env", "example")])?;
    println!("\n{text}");
    anyhow::ensure!(
        text.contains(r#"bullmq_job_count{queue="pictures", state="completed", env="example"} 1"#),
        "{text}"
    );
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
