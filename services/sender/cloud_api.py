"""Meta's Cloud API: one method that sends, one that manages."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import msgspec
from opentelemetry.trace import SpanKind

from chassis import names
from chassis.telemetry import WORDLESS, counter, parent, traceparent, tracer
from services.sender.model import (
    Address,
    Message,
    PlatformBusy,
    PlatformRefused,
    PlatformUnavailable,
    TemplateExists,
)
from services.sender.outcome import Answer

_EXISTS: Final = 2388024
_BUSY: Final = frozenset({4, 17, 80007, 80008})
_TRANSIENT: Final = frozenset({1, 2, 131000, 131016, 133004})
_LARGEST_ANSWER: Final = 8 * 1024 * 1024

_calls = counter("merhaba.sender.calls", "{call}")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    error_subcode: int = 0
    error_user_title: str = ""
    error_user_msg: str = ""
    error_data: dict[str, Any] = {}


class _Accepted(msgspec.Struct):
    id: str


class _Body(msgspec.Struct):
    messages: list[_Accepted] = []
    error: _Error | None = None


_answer: Final = msgspec.json.Decoder(_Body).decode


class CloudApi:
    """Calls of one app, with one token."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def send(self, message: Message, address: Address) -> Answer:
        """Send one message. Whatever the network or Meta does is told in the answer."""
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **({"to": f"+{address.wa_id}"} if address.wa_id else {"recipient": address.bsuid}),
            **_decode(message.body),
            "biz_opaque_callback_data": message.message_id,
        }
        if message.context_wamid:
            body["context"] = {"message_id": message.context_wamid}
        with tracer.start_as_current_span(
            "graph call",
            context=parent(message.traceparent),
            kind=SpanKind.CLIENT,
            **WORDLESS,
        ) as span:
            answer = await self._post(f"{message.phone_number_id}/messages", _encode(body))
            outcome = "sent" if answer.wamid else str(answer.code or answer.why or answer.status)
            span.set_attribute(names.OUTCOME, outcome)
            _calls.add(1, {"outcome": outcome})
            return answer._replace(traceparent=traceparent())

    async def _post(self, path: str, body: bytes) -> Answer:
        trace = SimpleNamespace(left=False)
        try:
            async with self._session.post(
                f"{self._base}/{path}", data=body, headers=_JSON, trace_request_ctx=trace
            ) as response:
                read = await response.read()
                try:
                    found = _answer(read)
                except msgspec.MsgspecError:
                    return Answer(response.status, why=f"http_{response.status}")
                wamid = found.messages[0].id if found.messages else ""
                return Answer(
                    response.status,
                    wamid=wamid,
                    code=found.error.code if found.error else None,
                    retry_after_ms=_retry_after(response.headers),
                )
        except TimeoutError:
            return Answer(left=trace.left, why="timeout")
        except aiohttp.ClientConnectorError:
            return Answer(left=False, why="connect")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(left=trace.left, why=type(error).__name__)

    async def manage(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A call about templates or numbers. Raises PlatformRefused, PlatformBusy,
        PlatformUnavailable or TemplateExists."""
        operation = f"{method} {path.partition('?')[0].rpartition('/')[2]}"
        try:
            async with self._session.request(
                method,
                f"{self._base}/{path}",
                data=None if body is None else _encode(body),
                headers=_JSON,
            ) as response:
                found = _decode(await response.content.read(_LARGEST_ANSWER))
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            raise PlatformUnavailable(
                f"Meta did not answer ({type(error).__name__}); try again", operation=operation
            ) from error
        if not isinstance(found, dict):
            raise PlatformUnavailable("Meta's answer is no object; try again", operation=operation)
        if "error" in found:
            raise _failure(msgspec.convert(found["error"], _Error), operation)
        return found


_JSON: Final = {"Content-Type": "application/json"}


def _failure(error: _Error, operation: str) -> Exception:
    details = error.error_user_msg or str(error.error_data.get("details", ""))
    title = error.error_user_title or error.message
    if error.error_subcode == _EXISTS:
        return TemplateExists(f"{title}: {details}", operation=operation)
    if error.code in _BUSY:
        return PlatformBusy("Meta's limit on management calls", timedelta(minutes=5))
    if error.code in _TRANSIENT:
        return PlatformUnavailable(f"Meta: {title}; try again", operation=operation)
    return PlatformRefused(
        f"Meta: {title}: {details}", code=str(error.code), title=title, details=details
    )


def _retry_after(headers: Mapping[str, str]) -> int:
    value = headers.get("Retry-After", "")
    return int(value) * 1000 if value.isdigit() else 0


@asynccontextmanager
async def cloud_api(
    url: str, version: str, token: str, timeout_s: float, connections: int
) -> AsyncIterator[CloudApi]:
    """The API at `url`, for as long as the block runs."""
    trace = aiohttp.TraceConfig()

    async def left(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.left = True

    trace.on_request_headers_sent.append(left)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ttl_dns_cache=60),
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 5.0)),
        headers={"Authorization": f"Bearer {token}"},
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield CloudApi(session, f"{url.rstrip('/')}/{version}")
