"""Meta's Cloud API: one method that sends, one that manages, one that uploads."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from secrets import token_hex
from typing import Any, Final

import aiohttp
import msgspec
from opentelemetry.trace import SpanKind

from chassis import names
from chassis.telemetry import WORDLESS, counter, parent, traceparent, tracer
from services.sender.delivery.outcome import Answer
from services.sender.failures import (
    NumberUnusable,
    PlatformBusy,
    PlatformRefused,
    PlatformUnavailable,
    TemplateExists,
)
from services.sender.model import Message
from services.sender.outside.calls import Calls, Lost, calls
from services.sender.posting import Posted, Upload

_EXISTS: Final = 2388024
_BUSY: Final = frozenset({4, 17, 80007, 80008})
_TRANSIENT: Final = frozenset({1, 2, 131000, 131016, 133004})
_LARGEST_ANSWER: Final = 8 * 1024 * 1024
_MANAGING: Final = 20  # calls at once that send no message

_calls = counter("merhaba.sender.calls")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class _Code(msgspec.Struct):
    code: int


class _Error(_Code):
    message: str | None = None
    error_subcode: int | None = None
    error_user_title: str | None = None
    error_user_msg: str | None = None
    error_data: Any = None


class _Accepted(msgspec.Struct):
    id: str


class _Body(msgspec.Struct):
    messages: list[_Accepted] = []
    error: _Code | None = None


_answer: Final = msgspec.json.Decoder(_Body).decode


class CloudApi:
    """Calls of Meta's API, each with the access token of a credential."""

    def __init__(
        self, session: aiohttp.ClientSession, posts: Calls, base: str, tokens: Mapping[str, str]
    ) -> None:
        """`tokens`: by the name of the credential."""
        self._session = session
        self._calls = posts
        self._base = base
        self._tokens = tokens

    def authorised(self, credential: str) -> dict[str, str]:
        """Headers that a call carries; raises NumberUnusable when no such secret is set."""
        token = self._tokens.get(credential)
        if token is None:
            raise NumberUnusable(
                f"no access token is called {credential}; put it into CLOUD_API_TOKENS",
                problem="no_such_secret",
            )
        return {"Authorization": f"Bearer {token}"}

    async def send(self, message: Message, posted: Posted, credential: str) -> Answer:
        """Send one message. Whatever the network or Meta does is told in the answer."""
        path = f"{message.phone_number_id}/{posted.endpoint}"
        body, headers = _encode(posted.body), self.authorised(credential)
        if not message.traceparent:
            return self._counted(await self._post(path, body, headers))
        with tracer.start_as_current_span(
            "graph call",
            context=parent(message.traceparent),
            kind=SpanKind.CLIENT,
            **WORDLESS,
        ) as span:
            answer = self._counted(await self._post(path, body, headers))
            span.set_attribute(names.OUTCOME, _outcome(answer))
            return answer._replace(traceparent=traceparent())

    def _counted(self, answer: Answer) -> Answer:
        _calls.add(1, {names.OUTCOME: _outcome(answer)})
        return answer

    async def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            reply = await self._calls.post(path, headers, body)
        except Lost as lost:
            return Answer(left=lost.left, why=lost.why)
        try:
            found = _answer(reply.body)
        except msgspec.MsgspecError:
            return Answer(reply.status, why=f"http_{reply.status}")
        return Answer(
            reply.status,
            wamid=found.messages[0].id if found.messages else "",
            code=found.error.code if found.error else None,
            retry_after_ms=int(reply.retry_after) * 1000 if reply.retry_after.isdecimal() else 0,
        )

    async def manage(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        credential: str = "default",
    ) -> dict[str, Any]:
        """A call about templates, numbers or media. Raises PlatformRefused, PlatformBusy,
        PlatformUnavailable, TemplateExists or NumberUnusable."""
        data = None if body is None else _encode(body)
        return await self._asked(method, path, {**_JSON, **self.authorised(credential)}, data=data)

    async def upload(
        self, phone_number_id: str, upload: Upload, credential: str, timeout_s: float
    ) -> str:
        """Put a file on Meta; returns its id there. Raises as `manage`."""
        boundary = token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="messaging_product"\r\n\r\n'
            f"whatsapp\r\n--{boundary}\r\n"
            f'Content-Disposition: form-data; name="type"\r\n\r\n{upload.mime_type}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            f"Content-Type: {upload.mime_type}\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        async def parts() -> AsyncIterator[bytes]:
            yield head
            async for part in upload.parts:
                yield part
            yield tail

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + upload.size_bytes + len(tail)),
            **self.authorised(credential),
        }
        found = await self._asked(
            "POST",
            f"{phone_number_id}/media",
            headers,
            data=parts(),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=5.0),
        )
        return _part(found, "id", "POST media")

    async def append(
        self, session: str, offset: int, upload: Upload, credential: str, timeout_s: float
    ) -> str:
        """Bytes of a resumable upload from an offset on, to the last; returns the handle of the
        whole. Raises as `manage`."""
        headers = {
            "Authorization": self.authorised(credential)["Authorization"].replace(
                "Bearer", "OAuth", 1
            ),
            "file_offset": str(offset),
            "Content-Length": str(upload.size_bytes),
        }
        found = await self._asked(
            "POST",
            session,
            headers,
            data=upload.parts,
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=5.0),
        )
        return _part(found, "h", "POST uploads")

    async def _asked(
        self, method: str, path: str, headers: Mapping[str, str], **arguments: Any
    ) -> dict[str, Any]:
        operation = f"{method} {path.partition('?')[0].rpartition('/')[2]}"
        try:
            async with self._session.request(
                method, f"{self._base}/{path}", headers=headers, **arguments
            ) as response:
                found = _decode(await _whole(response))
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            raise PlatformUnavailable(
                f"Meta did not answer ({type(error).__name__}); try again", operation=operation
            ) from error
        if not isinstance(found, dict):
            raise PlatformUnavailable("Meta's answer is no object; try again", operation=operation)
        if "error" in found:
            raise _failure(found["error"], operation)
        return found


def _part(found: Mapping[str, Any], name: str, operation: str) -> str:
    """What an answer has to have."""
    if not found.get(name):
        raise PlatformUnavailable(f"Meta's answer has no {name}; try again", operation=operation)
    return str(found[name])


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """An answer's body, up to a limit; what comes in pieces would be read as the first of them."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST_ANSWER:
            raise aiohttp.ClientPayloadError(f"more than {_LARGEST_ANSWER} bytes")
    return bytes(body)


def _outcome(answer: Answer) -> str:
    return "sent" if answer.wamid else str(answer.code or answer.why or answer.status)


_JSON: Final = {"Content-Type": "application/json"}


def _failure(told: Any, operation: str) -> Exception:
    try:
        error = msgspec.convert(told, _Error)
    except msgspec.ValidationError:
        return PlatformUnavailable("Meta's error is none we know; try again", operation=operation)
    data = error.error_data if isinstance(error.error_data, dict) else {}
    details = error.error_user_msg or str(data.get("details") or "")
    title = error.error_user_title or error.message or ""
    if error.error_subcode == _EXISTS:
        return TemplateExists(f"{title}: {details}", operation=operation)
    if error.code in _BUSY:
        return PlatformBusy("Meta's limit on management calls", timedelta(minutes=5))
    if error.code in _TRANSIENT:
        return PlatformUnavailable(f"Meta: {title}; try again", operation=operation)
    return PlatformRefused(
        f"Meta: {title}: {details}",
        code=str(error.code),
        subcode=str(error.error_subcode or 0),
        title=title,
        details=details,
    )


@asynccontextmanager
async def cloud_api(
    url: str, version: str, tokens: Mapping[str, str], timeout_s: float
) -> AsyncIterator[CloudApi]:
    """The API at `url`, for as long as the block runs; `tokens` by the names of credentials."""
    base = f"{url.rstrip('/')}/{version}"
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MANAGING, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 5.0)),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session,
        calls(base, timeout_s) as posts,
    ):
        yield CloudApi(session, posts, base, tokens)
