"""The door for the business: the HTTP tracking API, as Segment's SDKs speak it."""

import asyncio
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from opentelemetry.trace import SpanKind

from chassis.clock import Clock, milliseconds_of
from chassis.failures import BatchTooLarge, Busy, Unavailable
from chassis.limits import Limits
from chassis.telemetry import begun, chosen
from services.ingest.admission import Admission
from services.ingest.answer import HEADERS, RETRY_AFTER_S, abandoned
from services.ingest.intake import MOST_CALLS, Intake, Refusal
from services.ingest.track import CALLS
from services.ingest.write_keys import Keyring

BODY_BYTES: Final = 4 * 1024 * 1024  # inflated


class Refused(Exception):
    """A request that is not taken as a whole."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = _json(status, {"code": code, "message": message})


class TrackingDoor:
    """`POST /v1/batch` and one path for each type of call. Success is exactly 200: older SDKs send
    again after any other."""

    def __init__(
        self,
        intake: Intake,
        admission: Admission,
        keys: Keyring,
        limits: Limits,
        clock: Clock,
        body_s: float,
    ) -> None:
        self._intake = intake
        self._admission = admission
        self._keys = keys
        self._limits = limits
        self._clock = clock
        self._body_s = body_s

    def routes(self) -> list[web.RouteDef]:
        """The paths and what answers them."""
        return [
            web.post("/v1/batch", self.batch),
            *(web.post(f"/v1/{call}", self.one) for call in sorted(CALLS)),
        ]

    async def batch(self, request: web.Request) -> web.Response:
        """Many calls."""
        try:
            body = await self._body(request)
            return await self._take(request, body, body.get("batch"))
        except Refused as refused:
            return refused.response

    async def one(self, request: web.Request) -> web.Response:
        """One call, whose type is the path."""
        try:
            body = await self._body(request)
            own = ("writeKey", "sentAt")
            call = {key: value for key, value in body.items() if key not in own}
            call["type"] = request.path.rpartition("/")[2]
            return await self._take(request, body, [call])
        except Refused as refused:
            return refused.response

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if self._admission.closed:
            raise _later()
        try:
            async with asyncio.timeout(self._body_s):
                raw = await request.read()
        except TimeoutError:
            refused = Refused(408, "too_slow", "send the body faster")
        except web.HTTPRequestEntityTooLarge:
            raise Refused(413, "too_large", "send at most 4 MiB at once, inflated") from None
        except (web.RequestPayloadError, HttpProcessingError):
            refused = Refused(400, "encoding_invalid", "the body is not what its headers say")
        else:
            return self._parsed(raw)
        abandoned(request, refused.response)
        raise refused

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Refused(400, "json_invalid", "the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "json_invalid", "the body is not a JSON object")
        return body

    async def _take(
        self, request: web.Request, body: Mapping[str, Any], calls: Any
    ) -> web.Response:
        key = self._keys.open(request.headers.get("Authorization", ""), body.get("writeKey"))
        if key is None:
            raise Refused(401, "write_key_invalid", "send a write key that this server knows")
        if not isinstance(calls, list):
            raise Refused(400, "batch_invalid", "give a list of calls as `batch`")
        if wait := await self._limits.wait(key.key, key.per_s, min(len(calls), MOST_CALLS)):
            raise _too_fast(wait)
        received_ms = milliseconds_of(self._clock.now())
        sent_at = body.get("sentAt")
        try:
            if chosen():
                with begun("track", SpanKind.SERVER) as trace:
                    refusals = await self._intake.calls(
                        calls, key.source, sent_at, received_ms, trace
                    )
            else:
                refusals = await self._intake.calls(calls, key.source, sent_at, received_ms, "")
        except BatchTooLarge as error:
            raise Refused(400, "batch_too_large", error.message) from None
        except (Busy, Unavailable):
            raise _later() from None
        return _json(200, {"success": True, "rejected": [_rejected(one) for one in refusals]})


def _rejected(refusal: Refusal) -> dict[str, Any]:
    return {
        "index": refusal.index,
        "messageId": refusal.message_id,
        "code": refusal.code,
        "message": refusal.message,
    }


def _too_fast(wait: timedelta) -> Refused:
    refused = Refused(429, "rate_limited", "nothing was accepted; send it again later, and slower")
    refused.response.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    return refused


def _later() -> Refused:
    refused = Refused(503, "unavailable", "nothing was accepted; send it again later")
    refused.response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return refused


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers=HEADERS
    )
