"""A process that does a little of everything and exports it, as its environment says."""

import asyncio
import sys
import urllib.request

from opentelemetry.trace import SpanKind

from chassis import names
from chassis.settings import ServiceSettings, from_env
from chassis.telemetry import counter, failed, gauge, histogram, telemetry, tracer


async def main() -> None:
    settings = from_env(ServiceSettings)
    with telemetry("tried", settings):
        counter("merhaba.sender.cost").add(
            1.5, {names.CURRENCY: "TRY", names.CATEGORY: "marketing"}
        )
        gauge("merhaba.consumer.lag").set(3.0, {names.MESSAGING_GROUP: "profile"})
        histogram("merhaba.webhook.duration").record(0.2)
        histogram("merhaba.consumer.batch.size").record(20)
        with tracer.start_as_current_span("webhook"):
            pass
        with tracer.start_as_current_span("webhook") as span:
            failed("graph call", SpanKind.CLIENT, "TimeoutError", {names.OUTCOME: "unknown"})
            sys.stdout.write(f"{span.get_span_context().trace_id:032x}\n")
        if settings.metrics_port:
            url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
            with urllib.request.urlopen(url) as response:  # noqa: ASYNC210 - a script for a test
                sys.stdout.write(response.read().decode())


asyncio.run(main())
