"""One whole suite as processes, started as a script would start it, with every trace recorded."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import aiohttp
import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cli.clients import Clients, clients
from cli.doors import Doors
from cli.stack import Addresses
from tests.e2e.command import merhaba


@dataclass
class Collector(
    trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer
):
    """A real OTLP endpoint that keeps what it gets: (service, span), and names of metrics."""

    spans: list[tuple[str, Span]] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)
    url: str = ""

    def Export(self, request, context):  # noqa: N802 - the contract names it
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            with self.lock:
                self.metrics |= {
                    metric.name
                    for resource in request.resource_metrics
                    for scope in resource.scope_metrics
                    for metric in scope.metrics
                }
            return metrics_service_pb2.ExportMetricsServiceResponse()
        with self.lock:
            for resource in request.resource_spans:
                service = next(
                    a.value.string_value
                    for a in resource.resource.attributes
                    if a.key == "service.name"
                )
                self.spans += [(service, s) for scope in resource.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the one running suite stay together when tests are shared out."""
    for item in items:
        if "addresses" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("suite"))


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    kept = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(kept, server)
    kept.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield kept
    server.stop(1).wait()


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="suite-", dir="/var/tmp"))
    folder.chmod(0o755)  # Postgres runs as another user when we are root
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def addresses(data_folder: Path, collector: Collector) -> Iterator[Addresses]:
    started = merhaba(
        "up",
        "--json",
        data=data_folder,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        TRACE_SAMPLE_RATIO="1",
        LOG_CLAIM_IDLE_MS="2000",
        CALL_TIMEOUT_S="3",
    )
    assert started.returncode == 0, started.stderr
    yield Addresses(**json.loads(started.stdout.strip().splitlines()[-1]))
    stopped = merhaba("down", data=data_folder)
    assert stopped.stdout == "stopped\n", stopped.stderr


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def doors(session: aiohttp.ClientSession, addresses: Addresses) -> Doors:
    return Doors(session, addresses)


@pytest.fixture
async def services(addresses: Addresses) -> AsyncIterator[Clients]:
    async with clients(addresses) as opened:
        yield opened
