"""The door for Meta: verification, and webhooks answered 200 once they are durable."""

import asyncio
import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, Protocol

from aiohttp import web
from opentelemetry.trace import SpanKind

from chassis import names
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Busy, Failure, Unavailable
from chassis.telemetry import begun, chosen, histogram
from services.ingest.admission import Admission
from services.ingest.answer import HEADERS, abandoned, text_headers
from services.ingest.intake import Intake, Taken
from services.ingest.signature import AppSecret, same, signed_by

PATH: Final = "/webhooks/whatsapp"
_BODY_BYTES: Final = 3 * 1024 * 1024  # what Meta posts at most
_CHALLENGE: Final = re.compile(r"[\w.-]{1,256}")

Answer = Callable[[int], None]
"""Takes the status of the one answer to a request."""

_durations = histogram("merhaba.webhook.duration")


class Counts(Protocol):
    """A counter of telemetry."""

    def add(self, amount: int, attributes: dict[str, str]) -> Any:
        """Count."""
        ...


class WebhookDoor:
    """`GET` and `POST /webhooks/whatsapp`."""

    def __init__(
        self,
        intake: Intake,
        admission: Admission,
        secrets: Sequence[AppSecret],
        verify_token: str,
        clock: Clock,
        requests: Counts,
        body_s: float,
    ) -> None:
        """`requests` counts webhooks by outcome; `body_s`: how long a body may take."""
        self._intake = intake
        self._admission = admission
        self._secrets = secrets
        self._verify_token = verify_token
        self._clock = clock
        self._requests = requests
        self._body_s = body_s

    async def verify(self, request: web.Request) -> web.Response:
        """Meta's handshake: the challenge comes back when the token is ours."""
        query = request.query
        challenge = query.get("hub.challenge", "")
        token = same(query.get("hub.verify_token", ""), self._verify_token)
        if not token or query.get("hub.mode") != "subscribe":
            return _answer(self._counted(403, "verify_refused"))
        if not _CHALLENGE.fullmatch(challenge):
            return _answer(self._counted(400, "verify_refused"))
        return web.Response(text=challenge, headers=HEADERS)

    def take(self, body: bytes, signature: str, answer: Answer) -> None:
        """Take a small webhook, all of which is here: `answer` is told the status, once, when the
        webhook is durable or refused."""
        started = perf_counter()
        if self._admission.closed:
            answer(self._counted(503, self._admission.closed))
            return
        app = signed_by(body, signature, self._secrets)
        if app is None:
            answer(self._counted(401, "wrong_signature"))
            return
        received_ms = milliseconds_of(self._clock.now())

        def done(failure: Exception | None) -> None:
            if failure is not None:
                answer(self._counted(503, _reason(failure)))
                return
            answer(self._told(taken))
            _durations.record(perf_counter() - started)

        try:
            if chosen():
                with begun("webhook", SpanKind.SERVER) as trace:
                    taken = self._intake.webhook(body, app, received_ms, trace, done)
            else:
                taken = self._intake.webhook(body, app, received_ms, "", done)
        except Busy as busy:
            answer(self._counted(503, _reason(busy)))

    async def post(self, request: web.Request) -> web.Response:
        """A webhook of any size: 200 once durable, 401 for a wrong signature, 400 for what cannot
        be read, 413, 415, 408, and 503 with Retry-After while the log takes nothing."""
        started = perf_counter()
        if self._admission.closed:
            return _answer(self._counted(503, self._admission.closed))
        headers = request.headers
        if "Content-Encoding" in headers:
            # The signature is over what was sent; aiohttp would inflate it before we see it.
            return abandoned(request, _answer(self._counted(415, "encoded")))
        if (request.content_length or 0) > _BODY_BYTES:
            return _answer(self._counted(413, "too_large"))
        try:
            async with asyncio.timeout(self._body_s):
                body = await request.read()
        except TimeoutError:
            return abandoned(request, _answer(self._counted(408, "too_slow")))
        except web.HTTPRequestEntityTooLarge:
            return _answer(self._counted(413, "too_large"))
        if len(body) > _BODY_BYTES:
            return _answer(self._counted(413, "too_large"))
        app = signed_by(body, headers.get("X-Hub-Signature-256", ""), self._secrets)
        if app is None:
            return _answer(self._counted(401, "wrong_signature"))
        received_ms = milliseconds_of(self._clock.now())
        try:
            if chosen():
                with begun("webhook", SpanKind.SERVER) as trace:
                    taken = await self._intake.large_webhook(body, app, received_ms, trace)
            else:
                taken = await self._intake.large_webhook(body, app, received_ms, "")
        except (Busy, Unavailable) as error:
            return _answer(self._counted(503, _reason(error)))
        _durations.record(perf_counter() - started)
        return _answer(self._told(taken))

    def _told(self, taken: Taken) -> int:
        if taken.broken:
            return self._counted(400, "broken")
        if taken.refused:
            self._requests.add(taken.refused, {names.OUTCOME: "item_refused"})
        if taken.unrecognised:
            self._requests.add(taken.unrecognised, {names.OUTCOME: "item_unrecognised"})
        return self._counted(200, "accepted")

    def _counted(self, status: int, outcome: str) -> int:
        self._requests.add(1, {names.OUTCOME: outcome})
        return status


def _reason(failure: Exception) -> str:
    return failure.reason.lower() if isinstance(failure, Failure) else type(failure).__name__


def _answer(status: int) -> web.Response:
    return web.Response(status=status, headers=text_headers(status))
