"""The chain that led to a message, and what became of it, step by step. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from chassis.clock import moment_of
from services.reports.model import Context, MessageFact, Origin, Step

Kind = Literal["event", "segment", "trigger", "journey", "campaign", "gate", "attempt", "status"]
_STATUSES: Final[tuple[Step, ...]] = ("delivered", "read", "clicked", "replied")


class Link(NamedTuple):
    """One link of the chain."""

    kind: Kind
    time: int | None
    """Epoch milliseconds; None where it is no moment, or none is known."""
    subject: str
    outcome: str
    reason: str = ""


class Word(NamedTuple):
    """What a gate said of a message that it made wait or refused."""

    time: int
    gate: str
    """Or whatever else made it wait: a limiter, Meta's pacing."""
    refused: bool
    reason: str
    """A word for programs; empty where none was given."""
    until: int | None
    """Epoch milliseconds; None where it does not wait, or Meta decides."""


def why(
    fact: MessageFact, context: Context, origin: Origin | None, words: Sequence[Word] = ()
) -> list[Link]:
    """What made the message start, whom its contact was among, which gates made it wait, refused it
    or let it pass, and what Meta and the person did."""
    return [*_cause(fact, context, origin), *_passage(fact, words), *_outcome(fact)]


def labels_of(links: Mapping[str, list[Link]], kind: Kind) -> list[str]:
    """Subjects of a kind, for people to be told by name."""
    return sorted({link.subject for many in links.values() for link in many if link.kind == kind})


def _cause(fact: MessageFact, context: Context, origin: Origin | None) -> Iterator[Link]:
    start = None if origin is None else origin.time
    if origin is not None and origin.cause_event_id:
        yield Link("event", None, origin.cause_event_id, "happened")
    for segment in context.segments:
        yield Link("segment", fact.counted_time, segment, "member")
    if context.trigger_id:
        yield Link("trigger", start, context.trigger_id, "fired")
    if context.journey_id:
        yield Link("journey", start, context.journey_id, "reached", context.journey_step)
    if fact.campaign_id:
        variant = f"variant {fact.variant}" if fact.variant else ""
        yield Link("campaign", fact.times.get("planned"), fact.campaign_id, "planned", variant)


def _passage(fact: MessageFact, words: Sequence[Word]) -> Iterator[Link]:
    times = fact.times
    # Words are kept no longer than history; the fact alone tells no gate of what waited
    if "held" in times and all(word.refused for word in words):
        yield Link("gate", times["held"], "", "waited")
    for word in words:
        reason = word.reason
        if word.until is not None:
            reason = f"until {moment_of(word.until):%Y-%m-%dT%H:%M:%SZ}"
        yield Link("gate", word.time, word.gate, "refused" if word.refused else "waited", reason)
    if "held_out" in times:
        yield Link("gate", times["held_out"], fact.control, "refused", "held_out_on_purpose")
    if "suppressed" in times and not any(word.refused for word in words):
        yield Link("gate", times["suppressed"], fact.gate[1] if fact.gate else "", "refused")
    attempted = [times[step] for step in ("sent", "failed", "unknown") if step in times]
    if attempted or fact.reached_time is not None:
        yield Link("gate", min(attempted, default=fact.reached_time), "", "passed")


def _outcome(fact: MessageFact) -> Iterator[Link]:
    times = fact.times
    if "unknown" in times:
        yield Link("attempt", times["unknown"], "", "unknown", "answer_lost")
    if "sent" in times:
        yield Link("attempt", times["sent"], fact.phone_number_id, "accepted")
    for step in _STATUSES:
        if step in times:
            yield Link("status", times[step], fact.message_id, step)
    if "failed" in times:
        code = str(fact.failure[1]) if fact.failure else ""
        kind: Kind = "status" if "sent" in times else "attempt"
        yield Link(kind, times["failed"], fact.message_id, "failed", code)
