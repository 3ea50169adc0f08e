"""python -m simulator: runs until SIGTERM or SIGINT, says `ready` on stdout."""

import asyncio
import gc
import json
import logging
import signal
import sys

import structlog
import uvloop
from pydantic import ValidationError

from simulator.app import running
from simulator.settings import Settings


def main() -> int:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        settings = Settings()  # type: ignore[call-arg] # from the environment
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = ".".join(map(str, fault["loc"])).upper()
            reason = "not set" if fault["type"] == "missing" else fault["msg"]
            sys.stderr.write(f"Misconfigured: {name}: {reason}\n")
        return 2
    # Hundreds of thousands of small things wait in line and none is part of a cycle: looking
    # through them every few hundred new ones costs more than the work itself.
    gc.set_threshold(50_000, 20, 100)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings) as url:
        sys.stdout.write(json.dumps({"event": "ready", "url": url}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
