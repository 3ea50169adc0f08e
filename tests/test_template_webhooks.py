"""What Meta posts about templates, as ingest reads it, is what sender folds into its registry."""

import os
from pathlib import Path

import pytest

from services.ingest import payload, wire
from services.sender.account_wire import template_change

WILD = Path(__file__).parents[2] / "shared" / "webhooks"
KINDS = ("message-template-", "template-")
RECEIVED_MS = 1_795_000_000_000
DAY_MS = 86_400_000

TOLD = {
    "message-template-components-update__value__02.json": ("components", True),
    "message-template-quality-update__value__01.json": ("quality", "YELLOW"),
    "message-template-status-update__approved__01.json": ("state", "APPROVED"),
    "message-template-status-update__approved__02.json": ("state", "APPROVED"),
    "message-template-status-update__approved__05.json": ("state", "APPROVED"),
    "message-template-status-update__approved__06.json": ("state", "APPROVED"),
    "message-template-status-update__disabled__01.json": ("state", "DISABLED"),
    "message-template-status-update__flagged__01.json": ("state", ""),
    "message-template-status-update__locked__01.json": ("state", "LOCKED"),
    "message-template-status-update__paused__01.json": ("state", "PAUSED"),
    "message-template-status-update__rejected__02.json": ("state", "REJECTED"),
    "message-template-status-update__rejected__03.json": ("state", "REJECTED"),
    "message-template-status-update__value__01.json": ("quality", "YELLOW"),
    "template-category-update__completed__01.json": ("category", "MARKETING"),
    "template-category-update__completed__02.json": ("category", "MARKETING"),
    "template-category-update__impending__02.json": ("category", "MARKETING"),
}
"""What each of these says; the others say nothing of a template that is kept."""

pytestmark = pytest.mark.skipif(
    not WILD.exists() and os.environ.get("CI") != "true",
    reason="the webhooks seen in the wild are not beside the repository",
)


def names() -> list[str]:
    return sorted(p.name for p in WILD.glob("*.json") if p.name.startswith(KINDS))


@pytest.mark.parametrize("name", names())
def test_a_webhook_changes_of_a_template_what_it_tells(name: str) -> None:
    items = payload.items(payload.webhook((WILD / name).read_bytes()), RECEIVED_MS)
    events = [wire.event(payload.read(item), RECEIVED_MS, "") for item in items]
    changes = [change for event in events if (change := template_change(event)) is not None]
    if name not in TOLD:
        assert changes == []
        return
    (change,) = changes
    fact, value = TOLD[name]
    assert getattr(change, fact) == value
    assert change.template_id
    assert change.time


def test_an_announcement_without_a_date_is_for_the_next_day() -> None:
    raw = (WILD / "template-category-update__impending__02.json").read_bytes()
    (item,) = payload.items(payload.webhook(raw), RECEIVED_MS)
    change = template_change(wire.event(payload.read(item), RECEIVED_MS, ""))
    assert change is not None
    assert change.category_time == change.time + DAY_MS


def test_the_walk_meets_all_that_it_expects() -> None:
    assert set(names()) >= TOLD.keys()
