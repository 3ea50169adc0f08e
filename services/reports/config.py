"""The settings of reports."""

from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from chassis.settings import HttpSettings
from chassis.webhooks import secrets_of
from services.reports.exports.bucket import credentials_of
from services.reports.roles import Role

_SHORTEST_TOKEN: Final = 16


class ReportsSettings(HttpSettings):
    """What reports needs."""

    dashboard_token: Annotated[SecretStr, Field(min_length=_SHORTEST_TOKEN)]
    """Whoever knows it may look at the dashboard. At least 16 characters."""

    dashboard_manager_token: SecretStr = SecretStr("")
    """Whoever knows it may besides see people on the dashboard, take care of alerts and have files
    made. At least 16 characters; empty: nobody."""

    report_zone: str = "Europe/Istanbul"
    """IANA name of the zone in which days are told where a question names none."""

    attribution_days: Annotated[float, Field(gt=0, le=90)] = 7
    """How long after delivery an order still counts as brought by the message, in days."""

    answers_pool_size: Annotated[int, Field(ge=1, le=200)] = 4
    """Connections besides, for answers out of sums, at most."""

    cloud_api_url: str = "https://graph.facebook.com"
    """Where Meta's Graph API answers."""

    cloud_api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v26.0"
    """The version of the Graph API that is called."""

    cloud_api_token: SecretStr = SecretStr("")
    """Token of a system user that may read the accounts' analytics; empty: our figures are not set
    beside Meta's."""

    history_kept_days: Annotated[int, Field(ge=30)] = 800
    """How long it stays known what was said of people and when they wrote, in days: as far back as
    figures of consent, stages and cohorts go. What was said last stays."""

    reads_kept_days: Annotated[int, Field(ge=1)] = 730
    """How long the record of who read what happened to a person is kept, in days."""

    sender_target: str
    """gRPC target of sender, which splits what experiments judge: `dns:///sender:50051`."""

    webhook_secrets: SecretStr = SecretStr("")
    """What alerts are signed with, comma-separated, each with the name by which rules name it:
    `pager:a-long-random-text,desk:another`. A secret has at least 16 characters."""

    webhook_inside: bool = False
    """Let alerts go to addresses inside our own network, and without TLS: for laptops and tests,
    since whoever writes rules could reach everything there."""

    profile_target: str
    """gRPC target of profile, which says whose messages a page shows: `dns:///profile:50051`."""

    export_folder: str = ""
    """Folder below which schedules may put files; empty: nowhere."""

    export_credentials: SecretStr = SecretStr("")
    """Keys of buckets with an S3 interface, comma-separated, each with the name by which schedules
    name it: `reports:access key:secret key`."""

    @property
    def dashboard_tokens(self) -> dict[Role, str]:
        """Who may look, by role."""
        tokens: dict[Role, str] = {"viewer": self.dashboard_token.get_secret_value()}
        if manager := self.dashboard_manager_token.get_secret_value():
            tokens["manager"] = manager
        return tokens

    @field_validator("dashboard_manager_token")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < _SHORTEST_TOKEN:
            raise ValueError("too short; write at least 16 characters, or none")
        return value

    @field_validator("export_credentials")
    @classmethod
    def _credentials(cls, value: SecretStr) -> SecretStr:
        credentials_of(value.get_secret_value())
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _secrets(cls, value: SecretStr) -> SecretStr:
        secrets_of(value.get_secret_value())
        return value

    @field_validator("report_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, OSError, ValueError):
            raise ValueError("is no IANA time zone; write one like Europe/Istanbul") from None
        return name
