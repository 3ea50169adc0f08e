"""Attributes of contacts, set in profile."""

from collections.abc import Sequence

import grpc
import orjson
import structlog

from chassis.ids import derived_id
from chassis.times import timestamp
from merhaba.event.v1 import AttributeChange
from merhaba.profile.v1 import (
    ContactAttributes,
    ContactRef,
    ErrorReason,
    ProfileServiceStub,
    SetAttributesRequest,
)
from services.segment.engine.actions import VALUE, Answer, Deed, SetAction

_logger = structlog.get_logger()


class Attributes:
    """Sets attributes because of triggers and steps."""

    def __init__(self, profile: ProfileServiceStub) -> None:
        self._profile = profile

    async def put(self, deeds: Sequence[Deed]) -> list[Answer | None]:
        """What profile says of each, at most 500; None where it says nothing. A repeat sets the
        same, as of the same time."""
        request = SetAttributesRequest(
            request_id=derived_id("set", *(one.deed_id for one in deeds)),
            contacts=map(_change, deeds),
            source="segment",
        )
        try:
            response = await self._profile.SetAttributes(request)
        except grpc.aio.AioRpcError as error:
            _logger.warning("profile sets no attributes", code=error.code().name)
            return [None] * len(deeds)
        refused = {one.index: ErrorReason.Name(one.reason) for one in response.failures}
        return [
            Answer(False, f"profile refused it: {refused[at]}")
            if at in refused
            else Answer(True, "profile has it")
            for at in range(len(deeds))
        ]


def _change(deed: Deed) -> ContactAttributes:
    action = deed.action
    assert isinstance(action, SetAction)
    value = deed.parameters.get(VALUE)
    return ContactAttributes(
        contact=ContactRef(contact_id=deed.contact_id),
        attributes=[
            AttributeChange(
                name=action.attribute_name,
                value_json=b"" if value is None else orjson.dumps(value, default=str),
                change_time=timestamp(deed.due_time),
            )
        ],
    )
