"""Timelines in the words of the contract."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from chassis import paging
from chassis.clock import Clock, moment_of
from chassis.failures import FieldInvalid
from chassis.postgres import Pool
from chassis.privacy import usable_id
from chassis.reads import Reads
from chassis.times import stamped, timestamp
from merhaba.reports.v1 import (
    Freshness,
    GetContactTimelineRequest,
    GetContactTimelineResponse,
    TimelineItem,
    WhyStep,
)
from services.reports.chronicle import wire
from services.reports.chronicle.store import Place, Timelines
from services.reports.chronicle.why import Link, labels_of, why
from services.reports.failures import ContactNotFound
from services.reports.messages import Known


def timeline_reads(pool: Pool, clock: Clock, keep: timedelta) -> Reads:
    """The record of whose timelines were read. `keep`: how long a read stays on it."""
    return Reads(pool, clock, keep, ("contact_id",), moment=lambda now: now)


class TimelineApi:
    """Tells one person's timeline, and puts on record to whom."""

    def __init__(
        self,
        timelines: Timelines,
        reads: Reads,
        fold_time: Callable[[], datetime],
        fresh: Callable[[datetime, bool], Freshness],
    ) -> None:
        self._timelines = timelines
        self._reads = reads
        self._fold_time = fold_time
        self._fresh = fresh

    async def page(self, request: GetContactTimelineRequest) -> GetContactTimelineResponse:
        """A page, latest first. Raises `ContactNotFound`, `FieldInvalid` and `TokenInvalid`."""
        contact_id = usable_id(request.contact_id, "contact_id", "send the contact's id")
        start, end = (_moment(request, field) for field in ("start_time", "end_time"))
        size, query = paging.size(request.page_size), paging.query(request)
        given = paging.place(request.page_token, query, [int, str, str])
        behind = None if given is None else Place(moment_of(given[0]), given[1], given[2])
        fold_time = self._fold_time()
        await self._reads.record(contact_id)
        found = await self._timelines.page(contact_id, start, end, behind, size + 1)
        if found is None:
            raise ContactNotFound(contact_id)
        items, more = found.items[:size], len(found.items) > size
        chains = {
            item.place.key: why(
                *item.what,
                found.origins.get(item.what.fact.occurrence_id),
                found.words.get(item.what.fact.message_id, ()),
            )
            for item in items
            if isinstance(item.what, Known)
        }
        names = await self._timelines.names(
            labels_of(chains, "campaign"), labels_of(chains, "segment")
        )
        last = items[-1].place if more else None
        return GetContactTimelineResponse(
            items=[
                TimelineItem(
                    event_time=stamped(item.place.time),
                    event=wire.event(item),
                    why=[
                        _step(link, names.get((link.kind, link.subject), link.subject))
                        for link in (chains[item.place.key] if isinstance(item.what, Known) else ())
                    ],
                )
                for item in items
            ],
            next_page_token=""
            if last is None
            else paging.token(query, [_ms(last.time), last.source, last.key]),
            freshness=self._fresh(fold_time, False),
        )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _step(link: Link, label: str) -> WhyStep:
    return WhyStep(
        event_time=timestamp(link.time),
        kind=link.kind,
        subject=link.subject,
        label=label,
        outcome=link.outcome,
        reason=link.reason,
    )


def _moment(request: GetContactTimelineRequest, field: str) -> datetime | None:
    if not request.HasField(field):  # type: ignore[arg-type]  # one of two constants of this module
        return None
    given: Timestamp = getattr(request, field)
    try:
        return given.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise FieldInvalid(field, "the time is out of range") from None
