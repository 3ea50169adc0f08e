"""`merhaba keys` as an operator runs it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis.callers import Caller
from chassis.clock import ManualClock
from chassis.keys import KeyFile, read_keys
from chassis.policy import read_policy
from cli.commands import app
from services import POLICY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(file: Path, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["keys", *arguments], env={"KEYS_FILE": str(file)})
    return done.exit_code, done.stdout, done.stderr


def whose(file: Path, key: str, later: timedelta = timedelta(0)) -> Caller | None:
    clock = ManualClock(datetime.now(UTC) + later)
    return KeyFile(file, read_policy(POLICY), clock).who(key.strip())


def test_a_key_is_made_shown_once_and_revoked(file: Path) -> None:
    code, key, said = run(file, "new", "crm", "--role", "backend", "--calls", "7")
    assert (code, key.startswith("merhaba_")) == (0, True)
    assert "crm, backend" in said
    assert whose(file, key) == Caller("crm", "backend", 7)
    assert whose(file, key, timedelta(days=91)) is None
    _, listed, _ = run(file, "list")
    assert "crm" in listed
    assert key.strip() not in listed
    assert run(file, "revoke", "crm")[1] == "1 revoked\n"
    assert whose(file, key) is None


def test_while_a_key_is_rotated_two_are_good(file: Path) -> None:
    _, old, _ = run(file, "new", "crm", "--role", "backend")
    _, new, _ = run(file, "rotate", "crm", "--grace", "2")
    assert whose(file, old) == whose(file, new) == Caller("crm", "backend")
    assert whose(file, old, timedelta(hours=2)) is None
    assert whose(file, new, timedelta(hours=2))
    (first, _) = read_keys(file, read_policy(POLICY))
    assert run(file, "revoke", first.key_id)[1] == "1 revoked\n"
    assert whose(file, new)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "crm", "--role", "internal"), "crm has the role internal; there are operator"),
        (("new", "sender", "--role", "backend"), "sender is a service; choose another name"),
        (("rotate", "crm"), "crm has no key; `merhaba keys new crm` makes one"),
        (("revoke", "crm"), "crm has no key; `merhaba keys list` shows them"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    file: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, output, errors = run(file, *arguments)
    assert (code, output) == (2, "")
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not file.exists()
