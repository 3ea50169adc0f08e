"""Messages are told by the names of their fields, with the JSON they hold as JSON."""

from chassis.readable import readable
from merhaba.event.v1 import AttributeChange, Event, Tracked


def test_json_inside_a_message_is_told_as_json() -> None:
    event = Event(
        event_id="e",
        changes=[AttributeChange(name="city", value_json='"İzmir"'.encode())],
        tracked=Tracked(name="seen", properties_json=b'{"sku": [1]}'),
    )
    told = readable(event)
    assert told["event_id"] == "e"
    assert told["tracked"]["properties_json"] == {"sku": [1]}
    assert told["changes"][0]["value_json"] == "İzmir"


def test_what_is_no_json_is_told_as_it_is() -> None:
    told = readable(Tracked(name="seen", properties_json=b"\xff"))
    assert told["properties_json"] == "/w=="
