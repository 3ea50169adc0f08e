"""Changing what a mask names."""

from collections.abc import Collection, Sequence
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.failures import FieldInvalid

M = TypeVar("M", bound=Message)


def edited(stored: M, given: M, paths: Sequence[str], mutable: Collection[str]) -> M:
    """What is stored, with the fields that `paths` names as they are given; without any, all that
    are given. Raises `FieldInvalid` for a field that cannot be changed."""
    masked = list(paths) or [f.name for f, _ in given.ListFields() if f.name in mutable]
    for path in masked:
        if path not in mutable:
            raise FieldInvalid(
                "update_mask", f"{path} cannot be changed; only {', '.join(sorted(mutable))} can"
            )
    changed = type(stored)()
    changed.CopyFrom(stored)
    for path in masked:
        changed.ClearField(path)
    # Whole fields: what is given empty is cleared, and lists are replaced, not added to
    FieldMask(paths=masked).MergeMessage(given, changed)
    return changed
