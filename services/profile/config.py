"""Settings of profile."""

from typing import Annotated

from pydantic import Field, SecretStr

from chassis.app import DatabaseSettings
from chassis.settings import ServiceSettings, Settings


class MasterKeySettings(Settings):
    """What opens contacts' keys."""

    master_keys: SecretStr
    """Keys that wrap the contacts' own keys: `id:base64,id:base64` of 32 random bytes each. The
    first wraps, all unwrap; `python -m services.profile rotate` wraps everything by the first. An
    id stands in the database for good: never give it to another key."""


class RotationSettings(DatabaseSettings, MasterKeySettings):
    """What wrapping keys anew needs."""


class ProfileSettings(ServiceSettings, MasterKeySettings):
    """What profile needs besides the platform's own settings."""

    index_key: SecretStr
    """Base64 of 32 random bytes: the secret of the index by which identities are looked up. It
    cannot be changed, since the index is made of it."""

    reads_kept_days: Annotated[int, Field(ge=1)] = 730
    """How long the record of who read personal data is kept, in days."""

    controller: str = ""
    """The business that decides about the data, as records of consent name it."""

    ingest_target: str
    """gRPC target of ingest: `dns:///ingest:50051`. What it and the following hold of a person is
    told and erased with what profile holds."""

    segment_target: str
    """gRPC target of segment."""

    sender_target: str
    """gRPC target of sender."""

    reports_target: str
    """gRPC target of reports."""

    default_region: str = "TR"
    """ISO 3166 alpha-2 of phone numbers that API callers write without a country code."""
