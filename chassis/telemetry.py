"""Traces and metrics. Without an OTLP endpoint and a metrics port nothing is kept and little spent.

Trace context rides inside each event of the log, and only when its trace is sampled. A consumer
opens one span for its batch, linked to the producers, and one span per sampled event inside that
event's own trace: so one trace shows a webhook's whole way, and the batch shows who shared it.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import random
from typing import Final, TypedDict

import prometheus_client
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from chassis import names
from chassis.failures import Misconfigured
from chassis.settings import ServiceSettings


class _Wordless(TypedDict):
    record_exception: bool
    set_status_on_exception: bool


_MOST_LINKS = 128  # the SDK keeps no more
_LENGTHS = [2, 32, 16, 2]  # version, trace id, span id, flags: W3C Trace Context

WORDLESS: Final[_Wordless] = {"record_exception": False, "set_status_on_exception": False}
"""For spans: what an exception says can be anything, a person's data included, so no span says it.
"""

# Bounds that the conventions recommend for durations; and of counts in a batch.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SIZES: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)

tracer = trace.get_tracer("merhaba")
_meter = metrics.get_meter("merhaba")
_whole: trace.Tracer = trace.NoOpTracer()  # records whatever is begun with it
_share = 0.0  # of traces that begin in this process


@contextmanager
def telemetry(service: str, settings: ServiceSettings) -> Iterator[None]:
    """Export traces and metrics for as long as the block runs; flushes at its end. Metrics go one
    way, to Prometheus where it reads them: each reader keeps sums of its own, at half as much
    again for whatever is counted.

    Raises `Misconfigured` naming the port of metrics when it is taken.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    insecure = endpoint.startswith("http://")
    resource = Resource.create({names.SERVICE: service, names.INSTANCE: settings.instance})
    with ExitStack() as stack:
        readers: list[MetricReader] = []
        if endpoint:
            stack.callback(_trace(resource, endpoint, insecure, settings.trace_sample_ratio))
        if settings.metrics_port is not None:
            readers.append(PrometheusMetricReader(scope_info_enabled=False))
            stack.callback(_scraped(settings.grpc_host, settings.metrics_port))
        elif endpoint:
            exporter = OTLPMetricExporter(endpoint, insecure)
            readers.append(PeriodicExportingMetricReader(exporter, export_interval_millis=10_000))
        if readers:
            meters = MeterProvider(readers, resource)
            metrics.set_meter_provider(meters)
            stack.callback(meters.shutdown)
        yield


def _trace(resource: Resource, endpoint: str, insecure: bool, ratio: float) -> Callable[[], None]:
    """Export spans; returns what ends that."""
    global _whole, _share
    batches = BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure), schedule_delay_millis=1000)
    sampled = TracerProvider(
        resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False
    )
    sampled.add_span_processor(batches)
    trace.set_tracer_provider(sampled)
    # For what is chosen before its span is made, and for what fails, chosen or not.
    whole = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)
    whole.add_span_processor(batches)
    _whole, _share = whole.get_tracer("merhaba"), ratio
    return sampled.shutdown


def _scraped(host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics` to Prometheus; returns what ends that."""
    try:
        server, thread = prometheus_client.start_http_server(port, host)
    except OSError:
        raise Misconfigured(
            f"METRICS_PORT: {host}:{port} is taken; stop what listens there or choose another"
        ) from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def failed(
    name: str, kind: SpanKind, error: str, attributes: Mapping[str, str] | None = None
) -> None:
    """Keep a trace of what failed where the current span does not, since its trace was not chosen:
    a span of the same trace that says what kind of error it was."""
    current = trace.get_current_span().get_span_context()
    if current.trace_flags.sampled:
        return
    span = _whole.start_span(
        name, kind=kind, attributes={**(attributes or {}), names.ERROR_TYPE: error}
    )
    span.set_status(StatusCode.ERROR, error)
    span.end()


def chosen() -> bool:
    """Whether a trace that begins now is to be recorded. Asked before anything is made for it: a
    span that is not recorded costs as much as reading a status."""
    return random() < _share  # noqa: S311 - nobody gains by guessing it


@contextmanager
def begun(name: names.Span, kind: SpanKind) -> Iterator[str]:
    """The first span of a trace that was `chosen`; yields its context, for events to carry."""
    with _whole.start_as_current_span(name, kind=kind, **WORDLESS):
        yield traceparent()


class Tally:
    """A counter for what is counted thousands of times a second: added up here, and told when
    somebody reads, at a tenth of what telling each costs."""

    def __init__(self, name: names.Metric) -> None:
        """`name`: registered."""
        self._counts: Counts[tuple[tuple[str, str], ...]] = Counts()
        _meter.create_observable_counter(name, [self.told], *names.METRICS[name])

    def add(self, amount: int, attributes: Mapping[str, str]) -> None:
        """Count."""
        self._counts[tuple(attributes.items())] += amount

    def told(self, _options: CallbackOptions) -> Iterable[Observation]:
        """All there were, by attributes. Called by another thread."""
        return [Observation(count, dict(of)) for of, count in self._counts.copy().items()]


def counter(name: names.Metric) -> Counter:
    """A counter by its registered name."""
    return _meter.create_counter(name, *names.METRICS[name])


def histogram(name: names.Metric) -> Histogram:
    """A histogram by its registered name."""
    unit, says = names.METRICS[name]
    bounds = _SECONDS if unit == "s" else _SIZES
    return _meter.create_histogram(name, unit, says, explicit_bucket_boundaries_advisory=bounds)


def gauge(name: names.Metric) -> Gauge:
    """A gauge by its registered name: it keeps the value that was set last for some attributes."""
    return _meter.create_gauge(name, *names.METRICS[name])


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
