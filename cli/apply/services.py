"""What stands, read, made, changed and ended by the services that keep it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

import merhaba.segment.v1 as contract
from chassis.failures import Invalid, Unavailable
from chassis.rpc import channel
from cli.apply.campaigns import Campaigns
from cli.apply.files import Declared
from cli.apply.kinds import CAMPAIGN, JOURNEY, PLACE, SEGMENT, TEMPLATE, TRIGGER, Kind
from cli.apply.templates import Templates
from cli.calling import pages
from cli.target import target_of
from merhaba.ingest.v1 import DeletePlacesRequest, IngestServiceStub, UpsertPlacesRequest
from merhaba.segment.v1 import (
    CatalogServiceStub,
    JourneyServiceStub,
    ListPlacesRequest,
    Place,
    SegmentServiceStub,
    TriggerServiceStub,
)
from merhaba.sender.v1 import (
    CampaignServiceStub,
    FileServiceStub,
    NumberServiceStub,
    TemplateServiceStub,
)

_PAGE: Final = 500
_SEEN_WITHIN_S: Final = 30.0


class Keeper(Protocol):
    """Keeps the things of one kind."""

    async def all(self) -> dict[str, Any]:
        """Everything by name, archived ones too."""
        ...

    async def check(self, declared: Declared, standing: Any) -> Any:
        """What it would be, made or changed; nothing is."""
        ...

    async def make(self, declared: Declared) -> Any:
        """Make it; returns it."""
        ...

    async def change(self, declared: Declared, standing: Any, fields: Sequence[str]) -> None:
        """Change these fields, if nobody changed it since it was read."""
        ...

    async def archive(self, standing: Any) -> None:
        """End it, if nobody changed it since it was read."""
        ...


class Definitions:
    """Segments, triggers or journeys: their services are alike."""

    def __init__(self, kind: Kind, stub: Any) -> None:
        self._kind = kind
        self._stub = stub
        self._noun = kind.noun.DESCRIPTOR.name
        self._id = f"{kind.name}_id"

    async def all(self) -> dict[str, Any]:
        """Everything by name, archived ones too."""
        states = [state for state in self._kind.noun.State.values() if state]  # type: ignore[attr-defined]
        request = self._request("List", page_size=_PAGE, states=states, plural=True)
        found: dict[str, Any] = {}
        async for page in pages(getattr(self._stub, f"List{self._noun}s"), request):
            found |= {one.name: one for one in getattr(page, f"{self._kind.name}s")}
        return found

    async def check(self, declared: Declared, standing: Any) -> Any:
        """What it would be, made or changed."""
        if standing is None:
            return await self._create(declared, validate_only=True)
        paths = self._kind.settable(declared.message)
        return await self._update(declared, standing, paths, validate_only=True)

    async def make(self, declared: Declared) -> Any:
        """Make it."""
        return await self._create(declared, request_id=str(uuid4()))

    async def change(self, declared: Declared, standing: Any, fields: Sequence[str]) -> None:
        """Change it, or let it act or not."""
        if said := [name for name in fields if name != "paused"]:
            await self._update(declared, standing, said, request_id=str(uuid4()))
        if "paused" in fields:
            verb = "Pause" if declared.paused else "Resume"
            await self._call(
                verb, request_id=str(uuid4()), **{self._id: getattr(standing, self._id)}
            )

    async def archive(self, standing: Any) -> None:
        """End it."""
        own = {self._id: getattr(standing, self._id), "etag": standing.etag}
        await self._call("Archive", request_id=str(uuid4()), **own)

    async def _create(self, declared: Declared, **fields: Any) -> Any:
        if self._kind.pauses:
            fields["paused"] = bool(declared.paused)
        answer = await self._call("Create", **{self._kind.name: declared.message}, **fields)
        return getattr(answer, self._kind.name)

    async def _update(
        self, declared: Declared, standing: Any, paths: Sequence[str], **fields: Any
    ) -> Any:
        new = self._kind.noun()
        new.CopyFrom(declared.message)
        setattr(new, self._id, getattr(standing, self._id))
        new.etag = standing.etag  # type: ignore[attr-defined]
        mask = FieldMask(paths=paths)
        answer = await self._call("Update", **{self._kind.name: new}, update_mask=mask, **fields)
        return getattr(answer, self._kind.name)

    async def _call(self, verb: str, **fields: Any) -> Any:
        return await getattr(self._stub, verb + self._noun)(self._request(verb, **fields))

    def _request(self, verb: str, plural: bool = False, **fields: Any) -> Any:
        return getattr(contract, f"{verb}{self._noun}{'s' * plural}Request")(**fields)


class Places:
    """Places: ingest is told of them, and the segment service takes them from the log."""

    def __init__(
        self, catalog: CatalogServiceStub, ingest: Callable[[], Awaitable[IngestServiceStub]]
    ) -> None:
        """`ingest`: who only reads needs no door to it."""
        self._catalog = catalog
        self._ingest = ingest

    async def all(self) -> dict[str, Any]:
        """Every place by its id."""
        request = ListPlacesRequest(page_size=_PAGE)
        found: dict[str, Any] = {}
        async for page in pages(self._catalog.ListPlaces, request):
            found |= {one.place_id: one for one in page.places}
        return found

    async def check(self, declared: Declared, standing: Any) -> Any:  # noqa: ARG002 - a Keeper's
        """As it is declared: ingest checks it when it is told."""
        return declared.message

    async def make(self, declared: Declared) -> Any:
        """Tell of it, and wait until rules can name it."""
        place = declared.message
        assert isinstance(place, Place)
        request = UpsertPlacesRequest(request_id=str(uuid4()), places=[place])
        answer = await (await self._ingest()).UpsertPlaces(request)
        for refused in answer.failures:
            raise Invalid(refused.message, **dict(refused.metadata))
        await self._until(place.place_id, place)
        return place

    async def change(
        self,
        declared: Declared,
        standing: Any,  # noqa: ARG002 - a Keeper's
        fields: Sequence[str],  # noqa: ARG002
    ) -> None:
        """Tell of it anew, as a whole."""
        await self.make(declared)

    async def archive(self, standing: Any) -> None:
        """Tell that it is gone."""
        request = DeletePlacesRequest(request_id=str(uuid4()), place_ids=[standing.place_id])
        await (await self._ingest()).DeletePlaces(request)
        await self._until(standing.place_id, None)

    async def _until(self, place_id: str, wanted: Place | None) -> None:
        """Until the place is known as it is now."""
        try:
            async with asyncio.timeout(_SEEN_WITHIN_S):
                while not _same((await self.all()).get(place_id), wanted):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise Unavailable(
                f"place {place_id}: the segment service has not taken it yet; run it again"
            ) from None


def _same(found: Place | None, wanted: Place | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    told = Place()
    told.CopyFrom(found)
    told.ClearField("change_time")
    return told == wanted


class Services:
    """Where the kinds are kept; a service is asked for only when something of it is needed."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._opened: dict[str, Any] = {}
        self._campaigns: Campaigns | None = None

    async def keeper(self, kind: Kind) -> Keeper:
        """Of the things of a kind."""
        if kind is CAMPAIGN:
            return await self.campaigns()
        if kind is TEMPLATE:
            sender = await self._channel("sender")
            return Templates(
                TemplateServiceStub(sender), NumberServiceStub(sender), FileServiceStub(sender)
            )
        segment = await self._channel("segment")
        if kind is PLACE:
            return Places(CatalogServiceStub(segment), self._ingest)
        stubs = {
            SEGMENT.name: SegmentServiceStub,
            JOURNEY.name: JourneyServiceStub,
            TRIGGER.name: TriggerServiceStub,
        }
        return Definitions(kind, stubs[kind.name](segment))

    async def campaigns(self) -> Campaigns:
        """One for all: it remembers which there are of a name."""
        if self._campaigns is None:
            sender = await self._channel("sender")
            self._campaigns = Campaigns(
                CampaignServiceStub(sender), NumberServiceStub(sender), FileServiceStub(sender)
            )
        return self._campaigns

    async def _ingest(self) -> IngestServiceStub:
        return IngestServiceStub(await self._channel("ingest"))

    async def _channel(self, service: str) -> Any:
        if service not in self._opened:
            opened = channel(*target_of(service), purpose="operations")
            self._opened[service] = await self._stack.enter_async_context(opened)
        return self._opened[service]


@asynccontextmanager
async def services() -> AsyncIterator[Services]:
    """The running stack of this folder, or what SEGMENT_TARGET, INGEST_TARGET, SENDER_TARGET and
    API_TOKEN say."""
    async with AsyncExitStack() as stack:
        yield Services(stack)
