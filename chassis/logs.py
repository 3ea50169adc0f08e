"""Logs: one JSON object a line on standard error, with the trace they belong to."""

import asyncio
import logging
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

_MOST_CAUSES: Final = 8
_MOST_FRAMES: Final = 30


def _with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event


def where(error: BaseException) -> list[str]:
    """What an exception is and where it was raised, cause by cause, the first cause last. Not what
    it says: that can be anything, a person's data included."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < _MOST_CAUSES:
        frames = traceback.extract_tb(cause.__traceback__)[-_MOST_FRAMES:]
        way = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
        told.append(f"{type(cause).__module__}.{type(cause).__qualname__} at {way}")
        if isinstance(cause, BaseExceptionGroup):
            told += [line for one in cause.exceptions[:_MOST_CAUSES] for line in where(one)]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return told


def _with_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = where(error)
    return event


class _Formatter(logging.Formatter):
    """For libraries' lines."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return "\n".join(where(ei[1])) if ei[1] else ""


def _last_words(_kind: type[BaseException], error: BaseException, _place: object) -> None:
    structlog.get_logger().critical("died", exc_info=error)


def unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For event loops: an exception that nobody waits for."""
    structlog.get_logger().error("nobody's error", exc_info=context.get("exception"))


def setup_logs(service: str, level: str) -> None:
    """Configure logging for this process. Nothing personal is ever passed to a logger."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _with_exception,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries speak only when something is wrong: their info lines can hold request data.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    sys.excepthook = _last_words
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.server").addFilter(_our_own)


def _our_own(record: logging.LogRecord) -> bool:
    """Not what a client sent that is no HTTP: it was told, and its bytes would be quoted here."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError)
