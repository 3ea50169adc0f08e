"""The services that the sender asks: profile, segment and ingest."""

from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
import msgspec
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import FieldInvalid
from chassis.ids import fingerprint
from merhaba.event.v1 import Identity
from merhaba.ingest.v1 import CreateLinksRequest, IngestServiceStub, LinkSpec
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    Consent,
    ContactRef,
    ProfileServiceStub,
)
from merhaba.profile.v1 import Contact as ContactProto
from merhaba.segment.v1 import SegmentServiceStub, StreamMembersRequest
from services.sender.failures import ContactNotFound, SegmentNotFound, ServiceUnavailable
from services.sender.gates.now import OPEN_COMPLAINT
from services.sender.model import Address, Campaign, Contact
from services.sender.planner import LinkWish, Members
from services.sender.wire import at

_MOST_CONTACTS = 500
_PURPOSE = ("purpose", "sending messages")
_SENDING = (
    *("addresses", "consents", "zone", "language", "state", "absorbed_contact_ids"),
    OPEN_COMPLAINT,
)
_CONSENTS = {
    Consent.STATE_NONE: "none",
    Consent.STATE_GRANTED: "granted",
    Consent.STATE_WITHDRAWN: "withdrawn",
    Consent.STATE_EXPIRED: "expired",
}


class Neighbours:
    """Implements `dispatch.Contacts` and `planner.People`."""

    def __init__(
        self, profile: grpc.aio.Channel, segment: grpc.aio.Channel, ingest: grpc.aio.Channel
    ) -> None:
        self._profile: ProfileServiceStub = ProfileServiceStub(profile)
        self._segment: SegmentServiceStub = SegmentServiceStub(segment)
        self._ingest: IngestServiceStub = IngestServiceStub(ingest)

    async def get(self, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
        """Addresses, consents, zone and language of those that exist."""
        return await self.read(contact_ids, ())

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]:
        """Contacts by the id asked for, with these attributes besides."""
        wanted = [_path(attribute) for attribute in attributes]
        mask = FieldMask(paths=[*_SENDING, *wanted])
        found: dict[str, Contact] = {}
        for start in range(0, len(contact_ids), _MOST_CONTACTS):
            ids = contact_ids[start : start + _MOST_CONTACTS]
            contacts = await self._batch([ContactRef(contact_id=one) for one in ids], mask)
            # A contact that was merged away answers as the one that stayed.
            found |= {i: contact for i, contact in zip(ids, contacts, strict=True) if contact}
        return found

    async def resolve(self, identity: Identity) -> str:
        """The contact that has an identity; raises ContactNotFound."""
        (contact,) = await self._batch([ContactRef(identity=identity)], FieldMask(paths=["state"]))
        if contact is None:
            kind = Identity.Kind.Name(identity.kind).removeprefix("KIND_").lower()
            raise ContactNotFound("profile knows nobody with this identity", identity_kind=kind)
        return contact.contact_id

    async def _batch(self, refs: Sequence[ContactRef], mask: FieldMask) -> list[Contact | None]:
        try:
            response = await self._profile.BatchGetContacts(
                BatchGetContactsRequest(contacts=refs, read_mask=mask), metadata=[_PURPOSE]
            )
        except grpc.aio.AioRpcError as error:
            raise _unavailable("profile", error) from error
        return [_contact(r.contact) if r.HasField("contact") else None for r in response.results]

    async def members(self, campaign: Campaign) -> AsyncIterator[Members]:
        """The audience from the campaign's cursor on."""
        if not campaign.segment_id:
            async for members in self._listed(campaign):
                yield members
            return
        request = StreamMembersRequest(segment_id=campaign.segment_id, cursor=campaign.plan_cursor)
        try:
            async for response in self._segment.StreamMembers(request):
                yield Members([m.contact_id for m in response.members], response.cursor)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise SegmentNotFound("no such segment", segment_id=campaign.segment_id) from error
            raise _unavailable("segment", error) from error

    async def _listed(self, campaign: Campaign) -> AsyncIterator[Members]:
        for start in range(int(campaign.plan_cursor or 0), len(campaign.people), _MOST_CONTACTS):
            refs = [
                ContactRef.FromString(one)
                for one in campaign.people[start : start + _MOST_CONTACTS]
            ]
            contacts = await self._batch(refs, FieldMask(paths=["state"]))
            # Whom nobody knows is told apart from the others by planning, which asks again.
            ids = [
                contact.contact_id if contact else ref.contact_id or "unknown"
                for ref, contact in zip(refs, contacts, strict=True)
            ]
            yield Members(ids, str(start + len(refs)))

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
        consents={c.purpose: _CONSENTS.get(c.state, "none") for c in proto.consents},
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
