"""The chain that led to a message, and what became of it, step by step. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

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


def why(fact: MessageFact, context: Context, origin: Origin | None) -> list[Link]:
    """What made the message start, whom its contact was among, what let it pass or held it back,
    and what Meta and the person did."""
    return [*_cause(fact, context, origin), *_passage(fact), *_outcome(fact)]


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


def _passage(fact: MessageFact) -> Iterator[Link]:
    times = fact.times
    if "held" in times:
        yield Link("gate", times["held"], "", "waited")
    if "held_out" in times:
        yield Link("gate", times["held_out"], fact.control, "refused", "held out on purpose")
    if "suppressed" in times:
        yield Link("gate", times["suppressed"], fact.gate[1] if fact.gate else "", "refused")
    attempted = [times[step] for step in ("sent", "failed", "unknown") if step in times]
    if attempted or fact.reached_time is not None:
        yield Link("gate", min(attempted, default=fact.reached_time), "", "passed")


def _outcome(fact: MessageFact) -> Iterator[Link]:
    times = fact.times
    if "unknown" in times:
        yield Link("attempt", times["unknown"], "", "unknown", "Meta's answer was lost")
    if "sent" in times:
        yield Link("attempt", times["sent"], fact.phone_number_id, "accepted")
    for step in _STATUSES:
        if step in times:
            yield Link("status", times[step], fact.message_id, step)
    if "failed" in times:
        code = str(fact.failure[1]) if fact.failure else ""
        kind: Kind = "status" if "sent" in times else "attempt"
        yield Link(kind, times["failed"], fact.message_id, "failed", code)
