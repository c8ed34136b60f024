// OpenTelemetry as a program in Node sets it up, with BullMQ's own package for it; ended spans are kept.

import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { BullMQOtel } from 'bullmq-otel';

const ended = new InMemorySpanExporter();
let made;

/** The option `telemetry`. */
export function option() {
  if (!made) {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(ended)] }));
    made = new BullMQOtel('interop');
  }
  return made;
}

/** What is to be seen of the spans of a trace. */
export const spansOf = traceId =>
  ended.getFinishedSpans().filter(span => span.spanContext().traceId === traceId).map(span => ({
    name: span.name,
    kind: span.kind,
    id: span.spanContext().spanId,
    parent: span.parentSpanContext?.spanId,
    attributes: span.attributes,
  }));
