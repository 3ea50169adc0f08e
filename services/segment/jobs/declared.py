"""The attributes and events that the business declared to profile, for rules to name."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import grpc
import structlog

from chassis.clock import Clock
from chassis.transient import transient
from expressions.schema import Spec
from merhaba.profile.v1 import (
    AttributeType,
    ListAttributesRequest,
    ListEventTypesRequest,
    RegistryServiceStub,
)
from services.segment.jobs.declarations import Declarations
from services.segment.names import Told

_EVERY: Final = timedelta(minutes=1)
_PAGE: Final = 1_000
_MOST: Final = 10_000
_SPECS: Final[Mapping[int, Spec]] = {
    AttributeType.TYPE_STRING: "string",
    AttributeType.TYPE_INTEGER: "int",
    AttributeType.TYPE_NUMBER: "double",
    AttributeType.TYPE_BOOLEAN: "bool",
    AttributeType.TYPE_TIMESTAMP: "timestamp",
    AttributeType.TYPE_DATE: "date",
    AttributeType.TYPE_STRING_LIST: "list<string>",
    AttributeType.TYPE_NUMBER_LIST: "list<double>",
    AttributeType.TYPE_NUMBER_MAP: "map",
    AttributeType.TYPE_LOCATION: {
        "latitude": "double",
        "longitude": "double",
        "accuracy_meters": "double",
    },
    AttributeType.TYPE_JSON: "dyn",
}

_logger = structlog.get_logger()


class Declared:
    """Asks profile now and then, and before somebody writes a rule; what it is told is kept, so
    that rules are known when profile is away."""

    def __init__(
        self, declarations: Declarations, profile: RegistryServiceStub, clock: Clock
    ) -> None:
        self._declarations = declarations
        self._profile = profile
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.refresh()
            await self._clock.sleep(_EVERY)

    async def refresh(self) -> None:
        """Take up what is new; without profile, what was known stays."""
        try:
            attributes, events = await self._attributes(), await self._events()
            await self._declarations.take(
                Told(
                    {one.name: _SPECS.get(one.type, "dyn") for one in attributes},
                    events,
                    {one.name: one.personal for one in attributes},
                )
            )
        except Exception as error:
            if not isinstance(error, grpc.aio.AioRpcError) and not transient(error):
                raise
            _logger.warning("names of profile are not read", error=type(error).__name__)

    async def _attributes(self) -> list[AttributeType]:
        found: list[AttributeType] = []
        request = ListAttributesRequest(page_size=_PAGE)
        while len(found) < _MOST:
            page = await self._profile.ListAttributes(request)
            found += page.attribute_types
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return found

    async def _events(self) -> dict[str, Mapping[str, Spec]]:
        found: dict[str, Mapping[str, Spec]] = {}
        request = ListEventTypesRequest(page_size=_PAGE)
        while len(found) < _MOST:
            page = await self._profile.ListEventTypes(request)
            for one in page.event_types:
                found[one.name] = {n: _SPECS.get(t, "dyn") for n, t in one.properties.items()}
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return found
