"""What Meta says of the quality of templates and numbers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.clock import moment_of
from chassis.postgres import Pool
from chassis.times import milliseconds
from merhaba.event.v1 import Event
from services.reports import wire
from services.reports.columns import by_column

GROUP: Final = "reports.quality"
_BAD_STATES: Final = frozenset({"PAUSED", "DISABLED", "FLAGGED", "LIMIT_EXCEEDED"})
_BAD_SCORES: Final = frozenset({"YELLOW", "RED"})
_BAD_CHANGES: Final = frozenset({"FLAGGED", "DOWNGRADE"})
_GONE: Final = frozenset({"DELETED", "PENDING_DELETION", "ARCHIVED"})
_OF_SPEED: Final = "THROUGHPUT_UPGRADE"
_KEEP: Final = (
    "INSERT INTO quality_facts AS f (subject, change_time, kind, label, score, bad)"
    " SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],"
    " $6::boolean[]) AS t ORDER BY 1 ON CONFLICT (subject) DO UPDATE"
    " SET change_time = excluded.change_time, label = excluded.label, score = excluded.score,"
    " bad = excluded.bad WHERE (excluded.change_time, excluded.score) > (f.change_time, f.score)"
)


class Quality(NamedTuple):
    """What was said of a template or number."""

    subject: str
    time: int
    kind: str
    label: str
    score: str
    bad: bool


def said(event: Event) -> list[Quality]:
    """What an event says of quality; nothing, most of them."""
    time = milliseconds(event.event_time)
    match event.WhichOneof("body"):
        case "template_status_changed":
            status = event.template_status_changed
            label = f"{status.name} ({status.language})"
            subject = f"template/{status.waba_id}/{status.name}/{status.language}"
            word = status.status
            found = [
                Quality(f"{subject}/status", time, "template", label, word, word in _BAD_STATES)
            ]
            if word in _GONE:  # what was said of its quality concerns nobody any more
                found.append(Quality(f"{subject}/quality", time, "template", label, word, False))
            return found
        case "template_quality_changed":
            quality = event.template_quality_changed
            label = f"{quality.name} ({quality.language})"
            subject = f"template/{quality.waba_id}/{quality.name}/{quality.language}/quality"
            bad = quality.score in _BAD_SCORES
            return [Quality(subject, time, "template", label, quality.score, bad)]
        case "number_quality_changed":
            number = event.number_quality_changed
            if number.change == _OF_SPEED:  # which does not undo what was said of quality
                return []
            subject = f"number/{number.waba_id}/{number.display_phone_number}"
            bad = number.change in _BAD_CHANGES
            label = number.display_phone_number
            return [Quality(subject, time, "number", label, number.change, bad)]
    return []


class Qualities:
    """Keeps the latest that was said, whatever the order in which it comes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle(self, events: Sequence[bytes]) -> None:
        """Take what a batch of the topic `inbound.message` says. Raises `FieldInvalid`."""
        latest: dict[str, Quality] = {}
        for raw in events:
            for one in said(wire.event(raw)):
                if (one.time, one.score) > _age(latest.get(one.subject)):
                    latest[one.subject] = one
        if not latest:
            return
        rows = [(q.subject, moment_of(q.time), *q[2:]) for q in latest.values()]
        await self._pool.execute(_KEEP, *by_column(rows))

    async def bad(self) -> list[Quality]:
        """Whatever is bad now."""
        rows = await self._pool.fetch(
            "SELECT subject, kind, label, score FROM quality_facts WHERE bad ORDER BY subject"
        )
        return [Quality(r["subject"], 0, r["kind"], r["label"], r["score"], True) for r in rows]


def _age(known: Quality | None) -> tuple[int, str]:
    return (0, "") if known is None else (known.time, known.score)
