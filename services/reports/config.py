"""The settings of reports."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from chassis.settings import HttpSettings


class ReportsSettings(HttpSettings):
    """What reports needs."""

    dashboard_token: Annotated[SecretStr, Field(min_length=16)]
    """Whoever knows it may look at the dashboard. At least 16 characters."""

    report_zone: str = "Europe/Istanbul"
    """IANA name of the zone in which days are told where a question names none."""

    attribution_days: Annotated[float, Field(gt=0, le=90)] = 7
    """How long after delivery an order still counts as brought by the message, in days."""

    @field_validator("report_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, OSError, ValueError):
            raise ValueError("is no IANA time zone; write one like Europe/Istanbul") from None
        return name
