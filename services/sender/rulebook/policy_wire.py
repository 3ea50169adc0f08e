"""The policy between the contract and the model."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from msgspec.structs import replace

from chassis.failures import FieldInvalid
from merhaba.sender.v1 import FrequencyCap as FrequencyCapProto
from merhaba.sender.v1 import QuietHours as QuietHoursProto
from merhaba.sender.v1 import SendingPolicy
from services.sender.rules.policy import FrequencyCap, Policy, QuietHours
from services.sender.wire import span

_OUTPUT: Final = frozenset({"etag", "update_time"})
FIELDS: Final = frozenset(SendingPolicy.DESCRIPTOR.fields_by_name) - _OUTPUT
_DURATIONS: Final = {
    "saturation_duration": "saturation_ms",
    "unknown_duration": "unknown_ms",
}


def policy_proto(policy: Policy) -> SendingPolicy:
    """The policy as the contract shows it, without etag and time."""
    return SendingPolicy(
        default_zone=policy.default_zone,
        saturation_duration=_duration(policy.saturation_ms),
        complaint_paused_purposes=policy.complaint_paused_purposes,
        red_quality_paused_purposes=policy.red_quality_paused_purposes,
        global_control_share=policy.global_control_share,
        global_control_salt=policy.global_control_salt,
        reply_share=policy.reply_share,
        default_phone_number_ids=policy.default_phone_number_ids,
        unknown_duration=_duration(policy.unknown_ms),
        frequency_caps=[
            FrequencyCapProto(
                purpose=cap.purpose, limit=cap.limit, window_duration=_duration(cap.window_ms)
            )
            for cap in policy.frequency_caps
        ],
        quiet_hours=[
            QuietHoursProto(
                purpose=hours.purpose,
                market=hours.market,
                start=_clock(hours.start),
                end=_clock(hours.end),
                weekdays=hours.weekdays,
            )
            for hours in policy.quiet_hours
        ],
        unknown_utility_action=_action(policy.repeats_unknown.utility),
        unknown_authentication_action=_action(policy.repeats_unknown.authentication),
    )


def changed(policy: Policy, given: SendingPolicy, paths: Collection[str]) -> Policy:
    """The policy with these fields as given; raises FieldInvalid for what cannot be read."""
    changes: dict[str, Any] = {}
    actions = policy.repeats_unknown
    for path in paths:
        match path:
            case "frequency_caps":
                changes[path] = [
                    FrequencyCap(cap.purpose, cap.limit, span(cap.window_duration))
                    for cap in given.frequency_caps
                ]
            case "quiet_hours":
                changes[path] = [_hours(one, i) for i, one in enumerate(given.quiet_hours)]
            case "unknown_utility_action":
                actions = replace(actions, utility=_repeats(given, path))
            case "unknown_authentication_action":
                actions = replace(actions, authentication=_repeats(given, path))
            case _ if path in _DURATIONS:
                changes[_DURATIONS[path]] = span(getattr(given, path))
            case _:
                value = getattr(given, path)
                changes[path] = value if isinstance(value, str | float) else list(value)
    return replace(policy, repeats_unknown=actions, **changes)


def _hours(hours: QuietHoursProto, i: int) -> QuietHours:
    path = f"policy.quiet_hours[{i}]"
    return QuietHours(
        hours.purpose,
        _minutes(hours.start, f"{path}.start"),
        _minutes(hours.end, f"{path}.end"),
        hours.market,
        tuple(sorted(set(hours.weekdays))),
    )


def _minutes(clock: str, path: str) -> int:
    hours, _, minutes = clock.partition(":")
    digits = len(hours) == len(minutes) == 2 and (hours + minutes).isascii()
    if not digits or not (hours + minutes).isdigit() or int(minutes) > 59 or clock > "24:00":
        raise FieldInvalid(path, "not HH:MM, such as 21:00")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _action(repeats: bool) -> SendingPolicy.UnknownAction.ValueType:
    return SendingPolicy.UNKNOWN_ACTION_REPEAT if repeats else SendingPolicy.UNKNOWN_ACTION_GIVE_UP


def _repeats(given: SendingPolicy, path: str) -> bool:
    action = getattr(given, path)
    if action not in (SendingPolicy.UNKNOWN_ACTION_GIVE_UP, SendingPolicy.UNKNOWN_ACTION_REPEAT):
        raise FieldInvalid(f"policy.{path}", "choose to give up or to repeat")
    return bool(action == SendingPolicy.UNKNOWN_ACTION_REPEAT)


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(milliseconds=milliseconds))
    return duration
