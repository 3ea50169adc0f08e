"""The world of the simulator: numbers, templates, people and what they say.

Pure: nothing in this package waits, looks at a clock or opens anything. `now` is Unix time in
seconds. Every method either answers or raises Refused as Meta would.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from simulator.ids import Ids
from simulator.ledger.ledger import Ledger
from simulator.ledger.seconds import Seconds
from simulator.messages.media import MediaShelf
from simulator.messages.uploads import Uploads
from simulator.people.crowd import Crowd
from simulator.people.person import Person
from simulator.refusals import Refused, unknown_object
from simulator.rules import Rules
from simulator.templates.shelf import Templates
from simulator.webhooks.subscriptions import Subscriptions
from simulator.webhooks.updates import Metadata, Update, message_of, preference_of
from simulator.world.figures import Figures
from simulator.world.limits import Calls, Throughput
from simulator.world.numbers import Chat, Chats, Number
from simulator.world.portfolio import Portfolio

_NUMBERS_LIMIT = 1000
_DAY_S = 86_400.0


class Later(NamedTuple):
    """Something of Meta's that is still to come, after so many simulated seconds."""

    after: float
    happen: Callable[[float], list[Update]]
    """Takes the time it is by then."""
    awaited: bool = False
    """Whether the world is not at rest before it happened; the end of a pause is not awaited."""


class Told(NamedTuple):
    """What came of something: what Meta tells, and what is still to come."""

    updates: list[Update]
    later: tuple[Later, ...] = ()


class Lifetime(NamedTuple):
    """The clock that people live by."""

    speed: float
    """Simulated seconds in a real one."""
    started: float
    """Unix time at which the world began."""
    hour: float | None
    """Hour of the day (UTC) at which it began; None: the real one."""

    def utc_s(self, now: float) -> float:
        """Seconds since midnight, UTC."""
        begun = self.started % _DAY_S if self.hour is None else self.hour * 3600.0
        return (begun + (now - self.started) * self.speed) % _DAY_S


class World:
    """One portfolio: its accounts, their numbers and templates, and everybody they can reach."""

    def __init__(
        self,
        *,
        seed: int,
        ids: Ids,
        lifetime: Lifetime,
        subscriptions: Subscriptions,
        people_limit: int,
        ledger_limit: int,
        media_limit: int,
    ) -> None:
        self.seed = seed
        self.ids = ids
        self.lifetime = lifetime
        self.subscriptions = subscriptions
        self.rules = Rules()
        self.numbers: dict[str, Number] = {}
        self.portfolio = Portfolio(ids.number())
        self.templates = Templates()
        self.people = Crowd(seed, people_limit)
        self.media = MediaShelf(media_limit)
        self.uploads = Uploads()
        self.ledger = Ledger(ledger_limit, ids.sent)
        self.seconds = Seconds()
        self.figures = Figures()
        self.counts: Counter[str] = Counter()
        self.chats = Chats()
        self._calls: dict[str, Calls] = {}

    # --- accounts and numbers -----------------------------------------------------------------

    def put_number(
        self,
        phone_number_id: str,
        waba_id: str,
        display_phone_number: str,
        throughput: float,
        now: float,
    ) -> Number:
        """Add a number, or change it. A new account is subscribed to webhooks."""
        if phone_number_id not in self.numbers and len(self.numbers) >= _NUMBERS_LIMIT:
            raise Refused(100, f"The world holds {_NUMBERS_LIMIT} numbers.")
        metadata = Metadata(display_phone_number, phone_number_id)
        pace = Throughput(throughput, throughput, now)
        number = self.numbers.get(phone_number_id)
        if number is None:
            number = self.numbers[phone_number_id] = Number(
                phone_number_id, waba_id, metadata, pace
            )
        number.waba_id, number.metadata, number.throughput = waba_id, metadata, pace
        self.subscriptions.know(waba_id)
        return number

    def number(self, phone_number_id: str, method: str = "POST") -> Number:
        found = self.numbers.get(phone_number_id)
        if found is None:
            raise unknown_object(method, phone_number_id)
        return found

    def account(self, waba_id: str, method: str) -> None:
        """Raises Refused if there is no such account."""
        if not self.subscriptions.knows(waba_id):
            raise unknown_object(method, waba_id)

    def numbers_of(self, waba_id: str) -> list[Number]:
        return [n for n in self.numbers.values() if n.waba_id == waba_id]

    def calls(self, waba_id: str) -> Calls:
        """The calls about an account that are not messages."""
        self.account(waba_id, "GET")
        return self._calls.setdefault(waba_id, Calls())

    # --- people write -------------------------------------------------------------------------

    def chat(self, number: Number, person: Person, now: float) -> Chat:
        return self.chats.between(number.phone_number_id, person.wa_id, now)

    def say(
        self, phone_number_id: str, person: Person, message: dict[str, Any], now: float
    ) -> tuple[str, list[Update]]:
        """A person writes ({type, <type>, context?}) to a number; their wamid and what Meta
        tells, which is nothing if the business blocked them."""
        self.counts["said"] += 1
        return self.hear(self.number(phone_number_id), person, message, now)

    def hear(
        self, number: Number, person: Person, message: dict[str, Any], now: float
    ) -> tuple[str, list[Update]]:
        wamid = self.ids.heard(number.phone_number_id, person.wa_id)
        # Whoever writes to a business has it unblocked.
        person.blocking -= {number.phone_number_id}
        if person.wa_id in number.blocked:
            return wamid, []
        self.chat(number, person, now).hear(now, by_ad="referral" in message)
        number.throughput.take(now)
        self.seconds.count(number.phone_number_id, "heard", now)
        bsuid = self.people.bsuid_of(person)
        item, contact = message_of(wamid, person, bsuid, message, now)
        return wamid, [
            Update(number.waba_id, "messages", number.metadata, "messages", item, contact, now)
        ]

    def prefer(
        self, number: Number, person: Person, value: Literal["stop", "resume"], now: float
    ) -> Update:
        """A person stops or resumes marketing messages with WhatsApp's own switch."""
        person.opted_out = value == "stop"
        self.counts[f"preferences_{value}"] += 1
        item, contact = preference_of(person, self.people.bsuid_of(person), value, now)
        return Update(
            number.waba_id,
            "user_preferences",
            number.metadata,
            "user_preferences",
            item,
            contact,
            now,
        )
