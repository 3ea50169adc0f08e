"""What one person will do with one message. Pure, decided by the seed."""

from enum import Enum, auto

import msgspec

from simulator.messages.content import Choice, Content
from simulator.people.dice import Dice
from simulator.people.habits import Habits, habits_of, until_awake
from simulator.people.person import NATURAL, Person
from simulator.people.places import place_of
from simulator.people.words import SAYINGS, STOP_WORDS

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
# Codes and receipts are looked at sooner and by more people than offers.
_INTEREST = {"authentication": 0.55, "utility": 0.7}
_LEFT_META_S = 0.4


class Act(Enum):
    """One thing that happens to a message."""

    ASSESS = auto()
    """Meta decides about a message that it held back."""
    SENT = auto()
    DELIVERED = auto()
    READ = auto()
    PLAYED = auto()
    FAILED = auto()
    CHOOSE = auto()
    TAP = auto()
    SAY = auto()
    PREFER_STOP = auto()
    BLOCK = auto()
    REPORT = auto()


class Step(msgspec.Struct, frozen=True, gc=False):
    """An act and how long after the one before it, in simulated seconds."""

    act: Act
    after: float
    code: int = 0
    words: str = ""
    choice: Choice | None = None


def failing(person: Person, seed: int, code: int) -> tuple[Step, ...]:
    """The message is accepted, and then fails."""
    dice = Dice(f"{seed}/{person.wa_id}/{person.received}")
    return (Step(Act.FAILED, dice.delay(_LEFT_META_S, 0.4), code=code),)


def plan(
    person: Person, content: Content, seed: int, *, utc_s: float | None, blocked: bool = False
) -> tuple[Step, ...]:
    """What becomes of the next message to this person, in order of time.

    `utc_s`: seconds since midnight in UTC by people's own clock; None if it is always day.
    `blocked`: whether this person blocked the number that sends.
    """
    behaviour = person.behaviour
    if behaviour.silent:
        return ()
    dice = Dice(f"{seed}/{person.wa_id}/{person.received}")
    steps = [Step(Act.SENT, dice.delay(_LEFT_META_S, 0.4))]
    # Blocking is told to nobody: such messages leave Meta and arrive nowhere.
    if content.type == "reaction" or blocked or behaviour.offline:
        return tuple(steps)
    habits = habits_of(seed, person.wa_id, person.language, person.segment)
    acts = _acts(person, habits, content, dice)
    # Some phones are off or without a network for a while.
    off = dice.happens(0.06)
    delivered = dice.delay(1200.0 if off else 1.2, 1.0)
    reads = 1.0 - (1.0 - habits.reads) * _INTEREST.get(content.category, 1.0)
    opens = bool(acts) or _happens(dice, behaviour.reads, reads)
    if not opens:
        return (*steps, Step(Act.DELIVERED, delivered))
    # A chat that is open on the screen is read at once: no delivered status then.
    on_screen = dice.happens(0.04)
    look = 0.0 if on_screen else dice.delay(120.0, 1.3) * habits.pace
    if utc_s is not None and behaviour is NATURAL and not on_screen:
        local_s = utc_s + place_of(person.wa_id).utc_offset_h * _HOUR_S
        look += until_awake(dice, habits.day, (local_s + delivered + look) % _DAY_S)
    receipts = habits.receipts if behaviour.reads is None else behaviour.reads > 0
    told = _told(content, dice, delivered, look, receipts=receipts, on_screen=on_screen)
    if acts and not receipts:
        acts[0] = msgspec.structs.replace(acts[0], after=acts[0].after + look)
    return (*steps, *told, *acts)


def _told(
    content: Content, dice: Dice, delivered: float, look: float, *, receipts: bool, on_screen: bool
) -> list[Step]:
    """What Meta tells of a message that is opened."""
    if not receipts:
        return [Step(Act.DELIVERED, delivered)]
    told = (
        [Step(Act.READ, delivered)]
        if on_screen
        else [Step(Act.DELIVERED, delivered), Step(Act.READ, look)]
    )
    if content.voice and dice.happens(0.8):
        told.append(Step(Act.PLAYED, dice.delay(20.0, 0.8)))
    return told


def _acts(person: Person, habits: Habits, content: Content, dice: Dice) -> list[Step]:
    behaviour, acts = person.behaviour, list[Step]()
    tappable: list[Choice | str] = [*content.choices, *content.links]
    if not content.template:
        if not _happens(dice, behaviour.answers, habits.answers):
            return acts
        return [_tap(dice, habits, tappable) if tappable else _say(dice, person, habits)]
    if tappable and _happens(dice, behaviour.clicks, habits.clicks):
        acts.append(_tap(dice, habits, tappable))
    if _happens(dice, behaviour.replies, habits.replies):
        acts.append(_say(dice, person, habits))
    wanted = content.category in {"utility", "authentication"}
    if _happens(dice, behaviour.stops, habits.stops * (0.2 if wanted else 1.0)):
        stop_word = dice.pick(STOP_WORDS.get(person.language, STOP_WORDS["en"]))
        acts.append(Step(Act.SAY, dice.delay(20.0, 0.8) * habits.pace, words=stop_word))
        if dice.happens(0.3):
            acts.append(Step(Act.PREFER_STOP, dice.delay(10.0, 0.5)))
    if _happens(dice, behaviour.blocks, habits.blocks * (0.2 if wanted else 1.0)):
        acts.append(Step(Act.BLOCK, dice.delay(8.0, 0.8)))
        if dice.happens(0.5):
            acts.append(Step(Act.REPORT, dice.delay(3.0, 0.5)))
    return acts


def _tap(dice: Dice, habits: Habits, tappable: list[Choice | str]) -> Step:
    after = dice.delay(15.0, 0.8) * habits.pace
    tapped = dice.pick(tappable)
    if isinstance(tapped, str):
        return Step(Act.TAP, after, words=tapped)
    return Step(Act.CHOOSE, after, choice=tapped)


def _say(dice: Dice, person: Person, habits: Habits) -> Step:
    words = dice.pick(SAYINGS.get(person.language, SAYINGS["en"]))
    return Step(Act.SAY, dice.delay(40.0, 0.9) * habits.pace, words=words)


def _happens(dice: Dice, override: float | None, natural: float) -> bool:
    return dice.share() < (natural if override is None else override)
