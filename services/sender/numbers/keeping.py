"""Business numbers, kept in step with Meta: read when they are registered, when somebody asks, and
now and then, since webhooks do not tell everything."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from services.sender.failures import NumberExists, PlatformRefused
from services.sender.model import Number
from services.sender.numbers.facts import FIELDS, Described, described, learn

_LOOK_EVERY: Final = timedelta(seconds=10)
_ASK_EVERY_MS: Final = 15 * 60_000
_LEASE_MS: Final = 5 * 60_000  # also how long an error keeps a number from being asked again
_AT_ONCE: Final = 50


class Store(Protocol):
    """Where numbers are kept."""

    async def number(self, phone_number_id: str) -> Number: ...
    async def add(self, number: Number, ask_time: int) -> Number: ...
    async def learned(
        self, phone_number_id: str, change: Callable[[Number], None], asked: int, again: int
    ) -> Number: ...
    async def due(self, now: int, until: int, n: int) -> Sequence[Number]: ...


class Management(Protocol):
    """Meta's management calls."""

    async def manage(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        credential: str = "default",
    ) -> dict[str, Any]: ...


class Keeping:
    """Asks Meta about numbers."""

    def __init__(
        self,
        store: Store,
        platform: Management,
        clock: Clock,
        passing: Callable[[BaseException], bool],
        warn: Callable[[str, BaseException], None],
    ) -> None:
        self._store = store
        self._platform = platform
        self._clock = clock
        self._passing = passing
        self._warn = warn

    async def register(self, number: Number) -> Number:
        """Add a number as Meta describes it. The same again with the same settings is fine.

        Raises NumberExists, NumberUnusable, PlatformRefused, PlatformBusy and PlatformUnavailable.
        """
        now = self.now()
        seen = await self._ask(number)
        number.waba_id = number.waba_id or seen.waba_id
        if not number.waba_id:
            raise FieldInvalid("number.waba_id", "Meta does not tell it; give it")
        number.create_time = number.update_time = now
        learn(number, seen, now)
        stands = await self._store.add(number, now + _ASK_EVERY_MS)
        if _settings(stands) != _settings(number):
            raise NumberExists(
                "the number is registered with other settings; update it",
                phone_number_id=number.phone_number_id,
            )
        return stands

    async def refresh(self, number: Number) -> Number:
        """A number as Meta describes it now; raises as `register`."""
        now = self.now()
        seen = await self._ask(number)
        return await self._store.learned(
            number.phone_number_id, lambda one: learn(one, seen, now), now, now + _ASK_EVERY_MS
        )

    async def _ask(self, number: Number) -> Described:
        answer = await self._platform.manage(
            "GET",
            f"{number.phone_number_id}?fields={FIELDS}",
            credential=number.credential_name,
        )
        seen = described(answer)
        if seen is None:
            raise PlatformRefused(
                "Meta: this is no phone number", code="100", subcode="0", title="", details=""
            )
        return seen

    async def run(self) -> None:
        """Ask Meta about numbers that it was not asked about for long, or that a webhook told of,
        until cancelled."""
        while True:
            try:
                await self.step()
            except Exception as error:
                if not self._passing(error):
                    raise
                self._warn("numbers are not kept", error)
            await self._clock.sleep(_LOOK_EVERY)

    async def step(self) -> int:
        """Ask about numbers that are due; returns how many there were."""
        now = self.now()
        due = await self._store.due(now, now + _LEASE_MS, _AT_ONCE)
        for number in due:
            try:
                await self.refresh(number)
            except Failure as failure:
                # Of one number, whose token may be gone: the others are asked nevertheless
                self._warn("a number is not described", failure)
        return len(due)

    def now(self) -> int:
        """Milliseconds."""
        return milliseconds_of(self._clock.now())


def _settings(number: Number) -> tuple[object, ...]:
    """What a caller sets."""
    return (
        number.waba_id,
        number.credential_name,
        number.throughput_limit,
        number.reply_share,
        number.marketing_endpoint,
    )
