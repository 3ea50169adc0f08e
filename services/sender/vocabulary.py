"""What profile says of attributes and traits: their types, and which lead to a person."""

from collections.abc import Callable
from typing import Final, NamedTuple

import grpc

from expressions import Registry
from expressions.schema import Spec
from merhaba.profile.v1 import AttributeType, ListAttributesRequest, RegistryServiceStub
from services.sender.failures import ServiceUnavailable
from services.sender.wording.bindings import registry

_PAGE: Final = 1_000
_TYPES: Final[dict[int, Spec]] = {
    AttributeType.TYPE_STRING: "string",
    AttributeType.TYPE_INTEGER: "int",
    AttributeType.TYPE_NUMBER: "double",
    AttributeType.TYPE_BOOLEAN: "bool",
    AttributeType.TYPE_DATE: "date",
    AttributeType.TYPE_STRING_LIST: "list<string>",
    AttributeType.TYPE_NUMBER_LIST: "list<double>",
    AttributeType.TYPE_NUMBER_MAP: "map",
    AttributeType.TYPE_LOCATION: "map",
}
"""Moments stay open: profile tells them as text, which every format of dates reads."""


class Known(NamedTuple):
    """What is declared now."""

    registry: Registry
    """For expressions; what is not declared may still be named."""
    personal: Callable[[str], bool]
    """Whether an attribute, as expressions name it, leads to a person; what is unknown does."""


class Vocabulary:
    """Asks profile."""

    def __init__(self, profile: grpc.aio.Channel) -> None:
        self._profile: RegistryServiceStub = RegistryServiceStub(profile)

    async def known(self) -> Known:
        """Raises ServiceUnavailable."""
        types: dict[str, Spec] = {}
        personal: dict[str, bool] = {}
        token = ""
        try:
            while True:
                page = await self._profile.ListAttributes(
                    ListAttributesRequest(page_size=_PAGE, page_token=token)
                )
                for one in page.attribute_types:
                    personal[one.name] = one.personal
                    if spec := _TYPES.get(one.type):
                        types[one.name] = spec
                token = page.next_page_token
                if not token:
                    return Known(registry(types), lambda name: personal.get(name, True))
        except grpc.aio.AioRpcError as error:
            problem = f"profile answers {error.code().name}; try again"
            raise ServiceUnavailable(problem, service="profile") from error
