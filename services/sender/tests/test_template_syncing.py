"""Templates kept in step with Meta: by webhooks in any order, and by reading the account."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from chassis.clock import SystemClock
from merhaba.event.v1 import (
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
)
from merhaba.sender.v1 import (
    SyncTemplatesRequest,
    Template,
)
from services.sender.templates.syncing import Syncing
from services.sender.tests.registry import (
    HOUR_MS,
    at_meta,
    created,
    decided,
    event,
    get,
    hear,
    now_ms,
)
from services.sender.tests.test_aftermath import launched, standing


async def test_a_reading_does_not_undo_a_webhook_that_came_meanwhile(ready: Any) -> None:
    made = await created(ready)
    asked, before = now_ms(), await ready.shelf.template(made.template_id)
    reading = await ready.shelf.template(made.template_id)
    paused = TemplateStatusChanged(status="PAUSED")
    await hear(ready, event(ready, made.template_id, asked, template_status_changed=paused))
    assert not await ready.shelf.put(reading, before, asked)
    assert (await get(ready, made.template_id)).state == Template.STATE_PAUSED


async def test_a_sync_counts_what_it_learned(ready: Any) -> None:
    await ready.control("PUT", "rules", {"template_creations_per_hour": 1000})
    body = {"type": "BODY", "text": "Selam"}
    for n in range(205):
        made = {"name": f"t{n:03}", "language": "tr", "category": "UTILITY", "components": [body]}
        await ready.graph.manage("POST", f"{ready.waba_id}/message_templates", made)

    async def sync() -> tuple[int, ...]:
        request = SyncTemplatesRequest(waba_id=ready.waba_id)
        told = await ready.templates.SyncTemplates(request)
        return (told.added, told.changed, told.removed, told.unchanged)

    assert await sync() == (205, 0, 0, 2)
    assert await sync() == (0, 0, 0, 207)
    listed = {one["name"]: one["id"] for one in await at_meta(ready)}
    await decided(ready, listed["t000"], status="PAUSED")
    await decided(ready, listed["t001"], category="MARKETING")
    path = f"{ready.waba_id}/message_templates?name=t002"
    await ready.graph.manage("DELETE", path)
    assert await sync() == (0, 2, 1, 204)
    assert (await get(ready, listed["t000"])).state == Template.STATE_PAUSED
    moved = await get(ready, listed["t001"])
    assert (moved.category, moved.effective_category) == ("UTILITY", "MARKETING")
    assert (await get(ready, listed["t002"])).state == Template.STATE_DELETED


async def test_what_webhooks_tell_counts_by_its_time_in_any_order_and_twice(ready: Any) -> None:
    made = await created(ready)
    start = now_ms()
    told: list[dict[str, Any]] = [
        {"template_status_changed": TemplateStatusChanged(status="PAUSED", reason="X")},
        {"template_category_changed": TemplateCategoryChanged(category="UTILITY")},
        {"template_quality_changed": TemplateQualityChanged(score="YELLOW")},
        {"template_status_changed": TemplateStatusChanged(status="APPROVED", reason="NONE")},
        {"template_category_changed": TemplateCategoryChanged(category="MARKETING")},
        {"template_quality_changed": TemplateQualityChanged(score="GREEN")},
    ]
    coming = TemplateCategoryChanged(category="UTILITY")
    coming.effective_time.FromMilliseconds(start + 50 * HOUR_MS)
    told.append({"template_category_changed": coming})
    orders = list(permutations(range(len(told))))[:: 5040 // 24]
    for turn, order in enumerate(orders):
        base = start + turn * HOUR_MS
        coming.effective_time.FromMilliseconds(base + 50 * HOUR_MS)
        events = [event(ready, made.template_id, base + n * 1000, **t) for n, t in enumerate(told)]
        await hear(ready, *(events[n] for n in order[:3]))
        for n in (*order[3:], *order):
            await hear(ready, events[n])
        found = await get(ready, made.template_id)
        assert (found.state, found.state_reason) == (Template.STATE_APPROVED, "")
        assert (found.effective_category, found.quality_score) == ("MARKETING", "GREEN")
        assert found.announced_category == "UTILITY"
        assert found.announced_category_time.ToMilliseconds() == base + 50 * HOUR_MS


async def test_a_list_that_leaves_a_template_out_takes_nothing_away_but_what_meta_says(
    ready: Any,
) -> None:
    made = await created(ready)
    short = Syncing(
        ready.shelf, Leaving(ready.graph), SystemClock(), timedelta(hours=6), lambda *_: None
    )
    assert (await short.sync(ready.waba_id)).removed == 0
    assert (await get(ready, made.template_id)).state == Template.STATE_APPROVED
    await decided(ready, made.template_id, status="PENDING_DELETION")
    assert (await short.sync(ready.waba_id)).changed == 1
    assert (await get(ready, made.template_id)).state == Template.STATE_PENDING_DELETION
    await decided(ready, made.template_id, status="APPROVED")
    assert (await short.sync(ready.waba_id)).changed == 1
    assert (await get(ready, made.template_id)).state == Template.STATE_APPROVED
    path = f"{ready.waba_id}/message_templates?name=sezon"
    await ready.graph.manage("DELETE", path)
    assert (await short.sync(ready.waba_id)).removed == 1
    assert (await get(ready, made.template_id)).state == Template.STATE_DELETED


class Leaving:
    """Meta, whose lists leave templates out."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    async def manage(self, method: str, path: str, *arguments: Any, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._graph.manage(method, path, *arguments, **more)
        return {**found, "data": []} if "/message_templates?" in path else found


@pytest.mark.parametrize("told", ["by webhooks", "by webhooks, the pause first", "by a reading"])
async def test_a_template_that_people_complain_of_ends_its_campaigns(ready: Any, told: str) -> None:
    campaign_id = await launched(ready, 0)
    (welcome,) = await ready.shelf.named(ready.waba_id, "welcome", "tr")
    await decided(ready, welcome.template_id, quality="RED")
    template_id, time = welcome.template_id, now_ms() + 1000
    red = {"template_quality_changed": TemplateQualityChanged(score="RED")}
    paused = {"template_status_changed": TemplateStatusChanged(status="PAUSED")}
    if told == "by a reading":
        await ready.syncing.sync(ready.waba_id)
    for one in [red, paused] if told == "by webhooks" else [paused, red]:
        await hear(ready, event(ready, template_id, time, **one))
    assert (await get(ready, welcome.template_id)).quality_score == "RED"
    assert await standing(ready, campaign_id) == ("STATE_STOPPED", "template_quality_red")


async def test_what_a_review_made_of_a_template_is_read_soon_its_category_too(ready: Any) -> None:
    made = await created(ready, category="UTILITY")
    await decided(ready, made.template_id, category="MARKETING")
    pending = TemplateStatusChanged(status="PENDING")
    approved = TemplateStatusChanged(status="APPROVED")
    at = now_ms()
    await ready.shelf.account_read(ready.waba_id, at + HOUR_MS)
    await hear(ready, event(ready, made.template_id, at, template_status_changed=pending))
    await hear(ready, event(ready, made.template_id, at + 1, template_status_changed=approved))
    await ready.shelf.hurry(now_ms() + 61_000)
    await hurried(ready).step()
    assert (await get(ready, made.template_id)).effective_category == "MARKETING"


async def test_a_template_that_is_flagged_stays_in_use_and_says_why_until_it_is_reinstated(
    ready: Any,
) -> None:
    made = await created(ready)
    at = now_ms()
    flagged = TemplateStatusChanged(status="FLAGGED", reason="NONE", detail="Low quality")
    await hear(ready, event(ready, made.template_id, at, template_status_changed=flagged))
    seen = await get(ready, made.template_id)
    assert seen.state == Template.STATE_APPROVED
    assert (seen.state_reason, seen.state_detail) == ("FLAGGED", "Low quality")
    await decided(ready, made.template_id, quality="YELLOW")
    await ready.syncing.sync(ready.waba_id)
    read = await get(ready, made.template_id)
    assert (read.quality_score, read.state_reason) == ("YELLOW", "FLAGGED")
    back = TemplateStatusChanged(status="REINSTATED", reason="NONE")
    await hear(ready, event(ready, made.template_id, at + 1, template_status_changed=back))
    assert (await get(ready, made.template_id)).state_reason == ""


async def test_a_late_webhook_does_not_undo_what_was_read_since(ready: Any) -> None:
    made = await created(ready)
    await ready.syncing.sync(ready.waba_id)
    late = TemplateStatusChanged(status="PAUSED")
    old = now_ms() - 2 * HOUR_MS
    await hear(ready, event(ready, made.template_id, old, template_status_changed=late))
    assert (await get(ready, made.template_id)).state == Template.STATE_APPROVED


def hurried(ready: Any) -> Syncing:
    """Another process's."""
    return Syncing(ready.shelf, ready.graph, SystemClock(), timedelta(hours=6), lambda *_: None)


async def test_what_webhooks_do_not_tell_in_full_is_read_from_meta_soon(ready: Any) -> None:
    syncing = hurried(ready)
    await ready.shelf.account_read(ready.waba_id, now_ms() + HOUR_MS)
    given = {"name": "elden", "language": "tr", "category": "UTILITY"}
    body = {"type": "BODY", "text": "Selam"}
    made = await ready.graph.manage(
        "POST", f"{ready.waba_id}/message_templates", {**given, "components": [body]}
    )
    status = TemplateStatusChanged(status="APPROVED")
    await hear(ready, event(ready, made["id"], now_ms(), template_status_changed=status))
    await ready.shelf.hurry(now_ms() + 61_000)
    await syncing.step()
    assert (await get(ready, made["id"])).name == "elden"
    await ready.graph.manage("POST", made["id"], {"components": [{**body, "text": "Merhaba"}]})
    change = TemplateComponentsChanged()
    await hear(ready, event(ready, made["id"], now_ms(), template_components_changed=change))
    await ready.shelf.hurry(now_ms() + 61_000)
    await syncing.step()
    assert (await get(ready, made["id"])).components.body.text == "Merhaba"


async def test_accounts_are_read_at_the_start_and_then_by_one_process_at_a_time(
    ready: Any,
) -> None:
    made = await created(ready)
    await decided(ready, made.template_id, status="PAUSED")
    due = await ready.shelf.due_accounts(now_ms() + 7 * HOUR_MS, now_ms() + 8 * HOUR_MS, 1_000)
    assert ready.waba_id in due
    again = await ready.shelf.due_accounts(now_ms() + 7 * HOUR_MS, now_ms() + 8 * HOUR_MS, 1_000)
    assert ready.waba_id not in again
    await ready.shelf.account_read(ready.waba_id, now_ms() + HOUR_MS)
    syncing = hurried(ready)
    await ready.shelf.hurry(now_ms() + 6 * HOUR_MS - 60_000)
    await syncing.step()
    assert (await get(ready, made.template_id)).state == Template.STATE_PAUSED
