"""API keys: hashed in one file, good until they end, two at once while one is rotated."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.callers import Caller, digest
from chassis.clock import ManualClock
from chassis.failures import Misconfigured
from chassis.keys import Key, KeyFile, key_of, read_keys, write_keys
from chassis.policy import Policy

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
POLICY = Policy({"sender": {}}, {"support": "", "backend": ""}, {})
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def key(secret: str, name: str = "desk", role: str = "support", days: int = 90) -> Key:
    return Key(name, role, digest(secret), NOW, NOW + days * DAY)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_known_by_its_hash_alone(file: Path, manual_clock: ManualClock) -> None:
    secret = key_of(b"\x07" * 32)
    write_keys(file, [key(secret)])
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    known = KeyFile(file, POLICY, manual_clock)
    assert known.who(secret) == Caller("desk", "support")
    assert known.who(digest(secret)) is None
    assert known.who("") is None


async def test_a_key_ends(file: Path, manual_clock: ManualClock) -> None:
    write_keys(file, [key("one", days=1)])
    known = KeyFile(file, POLICY, manual_clock)
    await manual_clock.advance(DAY - SECOND)
    assert known.who("one")
    await manual_clock.advance(SECOND)
    assert known.who("one") is None


async def test_keys_are_given_and_taken_without_a_restart(
    file: Path, manual_clock: ManualClock
) -> None:
    known = KeyFile(file, POLICY, manual_clock)
    assert known.who("old") is None, "there is no file yet"
    write_keys(file, [key("old")])
    await manual_clock.advance(SECOND)
    assert known.who("old")
    write_keys(file, [key("old"), key("new")])
    await manual_clock.advance(SECOND)
    assert known.who("old") == known.who("new") == Caller("desk", "support")
    write_keys(file, [key("new")])
    await manual_clock.advance(SECOND)
    assert known.who("old") is None
    assert known.who("new")


async def test_a_file_that_cannot_be_read_changes_nothing(
    file: Path, manual_clock: ManualClock
) -> None:
    write_keys(file, [key("one")])
    known = KeyFile(file, POLICY, manual_clock)
    file.write_text("half of a")
    await manual_clock.advance(SECOND)
    assert known.who("one")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([key("s", role="internal")], "desk has the role internal; there are support, backend"),
        ([key("s", role="sender")], "desk has the role sender"),
        ([key("s", name="sender")], "sender is a service"),
        ([key("s", name="internal")], "internal is a service"),
        ([key("s", name="A b")], "a name has small letters"),
        ([key("s"), key("s", name="other")], "other has somebody else's key"),
    ],
)
def test_what_no_key_may_be_is_refused_and_not_shown(
    file: Path, keys: list[Key], said: str
) -> None:
    write_keys(file, keys)
    with pytest.raises(Misconfigured, match=re.escape(said)) as caught:
        read_keys(file, POLICY)
    assert keys[0].sha256 not in str(caught.value)
