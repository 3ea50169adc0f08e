"""The limiter of a business number: a token bucket in Redis, shared by all replicas."""

from pathlib import Path
from typing import Final

from chassis.streams import EventLog
from services.sender.dispatch import Grant

_BURST_S: Final = 0.1  # as much as a turn takes; more would exceed the limit within a second
_SCRIPT: Final = (Path(__file__).parent / "throttle.lua").read_text(encoding="utf-8")


class RedisThrottle:
    """One bucket a number; filled at its rate, never holding more than a tenth of a second."""

    def __init__(self, log: EventLog) -> None:
        self._key = log.key("throttle")
        self._script = log.redis.register_script(_SCRIPT)
        self._rates: dict[str, float] = {}

    async def take(self, phone_number_id: str, rate: float, wanted: int) -> Grant:
        """Up to `wanted` tokens, and when there is one more."""
        self._rates[phone_number_id] = rate
        return await self._run(phone_number_id, rate, wanted)

    async def give_back(self, phone_number_id: str, tokens: int) -> None:
        """Return what was not used."""
        await self._run(phone_number_id, self._rates[phone_number_id], -tokens)

    async def _run(self, phone_number_id: str, rate: float, wanted: int) -> Grant:
        capacity = max(1.0, rate * _BURST_S)
        key = f"{self._key}:{{{phone_number_id}}}"
        granted, wait_ms = await self._script(keys=[key], args=[rate, capacity, wanted])
        return Grant(int(granted), int(wait_ms))
