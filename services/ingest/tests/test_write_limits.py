"""How much one write key may send."""

import pytest

from chassis.streams import EventLog
from services.ingest.tests.conftest import opened


async def test_a_source_that_sends_too_fast_is_told_when_to_send_again(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRITE_KEY_LIMIT", "1")
    monkeypatch.setenv("WRITE_KEY_BURST_S", "1000")
    async with opened(environment, log) as front:
        assert (await front.track(990))[0] == 200
        status, code, after = await front.track(100)
        assert (status, code) == (429, "rate_limited")
        assert 60 <= int(after) <= 90
        assert (await front.track(1))[0] == 200
        assert (await front.track(100, "key-of-web"))[0] == 200
        assert len(await front.events("inbound.track")) == 1_091
