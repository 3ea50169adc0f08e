"""`merhaba numbers` and `merhaba rate-cards` as an operator runs them, against a running sender."""

import random
from pathlib import Path
from typing import Any

from cli.tests.running import Ended, ran
from services.sender.tests.conftest import (  # noqa: F401 - fixtures
    TOKEN,
    call_timeout_s,
    migrated,
    pool,
    ready,
    running_limits,
    suite,
    unknown_ms,
)

EXAMPLE = Path(__file__).parents[2] / "samples" / "rate_cards" / "example.csv"


async def run(sender: Any, *arguments: str) -> Ended:
    """Exit code, output and errors of a command."""
    return await ran(*arguments, SENDER_TARGET=sender.target, API_TOKEN=TOKEN)


async def cells(sender: Any, number_id: str) -> list[str]:
    """What `numbers list` tells of a number."""
    listed = (await run(sender, "numbers", "list", "--account", sender.waba_id))[1]
    (row,) = [line for line in listed.splitlines() if number_id in line]
    return [cell.strip() for cell in row.strip("│").split("│")]


async def test_a_number_is_registered_listed_paused_and_resumed(ready: Any) -> None:  # noqa: F811
    number_id = str(random.SystemRandom().randrange(10**14, 10**15))
    known = {
        "phone_number_id": number_id,
        "waba_id": ready.waba_id,
        "display_phone_number": "+90 212 111 22 33",
        "throughput": 80,
    }
    await ready.control("POST", "numbers", [known])
    register = ("numbers", "register", number_id, "--account", ready.waba_id, "--limit", "20")
    first = await run(ready, *register)
    assert first == (0, f"{number_id} +90 212 111 22 33 active\n", "")
    assert await run(ready, *register) == first
    seen = await cells(ready, number_id)
    assert (seen[1], seen[3:9]) == (
        "+90 212 111 22 33",
        ["active", "GREEN", "20", "unlimited", "0", "closed"],
    )
    code, output, _ = await run(ready, "numbers", "pause", number_id, "--reason", "audit")
    assert (code, output) == (0, f"{number_id} +90 212 111 22 33 paused: audit\n")
    assert (await cells(ready, number_id))[3] == "paused: audit"
    assert "active" in (await run(ready, "numbers", "resume", number_id))[1]
    assert "active" in (await run(ready, "numbers", "refresh", number_id))[1]
    code, _, errors = await run(ready, "numbers", "pause", "1")
    assert (code, errors) == (2, "merhaba: number 1 is not registered\n")


async def test_a_rate_card_is_loaded_once_and_listed(ready: Any) -> None:  # noqa: F811
    options = ("--currency", "USD", "--effective", "2026-10-01", "--account", ready.waba_id)
    load = ("rate-cards", "load", str(EXAMPLE), *options, "--free-answers", "1000")
    first = await run(ready, *load)
    code, output, errors = first
    assert (code, errors) == (0, "")
    assert output.endswith("example: 18 prices from 2026-10-01 00:00:00Z\n")
    assert await run(ready, *load) == first
    listed = (await run(ready, "rate-cards", "list", "--account", ready.waba_id))[1]
    (row,) = [line for line in listed.splitlines() if ready.waba_id in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *(output.split()[0], "example", "USD", ready.waba_id, "2026-10-01 00:00:00Z", "1000")
    ]


async def test_a_card_that_is_wrong_is_told_by_its_line(ready: Any, tmp_path: Path) -> None:  # noqa: F811
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(EXAMPLE.read_text() + "TR,,marketing,0,cheap\n")
    options = ("--currency", "USD", "--effective", "2026-10-01")
    code, output, errors = await run(ready, "rate-cards", "load", str(wrong), *options)
    assert (code, output) == (2, "")
    assert errors.startswith("merhaba: ")
    assert "20" in errors
    code, _, errors = await run(ready, "rate-cards", "load", "no-such.csv", *options)
    assert (code, errors) == (2, "merhaba: no-such.csv: No such file or directory\n")
