"""What the business allows itself, over and above what Meta allows. Pure."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct, field

from chassis.failures import FieldInvalid
from services.sender.model import DAY_MS

ANY: Final = "*"
AUTHENTICATION: Final = "authentication"
MARKETING: Final = "marketing"
SERVICE: Final = "service"
"""What free-form words count as: an answer to somebody who wrote to us."""
MINUTE_MS: Final = 60_000
_LONGEST_MS: Final = 31 * DAY_MS
_DAY_MINUTES: Final = 1_440
_MOST: Final = 50
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MARKET: Final = re.compile(r"[A-Z]{2}")
_EXEMPT: Final = frozenset({AUTHENTICATION, SERVICE})


class FrequencyCap(Struct, frozen=True, dict=True):
    """At most so many messages to one contact in any window of this length."""

    purpose: str
    limit: int
    window_ms: int

    @cached_property
    def name(self) -> str:
        """What gates call it."""
        return f"cap.{self.purpose}.{self.window_ms // 1000}s"

    def covers(self, purpose: str) -> bool:
        """Whether messages of a purpose count, and are counted."""
        return _covers(self.purpose, purpose)


class QuietHours(Struct, frozen=True):
    """Minutes of the contact's day, as the wall clock shows them, in which nothing leaves."""

    purpose: str
    start: int
    end: int
    """An end before the start is on the next day; 1,440 is the end of the day."""
    market: str = ""
    weekdays: tuple[int, ...] = ()
    """ISO weekdays on which the hours start; empty for all."""

    def covers(self, purpose: str, market: str) -> bool:
        """Whether messages of a purpose to a market keep these hours."""
        return self.market in {"", market} and _covers(self.purpose, purpose)


class UnknownActions(Struct, frozen=True):
    """Whether a message of which nobody knows whether it was sent is repeated, by category."""

    utility: bool = False
    authentication: bool = False


class Policy(Struct, frozen=True):
    """The rules of the whole installation; the fields are those of the contract.

    The defaults are told in the comments of `SendingPolicy`, and a test compares them.
    """

    frequency_caps: Sequence[FrequencyCap] = (
        FrequencyCap(MARKETING, 2, DAY_MS),
        FrequencyCap(MARKETING, 5, 7 * DAY_MS),
    )
    quiet_hours: Sequence[QuietHours] = (QuietHours(MARKETING, 21 * 60, 9 * 60),)
    default_zone: str = "UTC"
    saturation_ms: int = DAY_MS
    complaint_paused_purposes: Sequence[str] = (MARKETING,)
    red_quality_paused_purposes: Sequence[str] = (MARKETING,)
    global_control_share: float = 0.0
    global_control_salt: str = ""
    reply_share: float = 0.2
    default_phone_number_ids: Sequence[str] = ()
    unknown_ms: int = DAY_MS
    repeats_unknown: UnknownActions = field(default_factory=UnknownActions)


def _covers(rule: str, purpose: str) -> bool:
    return purpose == rule or (rule == ANY and purpose not in _EXEMPT)


def check(policy: Policy) -> None:
    """Raises FieldInvalid with the path of the first field that cannot be meant."""
    _check_lists(policy)
    for i, cap in enumerate(policy.frequency_caps):
        path = f"policy.frequency_caps[{i}]"
        _check_purpose(cap.purpose, f"{path}.purpose", ANY)
        if cap.limit < 0:
            raise FieldInvalid(f"{path}.limit", "negative; 0 lets nothing through")
        if not 1_000 <= cap.window_ms <= _LONGEST_MS:
            raise FieldInvalid(f"{path}.window_duration", "from 1 second to 31 days")
    for i, hours in enumerate(policy.quiet_hours):
        _check_hours(hours, f"policy.quiet_hours[{i}]")
    for field_name in ("complaint_paused_purposes", "red_quality_paused_purposes"):
        for i, purpose in enumerate(getattr(policy, field_name)):
            _check_purpose(purpose, f"policy.{field_name}[{i}]")
    if zone_of(policy.default_zone) is None:
        raise FieldInvalid("policy.default_zone", "no zone of IANA; such as Europe/Istanbul")
    if not DAY_MS <= policy.saturation_ms <= _LONGEST_MS:
        raise FieldInvalid("policy.saturation_duration", "from 24 hours, as Meta asks, to 31 days")
    if not 0 <= policy.global_control_share < 1:
        raise FieldInvalid("policy.global_control_share", "0 to below 1")
    if len(policy.global_control_salt) > 64:
        raise FieldInvalid("policy.global_control_salt", "at most 64 characters")
    if not 0 <= policy.reply_share < 1:
        raise FieldInvalid("policy.reply_share", "0 to below 1")
    if not MINUTE_MS <= policy.unknown_ms <= _LONGEST_MS:
        raise FieldInvalid("policy.unknown_duration", "from 1 minute to 31 days")


def _check_lists(policy: Policy) -> None:
    for field_name in policy.__struct_fields__:
        value = getattr(policy, field_name)
        if isinstance(value, list | tuple) and len(value) > _MOST:
            raise FieldInvalid(f"policy.{field_name}", f"more than {_MOST}", limit=str(_MOST))


def _check_hours(hours: QuietHours, path: str) -> None:
    _check_purpose(hours.purpose, f"{path}.purpose", ANY)
    if hours.market and not _MARKET.fullmatch(hours.market):
        raise FieldInvalid(f"{path}.market", "not ISO 3166 alpha-2, such as TR")
    if not 0 <= hours.start < _DAY_MINUTES:
        raise FieldInvalid(f"{path}.start", "not HH:MM")
    if not 0 <= hours.end <= _DAY_MINUTES or hours.end == hours.start:
        raise FieldInvalid(f"{path}.end", "not HH:MM, or the same as the start")
    if any(not 1 <= day <= 7 for day in hours.weekdays):
        raise FieldInvalid(f"{path}.weekdays", "1 (Monday) to 7")


def _check_purpose(purpose: str, path: str, besides: str = "") -> None:
    if purpose != besides and not _PURPOSE.fullmatch(purpose):
        raise FieldInvalid(path, f"not a purpose: {MARKETING}, utility, …")


def zone_of(name: str) -> ZoneInfo | None:
    """A zone by its IANA name; None when there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
