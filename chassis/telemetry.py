"""Traces and metrics. Without an OTLP endpoint nothing is exported and little is spent.

Trace context rides inside each event of the log, and only when its trace is sampled. A consumer
opens one span for its batch, linked to the producers, and one span per sampled event inside that
event's own trace: so one trace shows a webhook's whole way, and the batch shows who shared it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypedDict

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from chassis import names
from chassis.settings import ServiceSettings


class _Wordless(TypedDict):
    record_exception: bool
    set_status_on_exception: bool


_MOST_LINKS = 128  # the SDK keeps no more
_LENGTHS = [2, 32, 16, 2]  # version, trace id, span id, flags: W3C Trace Context

WORDLESS: Final[_Wordless] = {"record_exception": False, "set_status_on_exception": False}
"""For spans: what an exception says can be anything, a person's data included, so no span says it.
"""

tracer = trace.get_tracer("merhaba")
_meter = metrics.get_meter("merhaba")


@contextmanager
def telemetry(service: str, settings: ServiceSettings) -> Iterator[None]:
    """Export traces and metrics for as long as the block runs; flushes at its end."""
    if not settings.otel_exporter_otlp_endpoint:
        yield
        return
    endpoint = settings.otel_exporter_otlp_endpoint
    insecure = endpoint.startswith("http://")
    resource = Resource.create({names.SERVICE: service, names.INSTANCE: settings.instance})
    traces = TracerProvider(
        resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.trace_sample_ratio))
    )
    traces.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure), schedule_delay_millis=1000)
    )
    trace.set_tracer_provider(traces)
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint, insecure), export_interval_millis=10_000
    )
    meters = MeterProvider([reader], resource)
    metrics.set_meter_provider(meters)
    try:
        yield
    finally:
        traces.shutdown()
        meters.shutdown()


def counter(name: names.Metric, unit: str) -> Counter:
    """A counter by its registered name."""
    return _meter.create_counter(name, unit)


def histogram(name: names.Metric, unit: str) -> Histogram:
    """A histogram by its registered name."""
    return _meter.create_histogram(name, unit)


def traceparent() -> str:
    """The current span as W3C trace context, or nothing when it is not sampled."""
    return _write(trace.get_current_span().get_span_context())


def parent(value: str) -> Context | None:
    """The trace context in `value`, to be the parent of a span; None when there is none."""
    context = _read(value)
    return None if context is None else trace.set_span_in_context(NonRecordingSpan(context))


@contextmanager
def batch(name: names.Span, group: str, traceparents: Sequence[str]) -> Iterator[list[str]]:
    """Trace the handling of a batch whose events carry `traceparents` (empty: not sampled).

    Yields the trace context that what follows from each event is to carry, in the same order.
    Costs nothing when no event is sampled.
    """
    sampled = [(i, c) for i, t in enumerate(traceparents) if t and (c := _read(t)) is not None]
    if not sampled:
        yield [""] * len(traceparents)
        return
    sampled = sampled[:_MOST_LINKS]
    attributes = {names.MESSAGING_SYSTEM: "redis", names.MESSAGING_GROUP: group}
    span = tracer.start_span(
        name,
        context=trace.set_span_in_context(NonRecordingSpan(sampled[0][1])),
        kind=SpanKind.CONSUMER,
        links=[Link(context) for _, context in sampled],
        attributes={**attributes, names.MESSAGING_BATCH: len(traceparents)},
    )
    onward = [""] * len(traceparents)
    onward[sampled[0][0]] = _write(span.get_span_context())
    spans = [span]
    for index, context in sampled[1:]:
        own = tracer.start_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(context)),
            kind=SpanKind.CONSUMER,
            links=[Link(span.get_span_context())],
            attributes=attributes,
        )
        onward[index] = _write(own.get_span_context())
        spans.append(own)
    try:
        with trace.use_span(span, end_on_exit=False, **WORDLESS):
            yield onward
    except Exception as error:
        span.set_status(StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        for each in spans:
            each.end()


def _write(context: SpanContext) -> str:
    if not context.is_valid or not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _read(value: str) -> SpanContext | None:
    parts = value.split("-")
    if [len(part) for part in parts] != _LENGTHS:
        return None
    try:
        context = SpanContext(
            trace_id=int(parts[1], 16),
            span_id=int(parts[2], 16),
            is_remote=True,
            trace_flags=TraceFlags(int(parts[3], 16)),
        )
    except ValueError:
        return None
    return context if context.is_valid else None
