"""Taking messages whose turn has come: the gates are asked, then the limiters of people.

All of it is one transaction of the outbox, in which the messages that may go become *attempting*.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from services.sender.delivery.moves import Decided, ask_soon, hold, permit
from services.sender.delivery.pace import Claimed, Pair, Throttle
from services.sender.gates import Candidate, GateVerdict, Verdict
from services.sender.model import DAY_MS, Contact, Lane, Message, Number

Decide = Callable[[Sequence[Candidate]], Awaitable[Sequence[Decided]]]
Look = Callable[[Sequence[Message]], Awaitable[None]]


class Claims(Protocol):
    """The messages, as claiming needs them."""

    async def claim(
        self,
        phone_number_id: str,
        places: Sequence[int],
        now: int,
        decide: Decide,
        look: Look | None = None,
    ) -> tuple[Sequence[Decided], bool]:
        """Take due messages, about so many of each lane, and store what `decide` makes of them;
        campaigns that wait for the number take turns.

        `look` sees the messages first, while nobody waits but for them. Nobody else takes them
        meanwhile. Everything is stored together or, when something fails, nothing. True: more may
        be due.
        """
        ...


class Contacts(Protocol):
    """Profile, as claiming needs it."""

    async def get(self, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
        """Addresses, consents, zone and language of those that exist."""
        ...


def person_of(one: Decided) -> str:
    """The address that a message goes to."""
    assert one.address is not None  # only those that have one are called
    return one.address.wa_id or one.address.bsuid


class Claiming:
    """Claims with all that decides about them."""

    def __init__(
        self,
        outbox: Claims,
        contacts: Contacts,
        throttle: Throttle,
        now: Callable[[], int],
        lease_ms: int,
    ) -> None:
        """`now`: milliseconds. `lease_ms`: how long an attempting message is its process's."""
        self._outbox = outbox
        self._contacts = contacts
        self._throttle = throttle
        self._now = now
        self._lease_ms = lease_ms

    async def claim(
        self, number: Number, places: Sequence[int], give_back: Callable[[Decided], None]
    ) -> Claimed[Decided]:
        """Take due messages of a number, at most so many of each lane, of which those that may go
        are attempting from then on. When that is not known to be so, they are given back."""
        contacts: Mapping[str, Contact] = {}
        permitted: Sequence[Decided] = ()

        async def look(messages: Sequence[Message]) -> None:
            nonlocal contacts
            contacts = await self._contacts.get(list({one.contact_id for one in messages}))

        async def decide(candidates: Sequence[Candidate]) -> Sequence[Decided]:
            nonlocal permitted
            now, lease_ms = self._now(), self._lease_ms
            permitted = [
                permit(c, contacts.get(c.message.contact_id), now, lease_ms) for c in candidates
            ]
            permitted = await self._limited(number, candidates, permitted)
            return permitted

        try:
            decided, more = await self._outbox.claim(
                number.phone_number_id, places, self._now(), decide, look
            )
        except BaseException:
            # Stopped, or an outage: perhaps it was stored. Nobody called, so nothing is in doubt.
            for one in permitted:
                if one.address is not None:
                    give_back(one)
            raise
        ready = [(one.message.lane, one) for one in decided if one.address is not None]
        return Claimed(ready, more)

    async def _limited(
        self, number: Number, candidates: Sequence[Candidate], decided: Sequence[Decided]
    ) -> Sequence[Decided]:
        """Those of which neither the portfolio nor the person has had enough."""
        now = self._now()
        held: dict[str, Decided] = {}
        of = {candidate.message.message_id: candidate for candidate in candidates}
        limit = number.daily_limit
        if limit is not None:
            opening = [
                one
                for candidate, one in zip(candidates, decided, strict=True)
                if one.address and now >= candidate.window_time + DAY_MS
            ]
            waits = await self._throttle.reach(
                number.portfolio, limit, [one.message.contact_id for one in opening]
            )
            values = {"tier.limit": limit}
            for one, wait_ms in zip(opening, waits, strict=True):
                if wait_ms:
                    until = now + wait_ms
                    reached = GateVerdict("tier", Verdict.WAIT, "tier_reached", values, until)
                    name = one.message.message_id
                    held[name] = hold(of[name], one, reached, tell=True)
        going = [one for one in decided if one.address and one.message.message_id not in held]
        waits = await self._throttle.pairs(
            number.phone_number_id,
            [Pair(person_of(one), one.message.lane == Lane.REPLY) for one in going],
        )
        for one, wait_ms in zip(going, waits, strict=True):
            if wait_ms:
                busy = GateVerdict("limiter_pair", Verdict.WAIT, "pair", {}, now + wait_ms)
                name = one.message.message_id
                held[name] = hold(of[name], one, busy, tell=False)
        ask_soon(candidates, [of[name] for name in held], now)
        return [held.get(one.message.message_id, one) for one in decided]
