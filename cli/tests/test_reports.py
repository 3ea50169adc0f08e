"""The questions a marketing lead asks, each answered by one command, against a running service."""

import asyncio
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis.ids import fresh_id
from cli.commands import app
from cli.tests.running import Ended, ran
from services.reports.consumer import Folding
from services.reports.conversions.definitions import Definitions
from services.reports.conversions.store import ConversionStore
from services.reports.tests import conftest
from services.reports.tests.events import (
    DAY,
    HOUR,
    came,
    campaign,
    entered,
    ordered,
    outcome,
    received,
    ref,
    segment_changed,
    tracked,
)
from services.reports.tests.test_api import TOKEN, asking, stub_port

__all__ = ["asking", "stub_port"]
QUESTIONS = Path(__file__).parents[2] / "docs" / "questions.md"
reports_url, pool, store, ledger = (
    conftest.reports_url,
    conftest.pool,
    conftest.store,
    conftest.ledger,
)
answers, kept, settled, held, feed = (
    conftest.answers,
    conftest.kept,
    conftest.settled,
    conftest.held,
    conftest.feed,
)


@pytest.fixture
def merhaba(stub_port):
    async def run(*arguments: str) -> Ended:
        """Exit code, output and errors of a command."""
        return await ran(
            "report",
            *arguments,
            columns=250,
            REPORTS_TARGET=f"127.0.0.1:{stub_port}",
            API_TOKEN=TOKEN,
        )

    return run


@pytest.fixture
async def summer(feed) -> str:
    """A campaign of 400 people: half got `long`, which fewer read, half `short`."""
    own, now = fresh_id("c"), int(datetime.now(UTC).timestamp() * 1000)
    start = now - DAY
    events = [campaign(start, own, "running", f"Summer {own}", 400)]
    for n in range(400):
        short = n % 2 == 0
        about = ref(f"{own}/{n}", own, "b" if short else "a", "short" if short else "long")
        events.append(outcome("delivered", start, f"{own}{n}", about))
        events.append(outcome("sent", start, f"{own}{n}", about, cost=20_000, priced=True))
        if n % 10 < (8 if short else 3):
            events.append(outcome("read", start + 1, f"{own}{n}", about))
        if n == 0:
            events += [outcome(one, start + 2, f"{own}0", about) for one in ("clicked", "replied")]
    await feed("signal", [segment_changed(start, own, own, "Regulars"), entered(0, f"{own}0", own)])
    await feed("message", events)
    await feed("contact", [ordered(start + HOUR, f"{own}0", own, 100), received(start, f"{own}1")])
    return own


def cells(output: str, word: str) -> list[str]:
    (line,) = [line for line in output.splitlines() if word in line]
    return [cell.strip() for cell in line.strip("│┃ ").split("│")]


async def test_how_many_were_sent_delivered_read_and_bought_and_what_it_cost(
    merhaba, summer
) -> None:
    code, output, errors = await merhaba("overview", "--where", f"campaign={summer}")
    assert (code, errors) == (0, "")
    for measure, figure in (
        *(("sent", "400"), ("delivered", "400"), ("read", "200")),
        *(("clicked", "1"), ("replied", "1"), ("converted", "1")),
    ):
        assert [
            c
            for c in (row.strip("│ ").split("│") for row in output.splitlines())
            if c[0].strip() == measure and c[1].strip() == figure
        ], measure
    assert "50.0%" in output
    assert "8.00 USD" in output
    assert "100.00 TRY" in output
    assert f"Summer {summer}" in output


async def test_which_message_works_best(merhaba, summer) -> None:
    code, output, _ = await merhaba(
        "query", "read_rate", "delivered", "--by", "message", "--where", f"campaign={summer}"
    )
    assert code == 0
    assert output.index("short") < output.index("long")
    assert cells(output, "short")[1].startswith("80.0%")


async def test_which_segment_works_best(merhaba, summer) -> None:
    code, output, _ = await merhaba(
        "query", "read_rate", "--by", "segment", "--where", f"campaign={summer}"
    )
    assert code == 0
    assert cells(output, "Regulars")[1].startswith("100.0%")


async def test_which_hour_works_best(merhaba, summer) -> None:
    code, output, _ = await merhaba("hours", "--where", f"campaign={summer}", "--zone", "UTC")
    assert code == 0
    assert "50" in output
    assert all(day in output for day in ("Mon", "Sun"))


async def test_what_it_cost(merhaba, summer) -> None:
    code, output, _ = await merhaba("costs", "--where", f"campaign={summer}", "--by", "market")
    assert code == 0
    assert cells(output, "400")[:4] == ["TR", "400", "400", "8.00 USD"]
    assert "together 8.00 USD" in output
    # The one purchase was paid in another currency
    assert "8.00 USD" in cells(output, "400")[4:]


async def test_whether_b_is_better_than_a(merhaba, summer) -> None:
    code, output, errors = await merhaba("campaign", f"Summer {summer}")
    assert (code, errors) == (0, "")
    assert "best variant b: read rate 80.0%" in output
    assert "against 20.0%" in output


async def test_one_persons_messages_with_their_reasons(merhaba, summer) -> None:
    code, output, _ = await merhaba("contact", f"{summer}0", "--purpose", "a question of theirs")
    assert code == 0
    assert "message read" in output
    assert f"campaign Summer {summer} planned" in output
    assert "order completed" in output


async def test_what_is_mistyped_is_told_with_what_there_is(merhaba) -> None:
    code, _, errors = await merhaba("query", "red_rate")
    assert code == 2
    assert "no measure" in errors
    assert "read_rate" in errors


@pytest.fixture
def quickly(stub_port, monkeypatch):
    """Commands in this process: the same, but for the second that a program takes to begin."""
    monkeypatch.setenv("PLAINTEXT", "true")
    monkeypatch.setenv("REPORTS_TARGET", f"127.0.0.1:{stub_port}")
    monkeypatch.setenv("API_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "250")

    async def run(*arguments: str) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code == 0, (arguments, done.output)
        return done.output

    return run


async def test_every_question_of_the_page_is_answered_by_its_command(
    quickly, summer, feed, pool, ledger, held, settled, manual_clock
) -> None:
    """As somebody new would, who copies them: first what counts as success, then each question."""
    page, trials = QUESTIONS.read_text(), fresh_id("trials")
    named = {
        "Summer sale": f"Summer {summer}",
        "con_…": f"{summer}0",
        "trials": trials,
        "trial_started": f"trial_{summer}".lower(),
    }
    commands = re.findall(r"`(merhaba (?:report|conversions) [^`]*)`", page)
    (defined,) = [one for one in commands if one.startswith("merhaba conversions")]
    asked = [one for one in commands if one.startswith("merhaba report")]
    assert len(asked) >= 18

    def filled(command: str) -> list[str]:
        return [named.get(word, word) for word in shlex.split(command)[1:]]

    await quickly(*filled(defined))
    assert trials in await quickly("conversions", "list")
    now = int(datetime.now(UTC).timestamp() * 1000)
    definitions = Definitions(ConversionStore(pool), manual_clock, timedelta(days=7))
    await definitions.refresh()
    folding = Folding("contact", ledger, held.erase, lambda: definitions.reader)
    told = [
        tracked(now - HOUR, f"{summer}0", named["trial_started"], {"price": 7}),
        came(now - 2 * HOUR, f"{summer}0", f"ad {summer}", f"Ad {summer}"),
        ordered(now - HOUR, f"{summer}0", f"{summer}/2", 50),
    ]
    await folding.handle([one.SerializeToString() for one in told])
    await settled()
    answers = {command: await quickly(*filled(command)) for command in asked}
    assert all(len(answer.splitlines()) > 3 for answer in answers.values())

    ads = [line for line in answers["merhaba report ads"].splitlines() if f"Ad {summer}" in line]
    assert [cells(line, "Ad")[1:] for line in ads] == [
        ["1", "1", "100.0% (20.7% to 100.0%, of 1)"],
        ["50.00 TRY"],
    ]
    mine = ("--where", f"campaign={summer}")
    output = await quickly("report", "overview", "--conversion", trials, *mine)
    assert "7.00 EUR" in output
    assert "100.00 TRY" not in output
    output = await quickly("report", "funnel", "--conversion", trials, *mine)
    assert cells(output, "converted")[1] == "1"
    output = await quickly("report", "campaign", f"Summer {summer}", "--conversion", trials)
    assert "7.00 EUR" in output
    by = ("--by", "conversion", "--by", "message")
    output = await quickly("report", "query", "converted", "revenue", *by, *mine)
    assert cells(output, trials)[1:] == ["short", "1", "7.00 EUR"]


async def test_a_conversion_that_nobody_defined_is_told_with_those_there_are(merhaba) -> None:
    code, _, errors = await merhaba("overview", "--conversion", "nothing")
    assert code == 2
    assert "order_completed" in errors
