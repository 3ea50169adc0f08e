"""What is kept has an end, and what is needed stays."""

from datetime import timedelta

import pytest

from chassis.clock import moment_of
from chassis.ids import fresh_id
from services.reports.answers.flows import Flows
from services.reports.answers.question import Where
from services.reports.chronicle.api import timeline_reads
from services.reports.retention import Retention
from services.reports.tests.events import (
    DAY,
    NOON,
    entered,
    fired,
    left,
    outcome,
    received,
    ref,
    staged,
)
from services.reports.tests.test_base import stretch


@pytest.fixture
def retention(pool, manual_clock) -> Retention:
    return Retention(pool, manual_clock, timedelta(days=100))


async def swept(retention) -> None:
    while await retention.once():
        pass


async def test_what_was_said_of_people_goes_but_for_what_holds(retention, feed, pool) -> None:
    own = fresh_id("p")
    await feed(
        "contact",
        [staged(NOON - days * DAY, own, f"{own}/{days}") for days in (300, 200, 150, 50)],
    )
    await feed("signal", [entered(NOON - 300 * DAY, own, own)])
    flows, within = Flows(pool), [Where("segment_id", (own,), False)]
    period = stretch(-90 * DAY, 0)
    before = await flows.flow(period, within)
    await swept(retention)
    assert await flows.flow(period, within) == before
    rows = await pool.fetch(
        "SELECT change_time FROM contact_history WHERE contact_id = $1 AND name = 'stage'", own
    )
    assert {row[0] for row in rows} == {moment_of(NOON - days * DAY) for days in (150, 50)}


async def test_who_left_long_ago_is_no_member_again(retention, feed, pool) -> None:
    own = fresh_id("p")
    await feed("signal", [entered(NOON - 300 * DAY, own, own), left(NOON - 200 * DAY, own, own)])
    await swept(retention)
    rows = await pool.fetch("SELECT value FROM contact_history WHERE contact_id = $1", own)
    assert [row[0] for row in rows] == [""]


async def test_letters_and_what_started_messages_go(retention, feed, pool) -> None:
    own = fresh_id("p")
    for days in (200, 50):
        at = NOON - days * DAY
        await feed("contact", [received(at, own)])
        await feed("signal", [fired(at, own, "t", f"{own}/{days}", "c")])
        await feed("message", [outcome("held", at, own, ref(f"{own}/{days}"))])
    await swept(retention)
    for table in ("letters", "occurrences", "gate_words"):
        kept = await pool.fetchval(f"SELECT count(*) FROM {table} WHERE contact_id = $1", own)
        assert kept == 1, table


async def test_reads_pulses_and_pages_go(retention, pool, manual_clock) -> None:
    now, own = manual_clock.now(), fresh_id("p")
    reads = timeline_reads(pool, manual_clock, timedelta(days=10))
    for days in (20, 5):
        await pool.execute(
            "INSERT INTO reads VALUES ($1, 'desk', 'why', 'method', $2)",
            *(now - timedelta(days=days), own),
        )
    for minutes in (90, 30):
        await pool.execute(
            "INSERT INTO pulses (fold_time, first_time, last_time, counts) VALUES ($1, $1, $1, $2)",
            *(now - timedelta(minutes=minutes), own.encode()),
        )
        await pool.execute(
            "INSERT INTO answers VALUES ($1, $2, '')",
            *(f"{own}/{minutes}", now - timedelta(minutes=minutes)),
        )
    await swept(retention)
    await reads.forget_old()
    for statement, left_over in (
        ("SELECT count(*) FROM reads WHERE contact_id = $1", 1),
        ("SELECT count(*) FROM pulses WHERE counts = convert_to($1, 'UTF8')", 1),
        ("SELECT count(*) FROM answers WHERE answer_id LIKE $1 || '%'", 0),
    ):
        assert await pool.fetchval(statement, own) == left_over, statement


async def test_alerts_that_are_over_go_and_what_stands_stays(retention, pool) -> None:
    own = fresh_id("rule")
    for days, state in ((200, "resolved"), (200, "open"), (50, "resolved")):
        await pool.execute(
            "INSERT INTO alerts VALUES ($1, $2, '{}', $3, $4, 0, '')",
            *(fresh_id("alert"), own, state, moment_of(NOON - days * DAY)),
        )
    await swept(retention)
    rows = await pool.fetch("DELETE FROM alerts WHERE alert_rule_id = $1 RETURNING state", own)
    assert sorted(row[0] for row in rows) == ["open", "resolved"]
