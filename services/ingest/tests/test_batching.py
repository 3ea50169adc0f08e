"""The same items give the same events, however Meta batches, repeats and orders them."""

import asyncio
import json
import os
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import payload
from services.ingest.tests.bodies import message, status, value
from services.ingest.tests.process import LONG
from services.ingest.tests.test_payload import FIXTURES, WILD, taken


class Unit(NamedTuple):
    """One item and what Meta says around it."""

    waba: Any
    time: Any
    field: str
    around: dict[str, Any]
    part: str
    """The list in which it stands; empty: it is all of the change's value."""
    item: Any

    @property
    def change(self) -> dict[str, Any]:
        """The change it would be in alone."""
        inside = {self.part: [self.item]} if self.part else self.item
        return {"field": self.field, "value": {**self.around, **inside}}


def units(body: dict[str, Any]) -> list[Unit]:
    """The items of a webhook."""
    found = []
    for entry in body["entry"]:
        for change in entry["changes"]:
            field, said = change["field"], change["value"]
            parts = [p for p in payload.PARTS.get(field, ()) if isinstance(said.get(p), list)]
            around = {k: v for k, v in said.items() if k not in parts}
            where = entry.get("id"), entry.get("time"), field
            if not parts:
                found.append(Unit(*where, {}, "", said))
            found += [Unit(*where, around, part, item) for part in parts for item in said[part]]
    return found


def in_the_wild() -> list[Unit]:
    """Every item of the payloads that are at hand, and of some that belong together."""
    assert WILD.exists() or "CI" not in os.environ, f"{WILD} is missing"
    files: list[Path] = [*sorted(FIXTURES.glob("*.json")), *sorted(WILD.glob("*.json"))]
    bodies = [json.loads(f.read_text()) for f in files if not f.name.startswith("negative__")]
    found = [unit for body in bodies for unit in units(body)]
    for person in ("447700900123", "447700900124"):
        around = value(contacts=[{"wa_id": person, "profile": {"name": person}}])
        for n in range(4):
            said = message(f"wamid.{person}.{n}", **{"from": person})
            found.append(Unit("1020", None, "messages", around, "messages", said))
            found += [
                Unit("1020", None, "messages", value(), "statuses", status(f"wamid.{n}", state))
                for state in ("sent", "delivered", "read")
            ]
    return found


UNITS = in_the_wild()


def batched(chosen: list[Unit], chance: Random) -> list[bytes]:
    """Webhooks that hold the items: of a few at once those that may are in one change, those of
    one account in one entry."""
    bodies = []
    while chosen:
        size = chance.randint(1, len(chosen))
        now, chosen = chosen[:size], chosen[size:]
        entries: list[dict[str, Any]] = []
        for unit in now:
            entry = next(
                (e for e in entries if (e.get("id"), e.get("time")) == (unit.waba, unit.time)), None
            )
            if entry is None or chance.random() < 0.2:
                entry = {"id": unit.waba, "time": unit.time, "changes": []}
                entries.insert(chance.randint(0, len(entries)), entry)
            changes = entry["changes"]
            change = next((c for c in changes if may_join(c, unit)), None)
            if change is None or chance.random() < 0.2:
                changes.insert(chance.randint(0, len(changes)), json.loads(json.dumps(unit.change)))
                continue
            items = change["value"].setdefault(unit.part, [])
            items.insert(chance.randint(0, len(items)), unit.item)
            there = change["value"].get("contacts", [])
            contacts = [*there, *(c for c in unit.around.get("contacts", ()) if c not in there)]
            if contacts:
                chance.shuffle(contacts)
                change["value"]["contacts"] = contacts
        body = {"object": "whatsapp_business_account", "entry": entries}
        bodies.append(json.dumps(body, ensure_ascii=chance.random() < 0.5).encode())
    return bodies


def may_join(change: dict[str, Any], unit: Unit) -> bool:
    """Whether an item may stand in a change beside what is there: all else is the same, or only
    tells of other people. (More about the same person would rightly make another event.)"""
    if not unit.part or change["field"] != unit.field:
        return False
    shared = {k: v for k, v in change["value"].items() if k not in payload.PARTS[unit.field]}
    own = unit.around
    if any(shared.get(k) != own.get(k) for k in {*shared, *own} - {"contacts"}):
        return False
    ours, theirs = named(own), named(shared)
    return shared.get("contacts") == own.get("contacts") or bool(
        ours and theirs and ours.isdisjoint(theirs)
    )


def named(around: dict[str, Any]) -> set[str]:
    """Whom the contact blocks tell of."""
    keys = ("wa_id", "user_id", "parent_user_id")
    return {str(one[k]) for one in around.get("contacts", ()) for k in keys if one.get(k)}


def events(bodies: list[bytes]) -> set[tuple[str, str, bytes]]:
    """What the webhooks tell: id, kind, and all of the event byte for byte."""

    async def run() -> set[tuple[str, str, bytes]]:
        found = set()
        for body in bodies:
            writer = await taken(body)
            assert not writer.retries
            for event in writer.events:
                said = event.SerializeToString(deterministic=True)
                found.add((event.event_id, event.WhichOneof("body") or "", said))
        return found

    return asyncio.run(run())


def alone(unit: Unit) -> bytes:
    entry = {"id": unit.waba, "time": unit.time, "changes": [unit.change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


@given(
    st.lists(st.integers(0, len(UNITS) - 1), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
@settings(max_examples=5_000 if LONG else 150, deadline=None, derandomize=not LONG)
def test_any_batching_order_and_repetition_gives_the_same_events(
    which: list[int], chance: Random
) -> None:
    chosen = [UNITS[n] for n in which]
    again = chosen + chance.choices(chosen, k=chance.randint(0, 20))
    chance.shuffle(again)
    assert events(batched(again, chance)) == events([alone(unit) for unit in chosen])


def test_what_is_told_has_one_id_and_one_body() -> None:
    found = events([alone(unit) for unit in UNITS if unit.field == "messages"])
    ours = [one for one in found if one[0].startswith(("wamid.447700", "wamid.0/"))]
    assert len(ours) == len({event_id for event_id, _, _ in ours}) == 11


def test_there_is_enough_to_choose_from() -> None:
    if not WILD.exists():
        pytest.skip(f"{WILD} is not here: only {FIXTURES} and made-up items were batched")
    assert len(UNITS) > 250
    assert len({unit.field for unit in UNITS}) > 15
