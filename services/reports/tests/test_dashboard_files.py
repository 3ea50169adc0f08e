"""Files and schedules on the dashboard, over HTTP."""

import re
from datetime import timedelta
from html import unescape

import pytest

from merhaba.reports.v1 import ExportSchedule
from services.reports.dashboard.markup import text
from services.reports.dashboard.schedules import schedule_of
from services.reports.exports.store import ExportStore
from services.reports.tests import visiting
from services.reports.tests.auditing import audit
from services.reports.tests.desking import sent
from services.reports.tests.visiting import page
from services.reports.words import WORDS

door, stranger, manager, browser = (
    visiting.door,
    visiting.stranger,
    visiting.manager,
    visiting.browser,
)
PLAN = {
    "name": "Weekly <b>figures</b>",
    "what": "campaigns",
    "format": "xlsx",
    "every": "monday",
    "time": "08:30",
    "covers": "7",
    "to_kind": "folder",
    "where": "weekly",
    "key": "",
}


@pytest.fixture(autouse=True)
async def nothing_planned(pool) -> None:
    await pool.execute("DELETE FROM exports")
    await pool.execute("DELETE FROM export_schedules")


async def test_a_file_is_made_and_fetched(manager, door, feed) -> None:
    own = await sent(feed)
    form = {"campaign": own, "format": "csv"}
    answer = await manager.post("/exports", data=form)
    assert answer.status == 200
    assert "Waiting" in await answer.text()
    while await door.maker.make():
        pass
    shown = await page(manager, "/exports")
    files = {}
    for path in re.findall(r'href="(/exports/exp_[^"]+)"', shown):
        async with manager.get(path) as answer:
            assert answer.status == 200
            assert "attachment" in answer.headers["Content-Disposition"]
            files[answer.content_type] = files.get(answer.content_type, b"") + await answer.read()
    assert own.encode() in files["text/csv"]


async def test_where_there_is_nothing_it_is_said_what_to_do(browser) -> None:
    for language, words in WORDS.items():
        assert text(words["nothing_made"]) in await page(browser, "/exports", language)
        assert text(words["nothing_planned"]) in await page(browser, "/exports/schedules", language)
        found = await page(browser, "/campaigns?search=nobody-calls-it-so", language)
        assert text(words["nothing_found"]) in found


async def test_a_file_says_what_is_in_it(manager, feed) -> None:
    own = await sent(feed, name="Yaz İndirimi")
    await manager.post("/exports", data={"campaign": own, "format": "pdf"})
    days = {"from": "2026-11-20", "to": "2026-11-22"}
    await manager.post("/exports", data={"what": "messages", "format": "csv", **days})
    shown = await page(manager, "/exports")
    assert "merhaba-yaz-indirimi-2026" in shown
    assert "Messages, one by one, 20 Nov 2026 – 22 Nov 2026" in shown


async def test_a_file_that_waits_can_be_cancelled(manager, browser, feed) -> None:
    await manager.post("/exports", data={"campaign": await sent(feed), "format": "csv"})
    shown = await page(manager, "/exports")
    audit(shown, "/exports")
    (path,) = re.findall(r'action="(/exports/exp_[^"]+/cancel)"', shown)
    assert (await browser.post(path)).status == 403
    assert "Cancelled" in await (await manager.post(path)).text()
    assert (await manager.post("/exports/nothing/cancel")).status == 404


async def test_a_schedule_is_made_paused_gone_on_with_and_deleted(manager, browser, door) -> None:
    assert (await browser.post("/exports/schedules", data=PLAN)).status == 403
    answer = await manager.post("/exports/schedules", data=PLAN)
    assert answer.status == 200
    shown = await page(manager, "/exports/schedules")
    audit(shown, "/exports/schedules")
    assert "<b>figures" not in shown
    for words in ("Weekly &lt;b&gt;figures", "Every Monday at 08:30", "7 days", "weekly", "Runs"):
        assert words in shown, words
    assert "23 Nov 2026 08:30" in shown
    (path,) = re.findall(r'action="(/exports/schedules/sch_[^"]+)"', shown)
    assert (await browser.post(path, data={"action": "delete"})).status == 403
    assert path not in await page(browser, "/exports/schedules")
    assert "Go on" in await (await manager.post(path, data={"action": "pause"})).text()
    assert "Paused" in await page(manager, "/exports/schedules")
    assert "Pause:" in await (await manager.post(path, data={"action": "resume"})).text()
    assert (await manager.post(path, data={"action": "burn"})).status == 400
    assert (
        "Nothing is planned" in await (await manager.post(path, data={"action": "delete"})).text()
    )
    assert (await manager.post(path, data={"action": "delete"})).status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": ""}, {"what": "all"}, {"format": "doc"}, {"every": "hour"}, {"time": "25:00"}),
        *({"time": "8"}, {"covers": "0"}, {"to_kind": "mail"}, {"where": "../elsewhere"}),
        *({"to_kind": "webhook", "where": "ftp://x"}, {"to_kind": "bucket", "where": "//"}),
        {"to_kind": "webhook", "where": "https://hook.example/", "key": "nobody"},
    ],
)
async def test_a_schedule_that_cannot_work_is_refused_with_the_reason(manager, wrong) -> None:
    answer = await manager.post("/exports/schedules", data=PLAN | wrong)
    assert answer.status == 400
    assert "cannot be answered" in unescape(await answer.text())


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("lake/daily/", ("", "", "lake", "daily/")),
        ("https://s3.example:9000/lake/a/b", ("https://s3.example:9000", "", "lake", "a/b")),
        (
            "https://s3.eu-central-1.amazonaws.com/lake",
            ("https://s3.eu-central-1.amazonaws.com", "eu-central-1", "lake", ""),
        ),
    ],
)
def test_a_bucket_is_written_as_its_address(where, told) -> None:
    made = schedule_of(PLAN | {"to_kind": "bucket", "where": where, "key": "k"}, "UTC", "tr")
    bucket = made.destination.bucket
    assert (bucket.endpoint, bucket.region, bucket.bucket, bucket.prefix) == told
    assert bucket.credential_name == "k"
    assert made.cron == "30 8 * * 1"


async def test_what_a_schedule_could_not_do_is_said_and_its_secrets_are_not(
    manager, door, pool, manual_clock
) -> None:
    await manager.post("/exports/schedules", data=PLAN)
    store = ExportStore(pool)
    (one,) = await store.schedules(("", ""), 2)
    hook = ExportSchedule.FromString(one.schedule)
    hook.destination.webhook.url = "https://hook.example/a-token?key=secret"
    await store.change_schedule(
        one._replace(version=one.version + 1, schedule=hook.SerializeToString())
    )
    await store.ran(
        one._replace(last_failure="it answered 500"), manual_clock.now() + timedelta(days=1)
    )
    shown = await page(manager, "/exports/schedules")
    assert "it answered 500" in shown
    assert "Failed last" in shown
    assert "hook.example" in shown
    assert "a-token" not in shown
    assert "secret" not in shown
