"""Sending, whoever reads the HTTP: accepted, refused, or spoiled on demand."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import orjson

from simulator.faults import FaultBox
from simulator.graph.answers import object_in, refusal
from simulator.pipeline import Pipeline
from simulator.refusals import Refused, bad_token, no_token
from simulator.world.sending import Sending
from simulator.world.world import World


class Reply(NamedTuple):
    """Status and body; or, after so many seconds, no answer and the end of the connection."""

    status: int
    body: bytes
    cut_after_s: float | None = None


class Sends:
    """What stands behind /messages and /marketing_messages."""

    def __init__(
        self,
        world: World,
        sending: Sending,
        pipeline: Pipeline,
        faults: FaultBox,
        access_token: str,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._sending = sending
        self._pipeline = pipeline
        self._faults = faults
        self._tokens = (f"Bearer {access_token}", f"OAuth {access_token}")
        self._clock = clock

    @property
    def at_once(self) -> bool:
        """Whether a call can be answered without waiting."""
        return not self._faults.now.latency_ms and not self._pipeline.full

    async def ready(self) -> None:
        """Wait as a call waits: for the latency asked for, and for room."""
        if latency_ms := self._faults.now.latency_ms:
            await asyncio.sleep(latency_ms / 1000)
        await self._pipeline.room()

    def check_token(self, given: str) -> None:
        """Raises Refused: 104 without a token, 190 for another or an expired one."""
        if given not in self._tokens:
            raise bad_token() if given else no_token()
        if self._faults.now.expired_token:
            raise bad_token("Session has expired")

    def send(self, phone_number_id: str, marketing: bool, authorization: str, raw: bytes) -> Reply:
        """Every fault but the latency."""
        try:
            self.check_token(authorization)
            return self._send(phone_number_id, raw, marketing=marketing)
        except Refused as refused:
            return Reply(*self.refuse(refused))

    def refuse(self, refused: Refused) -> tuple[int, bytes]:
        """Counted; status and body."""
        self._world.counts[f"rejected_{refused.code}"] += 1
        return refusal(refused, http_429=self._faults.now.http_429)

    def _send(self, phone_number_id: str, raw: bytes, *, marketing: bool) -> Reply:
        box, faults = self._faults, self._faults.now
        body = object_in(raw)
        if box.hits(faults.throttle):
            raise Refused(130429, "Throttled on demand.")
        if box.hits(faults.error_5xx):
            raise Refused(131000, "Failed on demand, nothing was accepted.")
        if faults.refuse and (code := box.one_of(faults.refuse)):
            raise Refused(code, "Refused on demand, nothing was accepted.")
        if box.hits(faults.timeout_before_accept):
            return Reply(0, b"", faults.timeout_hold_s)
        if box.hits(faults.drop_before_accept):
            return Reply(0, b"", 0.0)
        sent = self._sending.send(
            phone_number_id,
            body,
            self._clock(),
            marketing=marketing,
            fail_code=box.one_of(faults.fail) if faults.fail else 0,
        )
        if sent.message is not None:
            self._pipeline.add(sent.message)
        if box.hits(faults.error_5xx_after_accept):
            raise Refused(131000, "Failed on demand.")
        if box.hits(faults.timeout_after_accept):
            return Reply(0, b"", faults.timeout_hold_s)
        if box.hits(faults.drop_after_accept):
            return Reply(0, b"", 0.0)
        return Reply(200, orjson.dumps(sent.answer))
