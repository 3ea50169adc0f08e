"""A real OTLP endpoint that keeps what it gets."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector(
    trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer
):
    """Spans with their service, and names of metrics."""

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


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect for as long as the block runs."""
    kept = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(kept, server)
    kept.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield kept
    server.stop(1).wait()
