"""What a process exports: metrics that Prometheus reads, sampled traces, and failures always."""

import os
import re
import socket
import subprocess
import sys
import typing

import pytest

from chassis import names
from tests.collector import Collector, collecting
from tests.deploy.conftest import program


@pytest.fixture(scope="module")
def collector() -> typing.Iterator[Collector]:
    with collecting() as kept:
        yield kept


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def exported(**settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.telemetry.exporting"],
        env={
            "PATH": os.environ["PATH"],
            "PLAINTEXT": "true",
            "API_TOKEN": "x",
            "DATABASE_URL": "postgresql://nowhere",
            "REDIS_URL": "redis://nowhere",
            "GRPC_HOST": "127.0.0.1",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_prometheus_reads_what_is_measured() -> None:
    done = exported(METRICS_PORT=str(free_port()))
    assert done.returncode == 0, done.stderr
    text = done.stdout.partition("\n")[2]
    checked = subprocess.run(
        [program("promtool", "metrics cannot be checked"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for line in (
        'merhaba_sender_cost_total{merhaba_category="marketing",merhaba_currency="TRY"} 1.5',
        'merhaba_consumer_lag_seconds{messaging_consumer_group_name="profile"} 3.0',
        'merhaba_webhook_duration_seconds_bucket{le="0.25"} 1.0',
        'merhaba_webhook_duration_seconds_bucket{le="0.1"} 0.0',
        'merhaba_consumer_batch_size_bucket{le="30.0"} 1.0',
    ):
        assert line in text


def test_a_taken_port_ends_the_process_with_the_settings_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = exported(METRICS_PORT=str(taken.getsockname()[1]))
    assert done.returncode != 0
    assert "METRICS_PORT" in done.stderr


def test_what_fails_is_traced_though_its_trace_was_not_chosen(collector: Collector) -> None:
    done = exported(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACE_SAMPLE_RATIO="0")
    assert done.returncode == 0, done.stderr
    trace_id = done.stdout.split()[0]
    told = [span for service, span in collector.spans if span.trace_id.hex() == trace_id]
    assert [span.name for span in told] == ["graph call"]
    attributes = {a.key: a.value.string_value for a in told[0].attributes}
    assert attributes == {"merhaba.outcome": "unknown", "error.type": "TimeoutError"}
    assert [s.name for _, s in collector.spans] == ["graph call"], "what went well is not there"


def test_metrics_go_out_by_otlp_as_well(collector: Collector) -> None:
    done = exported(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert done.returncode == 0, done.stderr
    assert {"merhaba.sender.cost", "merhaba.consumer.lag"} <= collector.metrics


def test_names_follow_the_conventions() -> None:
    for name in (*typing.get_args(names.Metric), *typing.get_args(names.Span)):
        assert re.fullmatch(r"[a-z][a-z._]*|[a-z ]+", name), name
    assert set(names.METRICS) == set(typing.get_args(names.Metric))
