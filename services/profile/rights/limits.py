"""How long events are kept: what their categories say. Read from Postgres."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from chassis.postgres import Connection
from services.profile.rights.categories import DataCategory, of_event
from services.profile.rights.category_store import CategoryStore
from services.profile.tables.registry import RegistryStore

_MOST_NAMES: Final = 100_000


class Limits(NamedTuple):
    """What is not kept as long as the contact."""

    categories: Mapping[str, DataCategory]
    registered: Mapping[str, str]
    """Event → category, of those that the business registered."""

    def of(self, name: str) -> DataCategory | None:
        """The category of an event, if it has a limit."""
        return self.categories.get(of_event(name, self.registered.get(name, "")))


async def limits(
    categories: CategoryStore, registry: RegistryStore, connection: "Connection | None" = None
) -> Limits | None:
    """As of now, or of a transaction; None when everything is kept as long as the contact."""
    limited = {
        name: one
        for name, one in (await categories.all(connection)).items()
        if one.retention or one.purpose
    }
    if not limited:
        return None
    known = await registry.events("", "", _MOST_NAMES)
    return Limits(limited, {one.name: one.category for one in known if one.revision})
