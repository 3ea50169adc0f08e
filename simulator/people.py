"""People: who they are, and what each will do with a message. Pure, decided by the seed."""

import hashlib
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Literal, NamedTuple

from simulator.kinds import Choice, Content

IdentityMode = Literal["phone", "phone_bsuid", "bsuid"]

DAY_S = 86_400.0

_STOP_WORDS = {"tr": "DUR"}
_SAYINGS = {
    "tr": (
        "Teşekkürler 🙏",
        "Kargom ne zaman gelir?",
        "Fiyatı ne kadar?",
        "Başka bir rengi var mı?",
        "İade etmek istiyorum",
        "Mağazanız bugün açık mı?",
    ),
    "en": (
        "Thanks 🙏",
        "When will my order arrive?",
        "How much is it?",
        "Do you have it in another colour?",
        "I would like to return it",
        "Is your shop open today?",
    ),
}


class Behaviour(NamedTuple):
    """Overrides, each the probability per template message; None leaves it to the seed.

    An act (click, reply, stop) implies that the message was opened. `reads` 0 therefore means:
    read receipts are off, and no `read` status is ever sent.
    """

    reads: float | None = None
    replies: float | None = None
    clicks: float | None = None
    stops: float | None = None
    answers: float | None = None
    """Picks an option of, or replies to, a message that is not a template."""
    fail_code: int | None = None
    """Every message ends `failed` with this code; 131049 and 131050 only hit marketing."""
    silent: bool = False
    """Messages are accepted and nothing ever follows."""


NATURAL = Behaviour()


class Traits(NamedTuple):
    """What the seed gave a person."""

    reads: float
    replies: float
    clicks: float
    stops: float
    answers: float
    receipts: bool
    pace: float
    """Factor on every delay of this person."""


@dataclass(slots=True)
class Person:
    """Someone on WhatsApp. `wa_id` is digits; business sees it only if identity_mode lets it."""

    wa_id: str
    bsuid: str
    name: str
    identity_mode: IdentityMode
    locale: str
    behaviour: Behaviour = NATURAL
    opted_out: bool = False
    """Stopped marketing messages in WhatsApp itself (user_preferences)."""
    received: int = 0
    traits: Traits | None = None

    @property
    def language(self) -> str:
        return "tr" if self.locale.startswith("tr") else "en"


class Act(Enum):
    """One thing that happens to a message."""

    SENT = auto()
    DELIVERED = auto()
    READ = auto()
    FAILED = auto()
    CHOOSE = auto()
    TAP = auto()
    SAY = auto()
    PREFER_STOP = auto()


class Step(NamedTuple):
    """An act and how long after the one before it, in simulated seconds."""

    act: Act
    after: float
    code: int = 0
    words: str = ""
    choice: Choice | None = None


def seeded(seed: int, *parts: object) -> Random:
    """Randomness that depends on nothing but its arguments."""
    key = "/".join(map(str, (seed, *parts)))
    return Random(key)  # noqa: S311 - repeatable behaviour of made-up people, not a secret


def bsuid_of(seed: int, wa_id: str) -> str:
    """The business-scoped user id that a person has unless told otherwise."""
    digest = hashlib.blake2b(f"{seed}/{wa_id}".encode(), digest_size=8).digest()
    country = "TR" if wa_id.startswith("90") else "US"
    return f"{country}.{int.from_bytes(digest, 'big'):020d}"


def traits_of(seed: int, wa_id: str) -> Traits:
    """Believable spread: most read, few press, hardly anyone stops, some hide receipts."""
    rng = seeded(seed, wa_id)
    return Traits(
        reads=rng.betavariate(6, 2),
        replies=rng.betavariate(1, 25),
        clicks=rng.betavariate(1.2, 9),
        stops=rng.betavariate(1, 200),
        answers=rng.betavariate(2, 5),
        receipts=rng.random() < 0.88,
        pace=rng.lognormvariate(0, 0.5),
    )


def plan(person: Person, content: Content, seed: int, *, in_window: bool) -> tuple[Step, ...]:
    """What becomes of the next message to this person, in order of time."""
    behaviour = person.behaviour
    rng = seeded(seed, person.wa_id, person.received)
    if behaviour.silent:
        return ()
    left_meta = _delay(rng, 0.4, 0.4)
    if code := _failure(person, content, in_window=in_window):
        return (Step(Act.FAILED, left_meta, code=code),)
    steps = [Step(Act.SENT, left_meta)]
    if content.type == "reaction":
        return tuple(steps)
    if person.traits is None:
        person.traits = traits_of(seed, person.wa_id)
    traits = person.traits
    acts = _acts(person, traits, content, rng)
    # Some phones are off or without a network for a while.
    offline = rng.random() < 0.06
    delivered = _delay(rng, 1200.0 if offline else 1.2, 1.0)
    steps.append(Step(Act.DELIVERED, delivered))
    opens = bool(acts) or _happens(rng, behaviour.reads, traits.reads)
    receipts = traits.receipts if behaviour.reads is None else behaviour.reads > 0
    if opens:
        # A chat that is open on the screen is read at once: no delivered status then.
        on_screen = rng.random() < 0.04
        until_read = 0.0 if on_screen else _delay(rng, 120.0, 1.3) * traits.pace
        if receipts:
            if on_screen:
                steps.pop()
                until_read = delivered
            steps.append(Step(Act.READ, until_read))
        elif acts:
            first = acts[0]
            acts[0] = first._replace(after=first.after + until_read)
    return tuple(steps + acts)


def _failure(person: Person, content: Content, *, in_window: bool) -> int:
    marketing = content.category.startswith("marketing")
    code = person.behaviour.fail_code
    if code and (marketing or code not in {131049, 131050}):
        return code
    # Inside the window the person is talking with the business: the stop does not bind there.
    return 131050 if marketing and person.opted_out and not in_window else 0


def _acts(person: Person, traits: Traits, content: Content, rng: Random) -> list[Step]:
    behaviour, acts = person.behaviour, list[Step]()
    tappable: list[Choice | str] = [*content.choices, *content.links]
    if not content.template:
        if not _happens(rng, behaviour.answers, traits.answers):
            return acts
        return [_tap(rng, traits, tappable) if tappable else _say(rng, person, traits)]
    if tappable and _happens(rng, behaviour.clicks, traits.clicks):
        acts.append(_tap(rng, traits, tappable))
    if _happens(rng, behaviour.replies, traits.replies):
        acts.append(_say(rng, person, traits))
    if _happens(rng, behaviour.stops, traits.stops):
        stop_word = _STOP_WORDS.get(person.language, "STOP")
        acts.append(Step(Act.SAY, _delay(rng, 20.0, 0.8) * traits.pace, words=stop_word))
        if rng.random() < 0.3:
            acts.append(Step(Act.PREFER_STOP, _delay(rng, 10.0, 0.5)))
    return acts


def _tap(rng: Random, traits: Traits, tappable: list[Choice | str]) -> Step:
    after = _delay(rng, 15.0, 0.8) * traits.pace
    tapped = rng.choice(tappable)
    if isinstance(tapped, str):
        return Step(Act.TAP, after, words=tapped)
    return Step(Act.CHOOSE, after, choice=tapped)


def _say(rng: Random, person: Person, traits: Traits) -> Step:
    words = rng.choice(_SAYINGS[person.language])
    return Step(Act.SAY, _delay(rng, 40.0, 0.9) * traits.pace, words=words)


def _happens(rng: Random, override: float | None, natural: float) -> bool:
    return rng.random() < (natural if override is None else override)


def _delay(rng: Random, median_s: float, spread: float) -> float:
    return min(median_s * rng.lognormvariate(0, spread), DAY_S)
