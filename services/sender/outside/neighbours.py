"""The services that the sender asks: profile, segment and ingest."""

from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
import msgspec
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.failures import Failure, FieldInvalid
from chassis.ids import fingerprint
from expressions import Registry
from merhaba.event.v1 import Identity
from merhaba.ingest.v1 import CreateLinksRequest, IngestServiceStub, LinkSpec
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    BatchGetReachRequest,
    ContactRef,
    ProfileServiceStub,
    ReachServiceStub,
)
from merhaba.profile.v1 import Contact as ContactProto
from merhaba.segment.v1 import (
    GetSegmentRequest,
    Segment,
    SegmentServiceStub,
    StreamMembersRequest,
)
from services.sender.campaigns.people import Members, Person
from services.sender.campaigns.planner import LinkWish
from services.sender.failures import (
    ContactNotFound,
    PreflightFailed,
    SegmentNotFound,
    ServiceUnavailable,
)
from services.sender.gates.now import OPEN_COMPLAINT
from services.sender.model import Address, Contact
from services.sender.outside.doings import Doings, split
from services.sender.outside.reached import CONSENTS, reached
from services.sender.vocabulary import Vocabulary
from services.sender.wire import at

_MOST_CONTACTS = 500
_MOST_REACHED = 2_000
_FORGOTTEN = ("HISTORY_TOO_SHORT", "TOKEN_INVALID")
"""Why segment goes on no more with members as of a moment: no waiting helps."""
_PURPOSE = ("purpose", "sending messages")
_SENDING = (
    *("addresses", "consents", "zone", "language", "state", "absorbed_contact_ids"),
    OPEN_COMPLAINT,
)


class Neighbours:
    """Implements `dispatch.Contacts`, `planner.People` and `audiences.Sources`."""

    def __init__(
        self, profile: grpc.aio.Channel, segment: grpc.aio.Channel, ingest: grpc.aio.Channel
    ) -> None:
        self._profile: ProfileServiceStub = ProfileServiceStub(profile)
        self._reach: ReachServiceStub = ReachServiceStub(profile)
        self._segment: SegmentServiceStub = SegmentServiceStub(segment)
        self._ingest: IngestServiceStub = IngestServiceStub(ingest)
        self._doings = Doings(self._profile, self._segment)
        self._vocabulary = Vocabulary(profile)

    async def get(self, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
        """Addresses, consents, zone and language of those that exist."""
        return await self.read(contact_ids, ())

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]:
        """Contacts by the id asked for, with these attributes besides; events and segments are
        named among them, as by `Compiled.needs`."""
        attributes, events, segments = split(attributes)
        wanted = [_path(attribute) for attribute in attributes]
        mask = FieldMask(paths=[*_SENDING, *wanted])
        found: dict[str, Contact] = {}
        for start in range(0, len(contact_ids), _MOST_CONTACTS):
            ids = contact_ids[start : start + _MOST_CONTACTS]
            contacts = await self._batch([ContactRef(contact_id=one) for one in ids], mask)
            # A contact that was merged away answers as the one that stayed.
            found |= {i: contact for i, contact in zip(ids, contacts, strict=True) if contact}
        return await self._doing(found, events, segments)

    async def reach(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]:
        """Contacts by the id asked for, with these attributes, but without their addresses: of
        these only the market and the number they wrote to."""
        attributes, events, segments = split(attributes)
        found: dict[str, Contact] = {}
        for start in range(0, len(contact_ids), _MOST_REACHED):
            ids = contact_ids[start : start + _MOST_REACHED]
            request = BatchGetReachRequest(contact_ids=ids, attribute_names=attributes)
            try:
                response = await self._reach.BatchGetReach(request, metadata=[_PURPOSE])
            except grpc.aio.AioRpcError as error:
                raise _unavailable("profile", error) from error
            found |= reached(ids, attributes, response)
        return await self._doing(found, events, segments)

    async def _doing(
        self, contacts: Mapping[str, Contact], events: Sequence[str], segments: Sequence[str]
    ) -> Mapping[str, Contact]:
        try:
            return await self._doings.add(contacts, events, segments)
        except grpc.aio.AioRpcError as error:
            raise _unavailable("profile or segment", error) from error

    async def resolve(self, identity: Identity) -> str:
        """The contact that has an identity; raises ContactNotFound."""
        (contact,) = await self._batch([ContactRef(identity=identity)], FieldMask(paths=["state"]))
        if contact is None:
            kind = Identity.Kind.Name(identity.kind).removeprefix("KIND_").lower()
            raise ContactNotFound("profile knows nobody with this identity", identity_kind=kind)
        return contact.contact_id

    async def _batch(self, refs: Sequence[ContactRef], mask: FieldMask) -> list[Contact | None]:
        return [one and _contact(one) for one in await self._found(refs, mask)]

    async def who(self, refs: Sequence[ContactRef]) -> list[str | None]:
        """The contacts that are meant, in order; None for whom nobody knows."""
        mask = FieldMask(paths=["state"])
        found: list[str | None] = []
        for start in range(0, len(refs), _MOST_CONTACTS):
            some = await self._found(refs[start : start + _MOST_CONTACTS], mask)
            found += [one and one.contact_id for one in some]
        return found

    async def _found(
        self, refs: Sequence[ContactRef], mask: FieldMask
    ) -> list[ContactProto | None]:
        request = BatchGetContactsRequest(contacts=refs, read_mask=mask)
        try:
            response = await self._profile.BatchGetContacts(request, metadata=[_PURPOSE])
        except grpc.aio.AioRpcError as error:
            # What is to be read is refused only by a profile of another version
            of_somebody = _why(error).metadata["field"] != "read_mask"
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT or not of_somebody:
                raise _unavailable("profile", error) from error
            if len(refs) == 1:
                return [None]
            # One that cannot be anybody's has them all refused: halved until it is alone.
            half = len(refs) // 2
            return [*await self._found(refs[:half], mask), *await self._found(refs[half:], mask)]
        return [r.contact if r.HasField("contact") else None for r in response.results]

    async def members(self, segment_id: str, cursor: str) -> AsyncIterator[Members]:
        """Members of a segment as of the first call, from a cursor on. Raises SegmentNotFound."""
        request = StreamMembersRequest(segment_id=segment_id, cursor=cursor)
        try:
            async for response in self._segment.StreamMembers(request):
                people = [Person(m.contact_id) for m in response.members]
                yield Members(people, response.cursor, total=response.total_count)
        except grpc.aio.AioRpcError as error:
            raise _of_segment(segment_id, error) from error

    async def segment_version(self, segment_id: str) -> int:
        """The version of a segment that is in force. Raises SegmentNotFound."""
        try:
            answer = await self._segment.GetSegment(GetSegmentRequest(segment_id=segment_id))
        except grpc.aio.AioRpcError as error:
            raise _of_segment(segment_id, error) from error
        if answer.segment.state == Segment.STATE_ARCHIVED:
            raise SegmentNotFound(
                "the segment is archived, and nobody is in it; choose another",
                segment_id=segment_id,
            )
        return answer.segment.live_version

    async def registry(self) -> Registry:
        """What expressions may name, with the types that profile knows of attributes."""
        return (await self._vocabulary.known()).registry

    async def links(self, wishes: Sequence[LinkWish]) -> Sequence[str]:
        """The tokens of tracked links, in order."""
        request_id = fingerprint("\x1f".join(part for wish in wishes for part in wish))
        try:
            response = await self._ingest.CreateLinks(
                CreateLinksRequest(
                    request_id=str(request_id), links=[LinkSpec(**w._asdict()) for w in wishes]
                )
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise FieldInvalid(
                    "link",
                    f"ingest does not take the target; see its settings: {error.details() or ''}",
                ) from error
            raise _unavailable("ingest", error) from error
        return [link.token for link in response.links]


def _path(attribute: str) -> str:
    known = attribute.startswith("traits.") or attribute in {"zone", "stage"}
    return attribute if known else f"attributes.{attribute}"


def _of_segment(segment_id: str, error: grpc.aio.AioRpcError) -> Failure:
    if error.code() == grpc.StatusCode.NOT_FOUND:
        return SegmentNotFound("no such segment", segment_id=segment_id)
    if _why(error).reason in _FORGOTTEN:
        return PreflightFailed(
            "nobody knows any more who was in the segment when it was begun; make another campaign",
            campaign_id="",
            problem="segment_forgotten",
            count="1",
        )
    return _unavailable("segment", error)


def _why(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The service's own word for it, and its facts; empty where it has none."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it takes what has the metadata
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    return info


def _unavailable(service: str, error: grpc.aio.AioRpcError) -> ServiceUnavailable:
    return ServiceUnavailable(f"{service} answers {error.code().name}; try again", service=service)


def _contact(proto: ContactProto) -> Contact:
    return Contact(
        contact_id=proto.contact_id,
        restricted=proto.state == ContactProto.STATE_RESTRICTED,
        addresses=[
            Address(
                wa_id=address.wa_id,
                bsuid=address.bsuid,
                market=address.market,
                phone_number_id=address.phone_number_id,
                last_message_time=at(address, "last_message_time"),
            )
            for address in proto.addresses
        ],
        consents={c.purpose: CONSENTS.get(c.state, "none") for c in proto.consents},
        consent_times={c.purpose: at(c.record, "event_time") for c in proto.consents},
        language=proto.language.value,
        zone=proto.zone.value,
        absorbed=list(proto.absorbed_contact_ids),
        attributes={
            **({"stage": proto.stage.stage} if proto.stage.stage else {}),
            "zone": proto.zone.value or "UTC",
        }
        | {
            attribute.name: msgspec.json.decode(attribute.value_json)
            for attributes in (proto.attributes, proto.traits)
            for attribute in attributes
            if attribute.value_json
        },
    )
