"""gRPC: definitions of success."""

import re
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from chassis import paging
from chassis.answers import Answers
from chassis.failures import FieldInvalid
from chassis.times import timestamp
from merhaba.reports.v1 import (
    Attribution,
    ConversionServiceServicer,
    CreateConversionRequest,
    CreateConversionResponse,
    DeleteConversionRequest,
    DeleteConversionResponse,
    GetConversionRequest,
    GetConversionResponse,
    ListConversionsRequest,
    ListConversionsResponse,
    UpdateConversionRequest,
    UpdateConversionResponse,
)
from merhaba.reports.v1 import Conversion as ConversionProto
from services.reports.conversions.definitions import Definitions
from services.reports.conversions.model import WINDOW_MS, Conversion
from services.reports.masks import edited
from services.reports.model import Anchor

_MUTABLE: Final = (
    *("name", "event_name", "condition", "value_expression", "currency_expression"),
    *("key_expression", "reversal_event_name", "attribution", "anchor", "window_duration"),
)
_ANCHORS: Final[dict[int, Anchor]] = {
    ConversionProto.ANCHOR_UNSPECIFIED: "delivered",
    ConversionProto.ANCHOR_DELIVERED: "delivered",
    ConversionProto.ANCHOR_READ: "read",
    ConversionProto.ANCHOR_CLICKED: "clicked",
}
_EVENT: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LONGEST_NAME: Final = 200
_LONGEST_MS: Final = 90 * 86_400_000


class ConversionApi(ConversionServiceServicer):
    """What counts as success. Meaning and errors: the contract."""

    def __init__(self, definitions: Definitions, answers: Answers) -> None:
        self._definitions = definitions
        self._answers = answers

    async def CreateConversion(
        self, request: CreateConversionRequest, context: Any
    ) -> CreateConversionResponse:
        """Stores a definition."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing")

        async def respond() -> CreateConversionResponse:
            made = await self._definitions.create(_draft(request.conversion), request.request_id)
            return CreateConversionResponse(conversion=_conversion(made))

        return await self._answers.once(
            request, request.request_id, respond, CreateConversionResponse
        )

    async def GetConversion(
        self, request: GetConversionRequest, context: Any
    ) -> GetConversionResponse:
        """Returns one."""
        found = await self._definitions.get(request.conversion_id)
        return GetConversionResponse(conversion=_conversion(found))

    async def ListConversions(
        self, request: ListConversionsRequest, context: Any
    ) -> ListConversionsResponse:
        """Lists them by name."""
        query, size = paging.query(request), paging.size(request.page_size)
        after = paging.place(request.page_token, query, [str])
        found = [
            one for one in await self._definitions.listed() if after is None or one.name > after[0]
        ]
        page, token = paging.page(query, found, size, lambda one: [one.name])
        return ListConversionsResponse(
            conversions=[_conversion(one) for one in page],
            next_page_token=token,
        )

    async def UpdateConversion(
        self, request: UpdateConversionRequest, context: Any
    ) -> UpdateConversionResponse:
        """Changes one."""
        given, paths = request.conversion, request.update_mask.paths

        def change(one: Conversion) -> Conversion:
            return _draft(edited(_conversion(one), given, paths, _MUTABLE))

        changed = await self._definitions.update(given.conversion_id, given.etag, change)
        return UpdateConversionResponse(conversion=_conversion(changed))

    async def DeleteConversion(
        self, request: DeleteConversionRequest, context: Any
    ) -> DeleteConversionResponse:
        """Deletes one and what it counted."""
        await self._definitions.delete(request.conversion_id, request.etag)
        return DeleteConversionResponse()


def _draft(given: ConversionProto) -> Conversion:
    if not 0 < len(given.name) <= _LONGEST_NAME:
        raise FieldInvalid("conversion.name", "missing or too long", limit=str(_LONGEST_NAME))
    _named(given.event_name, "conversion.event_name")
    if given.reversal_event_name:
        _named(given.reversal_event_name, "conversion.reversal_event_name")
        if not given.key_expression:
            raise FieldInvalid(
                "conversion.key_expression", "missing; it says what reversal_event_name undoes"
            )
        if given.reversal_event_name == given.event_name:
            raise FieldInvalid("conversion.reversal_event_name", "the same as event_name")
    if given.attribution not in (
        Attribution.ATTRIBUTION_UNSPECIFIED,
        Attribution.ATTRIBUTION_LAST_TOUCH,
    ):
        raise FieldInvalid(
            "conversion.attribution", "leave it unset: each query says which it wants"
        )
    if given.anchor not in _ANCHORS:
        raise FieldInvalid("conversion.anchor", "unknown; give DELIVERED, READ or CLICKED")
    window = given.window_duration.ToMilliseconds() or WINDOW_MS
    if not 0 < window <= _LONGEST_MS:
        raise FieldInvalid("conversion.window_duration", "not between 0 and 90 days")
    return Conversion(
        name=given.name,
        event_name=given.event_name,
        condition=given.condition,
        value=given.value_expression,
        currency=given.currency_expression,
        key=given.key_expression,
        reversal_event_name=given.reversal_event_name,
        anchor=_ANCHORS[given.anchor],
        window_ms=window,
    )


def _named(name: str, field: str) -> None:
    if not _EVENT.fullmatch(name):
        raise FieldInvalid(field, "write it in snake case, as `trial_started`")


def _conversion(one: Conversion) -> ConversionProto:
    window = Duration()
    window.FromMilliseconds(one.window_ms)
    return ConversionProto(
        conversion_id=one.conversion_id,
        name=one.name,
        etag=str(one.version),
        event_name=one.event_name,
        condition=one.condition,
        value_expression=one.value,
        currency_expression=one.currency,
        key_expression=one.key,
        reversal_event_name=one.reversal_event_name,
        attribution=Attribution.ATTRIBUTION_LAST_TOUCH,
        anchor=ConversionProto.Anchor.Value(f"ANCHOR_{one.anchor.upper()}"),
        window_duration=window,
        create_time=timestamp(one.create_time or None),
        update_time=timestamp(one.update_time or None),
    )
