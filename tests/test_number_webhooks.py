"""What Meta posts about accounts and numbers, as ingest reads it, is what sender keeps of them."""

import os
from pathlib import Path

import pytest

from services.ingest import payload, wire
from services.sender.account_wire import number_facts
from services.sender.model import NEVER

WILD = Path(__file__).parents[2] / "shared" / "webhooks"
KINDS = (
    *("account-alerts", "account-settings-update", "account-update", "business-capability-update"),
    *("phone-number-quality-update", "security"),
)
RECEIVED_MS = 1_795_000_000_000
RESTRICTED = ("restriction", "business_initiated")
GONE = ("restriction", "all")

TOLD = {
    "account-update__account-offboarded__01.json": [GONE],
    "account-update__account-restriction__04.json": [RESTRICTED],
    "account-update__account-restriction__05.json": [GONE],
    "account-update__partner-added__02.json": [("lift", "")],
    "account-update__partner-removed__02.json": [GONE],
    "account-update__partner-removed__03.json": [GONE],
    "business-capability-update__value__01.json": [("limit", "TIER_2K")],
    "phone-number-quality-update__flagged__01.json": [("limit", "TIER_10K"), ("quality", "RED")],
    "phone-number-quality-update__throughput-upgrade__01.json": [
        ("limit", "TIER_UNLIMITED"),
        ("level", "HIGH"),
    ],
}
"""What of these concerns whether and how fast a number sends; of all the others, nothing does."""

pytestmark = pytest.mark.skipif(
    not WILD.exists() and os.environ.get("CI") != "true",
    reason="the webhooks seen in the wild are not beside the repository",
)


def names() -> list[str]:
    return sorted(p.name for p in WILD.glob("*.json") if p.name.startswith(KINDS))


@pytest.mark.parametrize("name", names())
def test_a_webhook_changes_of_numbers_what_it_tells(name: str) -> None:
    items = payload.items(payload.webhook((WILD / name).read_bytes()), RECEIVED_MS)
    events = [wire.event(payload.read(item), RECEIVED_MS, "") for item in items]
    facts = [fact for event in events for fact in number_facts(event)]
    assert [(fact.fact, fact.value) for fact in facts] == TOLD.get(name, [])
    for fact in facts:
        assert fact.waba_id
        assert fact.time


def test_the_walk_meets_all_that_it_expects() -> None:
    assert set(names()) >= TOLD.keys()


def test_a_restriction_without_a_readable_end_does_not_end_by_itself() -> None:
    body = (WILD / "account-update__account-restriction__05.json").read_bytes()
    (item,) = payload.items(payload.webhook(body), RECEIVED_MS)
    (fact,) = number_facts(wire.event(payload.read(item), RECEIVED_MS, ""))
    assert fact.until == NEVER
    assert fact.display_phone_number
