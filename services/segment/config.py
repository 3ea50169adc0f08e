"""Settings of this service."""

from typing import Annotated

from pydantic import Field, field_validator

from chassis.settings import ServiceSettings
from services.segment.vocabulary import registry


class SegmentSettings(ServiceSettings):
    """What the segment service needs."""

    profile_target: str
    """gRPC address of profile, from which history is read: `dns:///profile:50051`."""

    extra_events: str = ""
    """Events of the business that nobody registered, comma-separated, in snake case; others
    that are not known are an error in expressions."""

    extra_attributes: str = ""
    """Attributes of the business with their types, comma-separated: `plan:string,seats:int`."""

    trigger_max_age_s: Annotated[float, Field(ge=1)] = 3_600
    """An event that happened longer ago than this, in seconds, fires no trigger, so that an import
    of history sends nothing."""

    membership_history_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    """How long memberships that ended are kept, so that members of a former moment are known."""

    @field_validator("extra_attributes")
    @classmethod
    def _types(cls, value: str) -> str:
        registry((), attributes_of(value))
        return value


def events_of(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def attributes_of(text: str) -> dict[str, str]:
    """Names with types, of `name:type,name:type`. Raises ValueError when it is something else."""
    found: dict[str, str] = {}
    for one in events_of(text):
        name, colon, kind = one.partition(":")
        if not colon:
            raise ValueError(f"{one}: write it with its type, as {one}:string")
        found[name.strip()] = kind.strip()
    return found
