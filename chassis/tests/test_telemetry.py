"""Trace context through batches: links to all producers, each event goes on in its own trace."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import names, telemetry


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    # Set once: the SDK allows no second provider in a process.
    made = TracerProvider()
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    yield exporter
    processor.shutdown()


def produced(name: str) -> str:
    with telemetry.tracer.start_as_current_span(name):
        return telemetry.traceparent()


def test_each_sampled_event_goes_on_in_the_trace_it_came_from(spans: InMemorySpanExporter) -> None:
    first, second = produced("first"), produced("second")
    with telemetry.batch("profile process", "g", ["", first, "", second]) as onward:
        pass
    assert onward[0] == onward[2] == ""
    assert [o.split("-")[1] for o in (onward[1], onward[3])] == [
        t.split("-")[1] for t in (first, second)
    ]
    assert onward[1] != first, "it goes on from the consumer's own span"


def test_the_span_of_a_batch_is_linked_to_all_its_producers(spans: InMemorySpanExporter) -> None:
    produced_by = [produced(str(n)) for n in range(3)]
    with telemetry.batch("profile process", "g", produced_by):
        pass
    batch = next(s for s in spans.get_finished_spans() if len(s.links) == 3)
    assert {f"{link.context.trace_id:032x}" for link in batch.links} == {
        t.split("-")[1] for t in produced_by
    }


def test_nothing_sampled_costs_no_span(spans: InMemorySpanExporter) -> None:
    with telemetry.batch("profile process", "g", [""] * 100) as onward:
        assert telemetry.traceparent() == ""
    assert onward == [""] * 100
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("broken", ["x", "00-1-2", "00-zz-11-01", "00-0-0-01", "----", "a-b-c-d"])
def test_a_broken_trace_context_is_no_trace(spans: InMemorySpanExporter, broken: str) -> None:
    assert telemetry.parent(broken) is None
    with telemetry.batch("profile process", "g", [broken]) as onward:
        assert onward == [""]


def test_of_traces_that_begin_here_a_share_is_chosen_and_recorded_whole(
    spans: InMemorySpanExporter, provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_whole", provider.get_tracer("whole"))
    for share, least, most in ((0.0, 0, 0), (0.25, 100, 400), (1.0, 1_000, 1_000)):
        monkeypatch.setattr(telemetry, "_share", share)
        assert least <= sum(telemetry.chosen() for _ in range(1_000)) <= most
    with telemetry.begun("webhook", SpanKind.SERVER) as context:
        inside = produced("send message")
    assert int(context.rpartition("-")[2], 16) & 1
    assert context.split("-")[1] == inside.split("-")[1], "what is inside is of the same trace"
    assert {span.name for span in spans.get_finished_spans()} == {"webhook", "send message"}


def test_a_tally_tells_all_that_was_counted_by_its_attributes() -> None:
    tally = telemetry.Tally("merhaba.webhook.requests")
    for _ in range(3):
        tally.add(1, {names.OUTCOME: "accepted"})
    tally.add(2, {names.OUTCOME: "broken"})
    for _ in range(2):  # read by two readers: it only grows
        told = [(one.attributes, one.value) for one in tally.told(CallbackOptions())]
        assert told == [({names.OUTCOME: "accepted"}, 3), ({names.OUTCOME: "broken"}, 2)]
