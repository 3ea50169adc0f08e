"""`merhaba triggers` as somebody of marketing runs it, against a running service."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from cli.tests.running import Ended, ran
from merhaba.segment.v1 import CreateTriggerRequest, EventCause, Trigger
from services.segment.tests.conftest import TOKEN, migrated, suite  # noqa: F401 - fixtures

ALWAYS = ("--since", "3650d")  # before and after any date of this machine
CART = """\
kind: segment
name: other
expression: profile.age > 3
---
kind: trigger
name: cart
event: cart_updated
condition: event.total >= 100.0 && !events("order_completed").exists()
delay_duration: 1h
cancel_condition: events("order_completed").exists()
key: event.cart_id
action:
  send:
    campaign: Birthday
    parameters:
      total: event.total
"""


async def run(suite: Any, *arguments: str) -> Ended:  # noqa: F811 - a fixture
    """Exit code, output and errors of a command."""
    return await ran(
        "triggers", *arguments, columns=240, SEGMENT_TARGET=suite.target, API_TOKEN=TOKEN
    )


def rows(output: str) -> list[list[str]]:
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def filled(suite: Any, count: int = 1) -> list[str]:  # noqa: F811 - a fixture
    """Carts of so many people, each of 150 and then of 50."""
    people = sorted(str(uuid4()) for _ in range(count))
    for one in people:
        suite.profile.events[one] = [
            suite.tracked(
                one, "cart_updated", f'{{"total":{total},"cart_id":"c"}}', timedelta(hours=ago)
            )
            for total, ago in ((150, 3), (50, 2))
        ]
    return people


async def test_a_trigger_of_a_file_is_tried_before_it_is_made(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    (one,) = filled(suite)
    file = tmp_path / "cart.yaml"
    file.write_text(CART)
    code, output, _ = await run(suite, "test", str(file), *ALWAYS, "--unmet")
    assert code == 0
    first, second = rows(output)
    assert first == [
        *(one, "2026-11-22 06:00:00Z", "fired", "2026-11-22 07:00:00Z"),
        *("c", "total=150.0", "it was due"),
    ]
    assert second[2] == "unmet"
    assert second[6] == "the condition did not hold: event.total >= 100.0"
    assert output.splitlines()[-1].startswith("1 fired, 1 unmet; 1 of 1 contacts, since ")
    assert output.endswith("; nothing was done\n")
    assert not await suite.pool.fetchval("SELECT count(*) FROM triggers")


async def test_a_saved_trigger_is_tried_on_some_and_all_are_counted(suite: Any) -> None:  # noqa: F811
    people = filled(suite, 3)
    trigger = Trigger(name="cart", event=EventCause(name="cart_updated"))
    trigger.action.send.campaign_id = "cmp"
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=trigger))
    chosen = [word for one in people[:2] for word in ("--contact", one)]
    code, output, _ = await run(suite, "test", "cart", *ALWAYS, *chosen, "--most", "1")
    assert code == 0
    assert [row[0] for row in rows(output)] == people[:1]
    assert output.splitlines()[-1].startswith("4 fired; 2 of 2 contacts, since ")


async def test_what_cannot_be_tried_is_said(suite: Any, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "two.yaml"
    file.write_text(CART + "---\n" + CART.replace("name: cart", "name: cart2"))
    for arguments, said in (
        (("nobody",), "merhaba: trigger: there is no trigger nobody; list them first"),
        (("nobody", "--since", "week"), "merhaba: --since: not a duration"),
        ((str(tmp_path / "none.yaml"),), "No such file or directory"),
        ((str(file),), f"{file}:18: segment other: declared before"),
    ):
        code, output, errors = await run(suite, "test", *arguments)
        assert (code, output) == (2, ""), arguments
        assert said in errors, errors
    file.write_text("kind: trigger\nname: t\nsegment: nobodys\naction:\n  send: c\n")
    code, _, errors = await run(suite, "test", str(file))
    assert (code, errors) == (
        2,
        f"merhaba: {file}:3: there is no segment nobodys; apply it first\n",
    )
