"""`merhaba write-keys` as an operator runs it, against a running ingest."""

import os

from chassis.ids import fresh_id
from chassis.testing import wait_until
from cli.tests.running import Ended, ran
from services.ingest.tests.conftest import API_TOKEN, Front


async def run(*arguments: str) -> Ended:
    """Exit code, output and errors of a command."""
    return await ran(
        "write-keys",
        *arguments,
        INGEST_TARGET=f"127.0.0.1:{os.environ['GRPC_PORT']}",
        API_TOKEN=API_TOKEN,
    )


async def test_a_key_is_made_listed_limited_and_ended(front: Front) -> None:
    name = fresh_id("key").replace("_", "-")
    code, output, errors = await run("create", name, "--source", "shop", "--limit", "9")
    secret, key_id = output.strip(), errors.split()[0]
    assert (code, len(output.split())) == (0, 1)

    async def opens() -> bool:
        return (await front.track(1, secret))[0] == 200

    await wait_until(opens)
    (row,) = [line for line in (await run("list"))[1].splitlines() if name in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][:5] == [
        *(key_id, name, "shop", f"{secret[:8]}…", "9"),
    ]
    assert (await run("update", key_id, "--limit", "0"))[0] == 0
    (row,) = [line for line in (await run("list"))[1].splitlines() if name in line]
    assert "usual" in row
    assert (await run("revoke", key_id, "--at", "2100-01-01"))[1].split()[2] == "2100-01-01"
    assert (await run("revoke", key_id))[0] == 0
    assert name not in (await run("list"))[1]
    assert name in (await run("list", "--all"))[1]


async def test_what_cannot_be_done_is_told_in_one_line(front: Front) -> None:
    code, output, errors = await run("revoke", "wk_0")
    assert (code, output) == (2, "")
    assert errors == "merhaba: no such write key; list them first\n"
