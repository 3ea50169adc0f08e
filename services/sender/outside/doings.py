"""What people did and which segments they are in, where a message speaks of it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.times import milliseconds
from expressions import Timeline
from merhaba.event.v1 import Event
from merhaba.profile.v1 import ProfileServiceStub, StreamHistoryRequest
from merhaba.segment.v1 import CheckMembershipRequest, ListSegmentsRequest, SegmentServiceStub
from services.sender.failures import SegmentNotFound
from services.sender.model import Contact
from services.sender.wording.bindings import EVENTS, SEGMENTS

_MOST_MEMBERS: Final = 500
_PAGE: Final = 500
_KEPT: Final = 1_000
"""Of one name and one person: the newest events, since whoever writes a message looks at few."""
_NAMES: Final = {"template_name": "template"}


def split(needs: Collection[str]) -> tuple[list[str], list[str], list[str]]:
    """Attributes with traits, events and segments, each by its own name."""
    events = [one.removeprefix(EVENTS) for one in needs if one.startswith(EVENTS)]
    segments = [one.removeprefix(SEGMENTS) for one in needs if one.startswith(SEGMENTS)]
    others = [one for one in needs if not one.startswith((EVENTS, SEGMENTS))]
    return others, events, segments


class Doings:
    """Asks profile for histories, and segment for memberships."""

    def __init__(self, profile: ProfileServiceStub, segment: SegmentServiceStub) -> None:
        self._profile = profile
        self._segment = segment

    async def add(
        self, contacts: Mapping[str, Contact], events: Sequence[str], segments: Sequence[str]
    ) -> Mapping[str, Contact]:
        """The same contacts, by the id asked for, with events and segments of these names.

        Raises SegmentNotFound, and grpc.aio.AioRpcError.
        """
        if not (events or segments) or not contacts:
            return contacts
        ids = sorted({contact.contact_id for contact in contacts.values()})
        done = await self._histories(ids, events) if events else {}
        belongs = await self._memberships(ids, segments) if segments else {}
        return {
            asked: msgspec.structs.replace(
                one,
                timelines=done.get(one.contact_id, {}),
                segments=belongs.get(one.contact_id, frozenset()),
            )
            for asked, one in contacts.items()
        }

    async def _histories(
        self, ids: Sequence[str], events: Sequence[str]
    ) -> dict[str, dict[str, Timeline]]:
        found: dict[str, dict[str, Timeline]] = {}
        request = StreamHistoryRequest(
            contact_ids=ids, names=events, read_mask=FieldMask(paths=["events"])
        )
        async for response in self._profile.StreamHistory(request):
            for history in response.histories:
                timelines = found.setdefault(history.contact_id, {})
                for event in history.events:
                    name = name_of(event)
                    timeline = timelines.setdefault(name, Timeline())
                    time = milliseconds(event.event_time)
                    timeline.insert(time, properties_of(event), limit=_KEPT)
        return found

    async def _memberships(
        self, ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, frozenset[str]]:
        by_id = {segment_id: name for name, segment_id in (await self._ids(names)).items()}
        found: dict[str, set[str]] = {}
        for start in range(0, len(ids), _MOST_MEMBERS):
            answer = await self._segment.CheckMembership(
                CheckMembershipRequest(
                    contact_ids=ids[start : start + _MOST_MEMBERS], segment_ids=list(by_id)
                )
            )
            for one in answer.memberships:
                if one.member:
                    found.setdefault(one.contact_id, set()).add(by_id[one.segment_id])
        return {contact_id: frozenset(names) for contact_id, names in found.items()}

    async def _ids(self, names: Sequence[str]) -> dict[str, str]:
        page = await self._segment.ListSegments(ListSegmentsRequest(names=names, page_size=_PAGE))
        found = {one.name: one.segment_id for one in page.segments}
        if missing := set(names) - found.keys():
            name = min(missing)
            raise SegmentNotFound(f"no segment is called {name}", segment_id=name)
        return found


def name_of(event: Event) -> str:
    """As expressions name it."""
    kind = event.WhichOneof("body") or ""
    return event.tracked.name if kind == "tracked" else kind


def properties_of(event: Event) -> dict[str, Any]:
    """What expressions read of it."""
    kind = event.WhichOneof("body") or ""
    if kind == "tracked":
        return _object(event.tracked.properties_json)
    body = getattr(event, kind)
    found: dict[str, Any] = {}
    for field, value in body.ListFields():
        if field.name == "message":
            found |= {_NAMES.get(f.name, f.name): v for f, v in value.ListFields()}
        elif field.name == "content":
            text = value.text or value.button_reply.title or value.media.caption
            found |= {"kind": value.kind, "text": text, "payload": value.button_reply.payload}
        elif field.name.endswith("properties_json"):
            found |= _object(value)
        elif isinstance(value, str | bool | int | float):
            found[field.name] = value
    return found


def _object(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
