"""What the contracts say and what the code does are the same."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import paging
from chassis.failures import Failure, FieldInvalid, TokenInvalid
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


SHARED = {f for f in descendants(Failure) if f.__module__ == "chassis.failures"} - {
    Failure,
    *Failure.__subclasses__(),
}


def shared_by(loaded: list[ModuleType]) -> set[type[Failure]]:
    """Failures of the chassis that modules can raise: by themselves, or by what they call there."""
    found = {id(value) for module in loaded for value in namespace(module)}
    return {failure for failure in SHARED if id(failure) in found}


def namespace(module: ModuleType) -> Iterator[object]:
    """What a module knows by name, and what the modules of the chassis it uses know."""
    for value in vars(module).values():
        yield value
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        if str(home).startswith("chassis.") and home != "chassis.failures":
            yield from vars(sys.modules[home]).values()


@pytest.mark.parametrize("service", SERVICES)
def test_every_failure_of_a_service_is_a_reason_in_its_contract(service: str) -> None:
    loaded = [importlib.import_module(module) for module in modules(f"services.{service}")]
    contract = importlib.import_module(f"merhaba.{service}.v1")
    reasons = set(contract.ErrorReason.keys())
    own = {
        failure
        for failure in descendants(Failure)
        if failure.__module__.startswith(f"services.{service}.")
        and ".tests." not in failure.__module__  # what stands for other services in tests
    }
    assert own
    shared = shared_by(loaded)
    assert FieldInvalid in shared
    said = {
        kind.__name__: f"ERROR_REASON_{kind.reason.fget(kind.__new__(kind))}"
        for kind in own | shared
    }
    assert {name for name, reason in said.items() if reason not in reasons} == set()


def test_what_a_part_of_the_chassis_raises_counts_for_who_uses_it() -> None:
    user, other = ModuleType("user"), ModuleType("other")
    user.paging, other.size = paging, paging.size
    assert shared_by([user]) == shared_by([other]) == {FieldInvalid, TokenInvalid}
    assert shared_by([ModuleType("nobody")]) == set()


def test_every_shared_failure_is_of_several_services() -> None:
    """One that a single service raises belongs to that service."""
    loaded = {s: list(map(importlib.import_module, modules(f"services.{s}"))) for s in SERVICES}
    for failure in SHARED:
        users = [service for service in SERVICES if failure in shared_by(loaded[service])]
        assert len(users) > 1, failure


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
