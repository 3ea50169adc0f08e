"""Settings of this service."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from chassis.settings import ServiceSettings
from chassis.webhooks import secrets_of
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

    weather_url: str = ""
    """Where the forecast API of Open-Meteo answers: `https://api.open-meteo.com`, or, with a key,
    `https://customer-api.open-meteo.com`. Empty: no weather is known, and a new rule that uses
    `weather()` is refused."""

    weather_api_key: SecretStr = SecretStr("")
    """The key of a customer of Open-Meteo; the public API needs none and is for trying only."""

    weather_refresh_s: Annotated[float, Field(ge=60)] = 1_800
    """How old the weather of a cell may become, in seconds; each refresh of a cell is a call."""

    webhook_secrets: SecretStr = SecretStr("")
    """What webhooks are signed with, comma-separated, each with the name by which triggers and
    journeys name it: `crm:a-long-random-text,erp:another`. A secret has at least 16 characters."""

    webhook_inside: bool = False
    """Let webhooks go to addresses inside our own network, and without TLS: for laptops and tests,
    since whoever writes triggers could reach everything there."""

    @field_validator("webhook_secrets")
    @classmethod
    def _secrets(cls, value: SecretStr) -> SecretStr:
        secrets_of(value.get_secret_value())
        return value

    @field_validator("weather_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("write it with its scheme, as https://api.open-meteo.com")
        return value

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
