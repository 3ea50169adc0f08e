"""What people sort segments and triggers by."""

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from merhaba.segment.v1 import (
    Action,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    Segment,
    SendAction,
    Trigger,
    UpdateSegmentRequest,
    UpdateTriggerRequest,
)

SEND = Action(send=SendAction(campaign_id="cmp_x"))
MASK = FieldMask(paths=["labels"])


async def test_labels_are_kept_and_changed_without_a_new_version(suite: Any) -> None:
    segment = Segment(name="a", expression="profile.age > 3", labels=["team:crm", "winter"])
    made = (await suite.segments.CreateSegment(CreateSegmentRequest(segment=segment))).segment
    trigger = Trigger(name="a", event=EventCause(name="signed_up"), action=SEND, labels=["a"])
    fired = (await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=trigger))).trigger
    assert [list(made.labels), list(fired.labels)] == [["team:crm", "winter"], ["a"]]
    change = Segment(segment_id=made.segment_id, labels=["winter"])
    request = UpdateSegmentRequest(segment=change, update_mask=MASK)
    changed = (await suite.segments.UpdateSegment(request)).segment
    assert (list(changed.labels), changed.version) == (["winter"], 1)
    update = UpdateTriggerRequest(trigger=Trigger(trigger_id=fired.trigger_id), update_mask=MASK)
    assert not (await suite.triggers.UpdateTrigger(update)).trigger.labels


@pytest.mark.parametrize("labels", [["Winter"], [""], ["a b"], ["x" * 64], ["a"] * 21])
async def test_what_is_no_label_is_refused(suite: Any, labels: list[str]) -> None:
    segment = Segment(name="a", expression="profile.age > 3", labels=labels)
    trigger = Trigger(name="a", event=EventCause(name="signed_up"), action=SEND, labels=labels)
    for call in (
        suite.segments.CreateSegment(CreateSegmentRequest(segment=segment)),
        suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=trigger)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "labels" in str(caught.value.details())
