"""What the contracts say and what the code does are the same."""

import importlib
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import Failure
from chassis.streams import framing
from merhaba.event.v1 import Event, EventBatch

SERVICES = ("ingest", "profile", "segment", "sender", "reports")
BODIES = [field.name for field in Event.DESCRIPTOR.oneofs_by_name["body"].fields]


def modules(package: str) -> list[str]:
    found = importlib.import_module(package)
    return [
        name
        for _, name, _ in pkgutil.walk_packages(found.__path__, f"{package}.")
        if ".tests" not in name and not name.endswith("__main__")
    ]


def descendants(kind: type[Failure]) -> set[type[Failure]]:
    return {kind}.union(*(descendants(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("service", SERVICES)
def test_every_failure_of_a_service_is_a_reason_in_its_contract(service: str) -> None:
    for module in modules(f"services.{service}"):
        importlib.import_module(module)
    contract = importlib.import_module(f"merhaba.{service}.v1")
    reasons = set(contract.ErrorReason.keys())
    own = [f for f in descendants(Failure) if f.__module__.startswith(f"services.{service}.")]
    assert own
    said = {kind.__name__: f"ERROR_REASON_{kind.reason.fget(kind.__new__(kind))}" for kind in own}
    assert {name for name, reason in said.items() if reason not in reasons} == set()


@pytest.mark.parametrize("body", BODIES)
def test_every_kind_of_event_comes_off_the_log_as_it_went_on(body: str) -> None:
    event = Event(event_id="e", source="s")
    getattr(event, body).SetInParent()
    (back,) = framing.split(framing.join([event.SerializeToString()]))
    assert Event.FromString(back) == event
    assert Event.FromString(back).WhichOneof("body") == body


@given(st.lists(st.text(max_size=20)))
def test_an_entry_of_the_log_is_an_event_batch(ids: list[str]) -> None:
    events = [Event(event_id=event_id) for event_id in ids]
    entry = framing.join(e.SerializeToString() for e in events)
    assert list(EventBatch.FromString(entry).events) == events
