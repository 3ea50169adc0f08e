"""`merhaba trace`: a message's whole way with times, from the webhook that caused it to the report.

It is put together from what the services keep, so it needs no tracing backend; where the message's
trace was recorded, its trace id is told and finds the message as well.
"""

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple

import grpc
import typer
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from chassis.rpc import channel
from cli.calling import pages
from cli.target import target_of
from cli.terminal import Console, echo
from cli.told import told
from merhaba.event.v1 import Event
from merhaba.profile.v1 import ListEventsRequest, ProfileServiceStub
from merhaba.reports.v1 import GetContactTimelineRequest, ReportServiceStub
from merhaba.segment.v1 import GetOccurrenceRequest, GetTriggerRequest, TriggerServiceStub
from merhaba.sender.v1 import (
    GateVerdict,
    GetMessageRequest,
    ListMessageEventsRequest,
    ListMessagesRequest,
    Message,
    MessageEvent,
    MessageServiceStub,
)

_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_PURPOSE: Final = "tracing a message"
_LATEST: Final = 10
_AROUND: Final = timedelta(days=30)  # statuses come for a month at most
_PAGE: Final = 1_000
_VERDICTS: Final = {GateVerdict.VERDICT_WAIT: "waits", GateVerdict.VERDICT_REFUSE: "refuses"}


class Step(NamedTuple):
    """Something that happened to a message, or because of it."""

    time: datetime
    where: str
    what: str
    detail: str = ""

    def order(self) -> datetime:
        """Meta tells whole seconds: it happened at some moment of that one."""
        return self.time + timedelta(seconds=1) if self.where == "Meta" else self.time


class Services(NamedTuple):
    """Whom it asks."""

    profile: ProfileServiceStub
    triggers: TriggerServiceStub
    messages: MessageServiceStub
    reports: ReportServiceStub


def trace(
    id: Annotated[str, typer.Argument(help="Of a message, a contact or a trace.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """A message's whole way with times, from webhook to status; of a contact its latest ones."""
    with told():
        uvloop.run(_show(id, as_json))


async def _show(wanted: str, as_json: bool) -> None:
    async with _services() as services:
        found = await _find(services, wanted)
        if not found:
            sys.exit(f"merhaba: no message, contact or recorded trace has the id {wanted}")
        for message in found:
            steps = [step async for step in _steps(services, message)]
            _print(message, sorted(steps, key=Step.order), as_json)


@asynccontextmanager
async def _services() -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        profile, segment, sender, reports = [
            await stack.enter_async_context(channel(*target_of(service), purpose=_PURPOSE))
            for service in ("profile", "segment", "sender", "reports")
        ]
        yield Services(
            ProfileServiceStub(profile),
            TriggerServiceStub(segment),
            MessageServiceStub(sender),
            ReportServiceStub(reports),
        )


async def _find(services: Services, wanted: str) -> Sequence[Message]:
    if _TRACE.fullmatch(wanted):
        request = ListMessagesRequest(trace_id=wanted, page_size=_LATEST)
        if listed := (await services.messages.ListMessages(request)).messages:
            return listed
    try:
        return [(await services.messages.GetMessage(GetMessageRequest(message_id=wanted))).message]
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
    request = ListMessagesRequest(contact_id=wanted, page_size=_LATEST)
    return (await services.messages.ListMessages(request)).messages


async def _steps(services: Services, message: Message) -> AsyncIterator[Step]:
    """All that is known of a message, in no order."""
    if message.ref.occurrence_id:
        async for step in _cause(services, message):
            yield step
    told_by_sender = await services.messages.ListMessageEvents(
        ListMessageEventsRequest(message_id=message.ref.message_id, page_size=_PAGE)
    )
    for one in told_by_sender.events:
        for step in _sent(one):
            yield step
    async for event in _history(services, message, message.plan_time):
        name = _name(event)
        if event.HasField("received_time"):
            yield Step(_at(event.received_time), "ingest", f"took what it said: {name}")
    timeline = await services.reports.GetContactTimeline(
        GetContactTimelineRequest(contact_id=message.contact_id, page_size=_PAGE)
    )
    for item in timeline.items:
        if _message_id(item.event) == message.ref.message_id:
            yield Step(_at(timeline.freshness.fold_time), "reports", "has counted it")
            return


async def _cause(services: Services, message: Message) -> AsyncIterator[Step]:
    """What started it: the occurrence of a trigger, and the event behind it."""
    try:
        request = GetOccurrenceRequest(occurrence_id=message.ref.occurrence_id)
        occurrence = (await services.triggers.GetOccurrence(request)).occurrence
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return  # of a journey, or kept long enough
    if occurrence.cause_event_id:
        start, end = Timestamp(), Timestamp()
        start.CopyFrom(occurrence.cause_time)
        end.FromDatetime(_at(occurrence.cause_time) + timedelta(milliseconds=1))
        events = await services.profile.ListEvents(
            ListEventsRequest(
                contact_id=message.contact_id, start_time=start, end_time=end, page_size=_PAGE
            )
        )
        for event in events.events:
            if event.event_id == occurrence.cause_event_id:
                yield Step(_at(event.event_time), "person", _name(event))
                yield Step(_at(event.received_time), "ingest", f"accepted: {_name(event)}")
    trigger = await services.triggers.GetTrigger(
        GetTriggerRequest(trigger_id=occurrence.trigger_id)
    )
    if occurrence.HasField("end_time"):
        fired = occurrence.State.Name(occurrence.state).removeprefix("STATE_").lower()
        yield Step(_at(occurrence.end_time), "segment", f"trigger {fired}", trigger.trigger.name)


async def _history(services: Services, message: Message, begin: Timestamp) -> AsyncIterator[Event]:
    """Events that profile keeps of this message."""
    until = Timestamp()
    until.FromDatetime(_at(begin) + _AROUND)
    request = ListEventsRequest(
        contact_id=message.contact_id,
        start_time=begin,
        end_time=until,
        oldest_first=True,
        page_size=_PAGE,
    )
    async for page in pages(services.profile.ListEvents, request):
        for event in page.events:
            if _message_id(event) == message.ref.message_id:
                yield event


def _sent(event: MessageEvent) -> Iterator[Step]:
    """What the sender did, or was told by Meta."""
    time = _at(event.event_time)
    kind = MessageEvent.Kind.Name(event.kind).removeprefix("KIND_").lower()
    match event.kind:
        case MessageEvent.KIND_GATED:
            stops = [
                f"{one.gate} {_VERDICTS[one.verdict]} ({one.explanation or one.reason})"
                for one in event.verdicts
                if one.verdict in _VERDICTS
            ]
            asked = sum(one.verdict != GateVerdict.VERDICT_SKIPPED for one in event.verdicts)
            yield Step(time, "sender", f"asked {asked} gates", "; ".join(stops) or "all passed")
        case MessageEvent.KIND_ATTEMPTED:
            told = f"number {event.attempt.phone_number_id}"
            if event.attempt.trace_id:
                told += f", trace {event.attempt.trace_id}"
            yield Step(time, "sender", f"called Meta, attempt {event.attempt.number}", told)
        case MessageEvent.KIND_STATUS:
            yield Step(time, "Meta", event.status.status)
        case MessageEvent.KIND_REPLIED | MessageEvent.KIND_CLICKED:
            yield Step(time, "person", kind)
        case _:
            yield Step(time, "sender", kind)


def _message_id(event: Event) -> str:
    body = getattr(event, event.WhichOneof("body") or "", None)
    return str(getattr(getattr(body, "message", None), "message_id", ""))


def _name(event: Event) -> str:
    return (event.WhichOneof("body") or "event").replace("_", " ")


def _at(moment: Timestamp) -> datetime:
    return moment.ToDatetime(UTC)


def _print(message: Message, steps: Sequence[Step], as_json: bool) -> None:
    state = Message.State.Name(message.state).removeprefix("STATE_").lower()
    if as_json:
        said = [
            {
                "time": one.time.isoformat(timespec="milliseconds"),
                "where": one.where,
                "what": one.what,
                "detail": one.detail,
            }
            for one in steps
        ]
        echo(json.dumps({"message_id": message.ref.message_id, "state": state, "steps": said}))
        return
    table = Table("UTC", "after", "where", "what", "", title=f"{message.ref.message_id}: {state}")
    for one in steps:
        after = (one.time - steps[0].time).total_seconds()
        table.add_row(
            f"{one.time:%Y-%m-%d %H:%M:%S}.{one.time.microsecond // 1000:03}",
            f"+{after:,.3f} s",
            *(one.where, one.what, one.detail),
        )
    Console().print(table)
