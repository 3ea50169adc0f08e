"""What of a campaign may change, and when. Pure but for the contract's own messages."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import FieldInvalid
from merhaba.sender.v1 import Campaign as CampaignProto
from services.sender.failures import FieldFrozen

_OURS: Final = frozenset(
    {"campaign_id", "etag", "state", "state_reason", "schedule"}
    | {"create_time", "update_time", "launch_time", "end_time"}
)
_LATER: Final = frozenset({"name", "not_after_time", "budget"})
"""What may change of a launched campaign, beside weights."""


def edited(stored: CampaignProto, given: CampaignProto, paths: Sequence[str]) -> CampaignProto:
    """A definition with what the mask names taken from `given`; all that it has, without a mask.
    Raises FieldInvalid for a path that is not there to be changed."""
    masked = list(paths) or [f.name for f, _ in given.ListFields() if f.name not in _OURS]
    for path in masked:
        if path.partition(".")[0] in _OURS:
            raise FieldInvalid("update_mask", f"{path} cannot be changed")
    mask = FieldMask(paths=masked)
    if not mask.IsValidForDescriptor(CampaignProto.DESCRIPTOR):
        known = {field.name for field in CampaignProto.DESCRIPTOR.fields} - _OURS
        unknown = next(one for one in masked if not _valid(one))
        raise FieldInvalid("update_mask", f"{unknown} is none of {', '.join(sorted(known))}")
    changed = CampaignProto()
    changed.CopyFrom(stored)
    # Whole fields: what `given` leaves unset is cleared, and lists are replaced, not added to.
    mask.MergeMessage(given, changed, replace_message_field=True, replace_repeated_field=True)
    for path in masked:
        if "." not in path and _is_message(path) and not given.HasField(path):  # type: ignore[arg-type]
            changed.ClearField(path)  # type: ignore[arg-type]  # the stubs ask for literals
    return changed


def _valid(path: str) -> bool:
    return FieldMask(paths=[path]).IsValidForDescriptor(CampaignProto.DESCRIPTOR)


def _is_message(name: str) -> bool:
    field = CampaignProto.DESCRIPTOR.fields_by_name[name]
    return field.message_type is not None and not field.is_repeated


def check_frozen(stored: CampaignProto, changed: CampaignProto) -> None:
    """Whether a launched campaign may become this. Raises FieldFrozen with the first field that
    may not change any more."""
    allowed = CampaignProto()
    allowed.CopyFrom(changed)
    weights = {one.name: one.weight for one in stored.variants}
    for variant in allowed.variants:
        variant.weight = weights.get(variant.name, variant.weight)
    for field in CampaignProto.DESCRIPTOR.fields:
        if field.name not in _LATER and getattr(allowed, field.name) != getattr(stored, field.name):
            raise FieldFrozen(
                f"{field.name} is frozen since the launch; make another campaign",
                field=f"campaign.{field.name}",
            )
