"""Tells routes what alerts say: signed, over TLS, again and again for a day."""

import asyncio
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import aiohttp
import structlog

from chassis.addresses import OutboundRefused
from chassis.clock import Clock, milliseconds_of
from chassis.outbound import Outbound
from chassis.postgres import Pool
from chassis.transient import keep_at
from chassis.webhooks import SIGNATURE, signature

DELIVERY: Final = "Merhaba-Delivery-Id"
TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5)
CONNECTIONS: Final = 20
_LOOK: Final = timedelta(seconds=2)
_LEASE: Final = timedelta(minutes=1)
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)
_DOUBLINGS: Final = 8
# That an alert is over is told behind that it began: else it would stand for ever where only the
# later call came through
_TAKE: Final = (
    "UPDATE alert_deliveries SET due_time = $2, attempts = attempts + 1 WHERE delivery_id IN ("
    "SELECT delivery_id FROM alert_deliveries d WHERE due_time <= $1 AND NOT EXISTS ("
    "SELECT FROM alert_deliveries e WHERE e.alert_id = d.alert_id AND e.url = d.url"
    " AND e.end_time < d.end_time) ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
    " RETURNING delivery_id, alert_id, url, secret_name, body, attempts, end_time"
)

_logger = structlog.get_logger()


class _Delivery(NamedTuple):
    delivery_id: str
    alert_id: str
    url: str
    secret_name: str
    body: bytes
    attempts: int
    end_time: datetime


class Deliveries:
    """Calls whoever is still to be told."""

    def __init__(self, pool: Pool, calls: Outbound, secrets: dict[str, str], clock: Clock) -> None:
        """`secrets`: what calls are signed with, by name."""
        self._pool = pool
        self._calls = calls
        self._secrets = secrets
        self._clock = clock

    async def run(self) -> None:
        """Tell, until cancelled."""
        await keep_at(self.deliver, self._clock, _LOOK, "alerts not delivered")

    async def deliver(self) -> bool:
        """Tell some routes, all at once; returns whether there was one to be told."""
        now = self._clock.now()
        rows = await self._pool.fetch(_TAKE, now, now + _LEASE, CONNECTIONS)
        calls = (self._tell(_Delivery(*row.values()), now) for row in rows)
        for failed in await asyncio.gather(*calls, return_exceptions=True):
            if failed is not None:
                raise failed
        return bool(rows)

    async def _tell(self, one: _Delivery, now: datetime) -> None:
        problem = await self._call(one)
        if not problem:
            await self._forget(one)
            return
        await self._pool.execute(
            "UPDATE alerts SET failed_deliveries = failed_deliveries + 1 WHERE alert_id = $1",
            one.alert_id,
        )
        again = now + min(_FIRST_WAIT * 2 ** min(one.attempts - 1, _DOUBLINGS), _LONGEST_WAIT)
        given_up = again > one.end_time
        # Of an address only what kind of failure it was, as it may carry a token.
        _logger.warning(
            "alert not delivered", alert_id=one.alert_id, problem=problem, given_up=given_up
        )
        if given_up:
            await self._forget(one)
        else:
            await self._pool.execute(
                "UPDATE alert_deliveries SET due_time = $2 WHERE delivery_id = $1",
                one.delivery_id,
                again,
            )

    async def _call(self, one: _Delivery) -> str:
        """Call once; what went wrong, or nothing. Any answer but 2xx is none."""
        secret = self._secrets.get(one.secret_name)
        if secret is None:
            return "no such secret in WEBHOOK_SECRETS"
        second = milliseconds_of(self._clock.now()) // 1000
        headers = {
            "Content-Type": "application/json",
            DELIVERY: one.delivery_id,
            SIGNATURE: signature(secret, second, one.body),
        }
        try:
            async with self._calls.request(
                "POST", one.url, data=one.body, headers=headers
            ) as response:
                return "" if 200 <= response.status < 300 else f"it answered {response.status}"
        except OutboundRefused as refused:
            return f"not called: {refused}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    async def _forget(self, one: _Delivery) -> None:
        await self._pool.execute(
            "DELETE FROM alert_deliveries WHERE delivery_id = $1", one.delivery_id
        )
