//! OpenTelemetry: spans and figures of queues and workers, and one trace from a producer in Node through a worker here.
//!
//! Only OpenTelemetry's API is used; what records and exports is the program's choice. It must be of the same version,
//! 0.33, or nothing is recorded, without a word: [`opentelemetry`] is that API.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use oxmq::otel::OpenTelemetry;
//! use oxmq::{HandlerError, Queue, Worker};
//!
//! async fn work() -> oxmq::Result<()> {
//!     // After the program has set its tracer provider, and its meter provider.
//!     let telemetry = Arc::new(OpenTelemetry::global().with_global_meter());
//!     let store = oxmq::connect("sqlite:jobs.db").await?;
//!     let queue = Queue::builder(&store, "emails").telemetry(telemetry.clone()).build()?;
//!     queue.add_named("welcome", &7).await?;
//!     // Spans that the handler starts are under the job's, which is under the one that added it.
//!     let welcome = async |_user: u64| Ok::<(), HandlerError>(());
//!     Worker::builder(&store, "emails").telemetry(telemetry).handle_any(welcome).run().await
//! }
//! ```
//!
//! What spans and figures there are: [`telemetry`](crate::telemetry). The context travels as the JSON of a carrier,
//! `{"traceparent":"00-.."}`, which is what the npm package `bullmq-otel` writes and reads.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

pub use opentelemetry;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter as ApiMeter, MeterProvider};
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as ApiKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value as ApiValue};
use oxmq_core::telemetry::{AttributeValue, Meter, Span, SpanKind, SpanParent, Telemetry, figure};

/// The longest carried context that is read, in bytes. It comes from outside.
pub const CARRIER_BYTES_MAX: usize = 16 << 10;

/// [`Telemetry`] through OpenTelemetry; for [`QueueBuilder::telemetry`](crate::QueueBuilder::telemetry) and
/// [`WorkerBuilder::telemetry`](crate::WorkerBuilder::telemetry).
pub struct OpenTelemetry {
    tracer: BoxedTracer,
    meter: Option<Figures>,
    propagator: Arc<Propagator>,
}

impl OpenTelemetry {
    /// With the program's global tracer provider, as it is now: set that before.
    pub fn global() -> Self {
        Self::with(global::tracer_with_scope(scope()))
    }

    /// With a tracer provider.
    pub fn new<P>(provider: &P) -> Self
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as Tracer>::Span: Send + Sync + 'static,
    {
        Self::with(BoxedTracer::new(Box::new(provider.tracer_with_scope(scope()))))
    }

    fn with(tracer: BoxedTracer) -> Self {
        Self { tracer, meter: None, propagator: Arc::new(Propagator::Global) }
    }

    /// Gives figures to the program's global meter provider, as it is now.
    #[must_use]
    pub fn with_global_meter(mut self) -> Self {
        self.meter = Some(Figures::new(&global::meter_with_scope(scope())));
        self
    }

    /// Gives figures to a meter provider. Without one of these two there are no figures.
    #[must_use]
    pub fn with_meter(mut self, provider: &impl MeterProvider) -> Self {
        self.meter = Some(Figures::new(&provider.meter_with_scope(scope())));
        self
    }

    /// Writes and reads the context of a job with this propagator. Default: the program's global one, and W3C Trace
    /// Context as long as it has none.
    #[must_use]
    pub fn with_propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.propagator = Arc::new(Propagator::Own(Box::new(propagator)));
        self
    }
}

impl Telemetry for OpenTelemetry {
    fn start(&self, name: &str, kind: SpanKind, parent: SpanParent<'_>) -> Arc<dyn Span> {
        let kind = match kind {
            SpanKind::Producer => ApiKind::Producer,
            SpanKind::Consumer => ApiKind::Consumer,
            _ => ApiKind::Internal,
        };
        let parent = match parent {
            SpanParent::Current => Context::current(),
            SpanParent::Carried(text) => self.propagator.read(text),
            _ => Context::new(),
        };
        let builder = self.tracer.span_builder(name.to_owned()).with_kind(kind);
        let span = self.tracer.build_with_context(builder, &parent);
        Arc::new(OpenSpan { context: parent.with_span(span), propagator: self.propagator.clone() })
    }

    fn meter(&self) -> Option<&dyn Meter> {
        self.meter.as_ref().map(|figures| figures as &dyn Meter)
    }
}

impl fmt::Debug for OpenTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTelemetry")
            .field("meter", &self.meter.is_some())
            .field("propagator", &self.propagator)
            .finish_non_exhaustive()
    }
}

/// Who tells these spans and figures.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("oxmq").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A span, in the context that it is the current one of.
struct OpenSpan {
    context: Context,
    propagator: Arc<Propagator>,
}

impl Span for OpenSpan {
    fn set(&self, name: &'static str, value: AttributeValue) {
        self.context.span().set_attribute(KeyValue::new(name, api_value(value)));
    }

    fn event(&self, name: &'static str, attributes: &[(&'static str, AttributeValue)]) {
        self.context.span().add_event(name, key_values(attributes));
    }

    fn error(&self, message: &str) {
        let span = self.context.span();
        span.add_event("exception", vec![KeyValue::new("exception.message", message.to_owned())]);
        span.set_status(Status::error(message.to_owned()));
    }

    fn context(&self) -> Option<String> {
        self.propagator.write(&self.context)
    }

    fn within(&self, work: &mut dyn FnMut()) {
        let _current = self.context.clone().attach();
        work();
    }

    fn end(&self) {
        self.context.span().end();
    }
}

/// The instruments, by the names of the figures.
struct Figures {
    counters: BTreeMap<&'static str, Counter<u64>>,
    duration: Histogram<u64>,
    jobs: Gauge<u64>,
}

impl Figures {
    fn new(meter: &ApiMeter) -> Self {
        let names = [
            (figure::JOBS_COMPLETED, "Jobs that completed"),
            (figure::JOBS_FAILED, "Jobs that failed for good"),
            (figure::JOBS_RETRIED, "Tries that failed and are followed by another at once"),
            (figure::JOBS_DELAYED, "Jobs that run again later"),
            (figure::JOBS_WAITING, "Jobs that were given back"),
            (figure::JOBS_WAITING_CHILDREN, "Jobs that wait for their children by their own wish"),
        ];
        let counter =
            |(name, text)| (name, meter.u64_counter(name).with_description(text).with_unit("1").build());
        let duration = meter.u64_histogram(figure::JOB_DURATION).with_description("Job processing duration");
        let jobs =
            meter.u64_gauge(figure::QUEUE_JOBS).with_description("Number of jobs in the queue by state");
        Self {
            counters: names.into_iter().map(counter).collect(),
            duration: duration.with_unit("ms").build(),
            jobs: jobs.with_unit("{jobs}").build(),
        }
    }
}

impl Meter for Figures {
    fn count(&self, name: &'static str, attributes: &[(&'static str, AttributeValue)]) {
        if let Some(counter) = self.counters.get(name) {
            counter.add(1, &key_values(attributes));
        }
    }

    fn duration(&self, name: &'static str, millis: u64, attributes: &[(&'static str, AttributeValue)]) {
        if name == figure::JOB_DURATION {
            self.duration.record(millis, &key_values(attributes));
        }
    }

    fn gauge(&self, name: &'static str, value: u64, attributes: &[(&'static str, AttributeValue)]) {
        if name == figure::QUEUE_JOBS {
            self.jobs.record(value, &key_values(attributes));
        }
    }
}

fn key_values(attributes: &[(&'static str, AttributeValue)]) -> Vec<KeyValue> {
    attributes.iter().map(|(name, value)| KeyValue::new(*name, api_value(value.clone()))).collect()
}

fn api_value(value: AttributeValue) -> ApiValue {
    match value {
        AttributeValue::Text(text) => text.into(),
        AttributeValue::Int(number) => number.into(),
        AttributeValue::Bool(yes) => yes.into(),
        AttributeValue::Texts(texts) => {
            ApiValue::Array(Array::String(texts.into_iter().map(StringValue::from).collect()))
        }
        other => format!("{other:?}").into(),
    }
}

/// Who writes and reads the context of a job.
#[derive(Debug)]
enum Propagator {
    Global,
    Own(Box<dyn TextMapPropagator + Send + Sync>),
}

impl Propagator {
    fn write(&self, context: &Context) -> Option<String> {
        let mut carrier = Carrier::default();
        self.call(|propagator| propagator.inject_context(context, &mut carrier));
        if carrier.0.is_empty() { None } else { serde_json::to_string(&carrier.0).ok() }
    }

    /// The context of a carried text. It holds nothing if the text is not understood.
    fn read(&self, text: &str) -> Context {
        if text.len() > CARRIER_BYTES_MAX {
            return Context::new();
        }
        let members: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
        let texts = members.into_iter().filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            _ => None,
        });
        let carrier = Carrier(texts.collect());
        self.call(|propagator| propagator.extract_with_context(&Context::new(), &carrier))
    }

    fn call<T>(&self, mut work: impl FnMut(&dyn TextMapPropagator) -> T) -> T {
        match self {
            Self::Own(propagator) => work(&**propagator),
            Self::Global => global::get_text_map_propagator(|global| {
                if global.fields().next().is_some() { work(global) } else { work(&TraceContext) }
            }),
        }
    }
}

/// The fields of a context, by name. The order is that of the names, so that equal contexts are equal text.
#[derive(Default)]
struct Carrier(BTreeMap<String, String>);

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}

impl Extractor for Carrier {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// W3C Trace Context. The SDK has it too, but is ten times as large as the API, and whoever uses the default has set
/// up none of it.
#[derive(Debug)]
struct TraceContext;

impl TextMapPropagator for TraceContext {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return;
        }
        let flags = span.trace_flags() & TraceFlags::SAMPLED;
        let text = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), flags.to_u8());
        injector.set(TRACEPARENT, text);
        let state = span.trace_state().header();
        if !state.is_empty() {
            injector.set(TRACESTATE, state);
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        match extractor.get(TRACEPARENT).and_then(|parent| remote(parent, extractor.get(TRACESTATE))) {
            Some(remote) => context.with_remote_span_context(remote),
            None => context.clone(),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: LazyLock<[String; 2]> =
            LazyLock::new(|| [TRACEPARENT.to_owned(), TRACESTATE.to_owned()]);
        FieldIter::new(&*FIELDS)
    }
}

/// The span that a `traceparent` names. A later version may have more parts, which are passed over.
fn remote(parent: &str, state: Option<&str>) -> Option<SpanContext> {
    let mut parts = parent.trim().split('-');
    let mut hex = |digits: usize| {
        let good = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        parts.next().filter(|part| part.len() == digits && part.bytes().all(good))
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, state)).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    fn fields(span: &SpanContext, propagator: &dyn TextMapPropagator) -> BTreeMap<String, String> {
        let mut carrier = Carrier::default();
        propagator.inject_context(&Context::new().with_remote_span_context(span.clone()), &mut carrier);
        carrier.0
    }

    #[test]
    fn trace_context_is_written_and_read_as_the_sdk_does() {
        let sdk = TraceContextPropagator::new();
        for (trace, span, flags, state) in [
            (1, 2, 0, ""),
            (u128::MAX, u64::MAX, 1, "a=1,b=2"),
            (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331, 1, ""),
            // Not valid: nothing is written.
            (0, 2, 1, ""),
            (1, 0, 1, ""),
        ] {
            let state = TraceState::from_str(state).unwrap();
            let flags = TraceFlags::new(flags);
            let span = SpanContext::new(TraceId::from(trace), SpanId::from(span), flags, true, state);
            let ours = fields(&span, &TraceContext);
            let mut theirs = fields(&span, &sdk);
            theirs.retain(|_, value| !value.is_empty());
            assert_eq!(ours, theirs);
            let read = TraceContext.extract_with_context(&Context::new(), &Carrier(ours));
            let expected = if span.is_valid() { span } else { SpanContext::NONE };
            assert_eq!(*read.span().span_context(), expected);
        }
    }

    #[test]
    fn text_that_is_no_context_is_none() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let read = |parent: &str| remote(parent, None);
        assert!(read(&format!("00-{trace}-{span}-01")).is_some());
        assert!(read(&format!(" 00-{trace}-{span}-00 ")).is_some());
        assert!(read(&format!("01-{trace}-{span}-01-later")).is_some());
        for parent in [
            String::new(),
            "00".into(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-+{}-01", &span[1..]),
            format!("00-{trace}-{span}-0é"),
        ] {
            assert!(read(&parent).is_none(), "{parent}");
        }
        let propagator = Propagator::Own(Box::new(TraceContext));
        let carried = format!(r#"{{"other":1,"traceparent":"00-{trace}-{span}-01"}}"#);
        assert!(propagator.read(&carried).span().span_context().is_remote());
        let long = format!("{carried}{}", " ".repeat(CARRIER_BYTES_MAX));
        for text in ["", "no", "[]", r#"{"traceparent":7}"#, r#"{"traceparent":"x"}"#, &long] {
            assert!(!propagator.read(text).has_active_span(), "{text}");
        }
    }
}
