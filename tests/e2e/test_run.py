"""`make run` does the main job: real data through every service, told as one JSON object."""

import json
import time
from pathlib import Path

from tests.e2e.command import merhaba


def test_the_story_is_played_twice_and_every_recipient_is_counted_once(
    tmp_path_factory, data_folder: Path
):
    data = data_folder / "run"
    data.mkdir()
    first = merhaba("run", "--once", data=data, timeout=280)
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout.strip().splitlines()[-1])
    campaign = told["campaign"]
    assert told["whole"]
    assert told["duplicates"] == 0
    assert told["contacts_told"] == 998
    assert campaign["recipients"] > 100
    assert campaign["suppressed"]["consent"] > 0, "those who never agreed got nothing"
    assert set(campaign["variants"]) == {"news", "saving"}
    assert sum(v["recipients"] for v in campaign["variants"].values()) == campaign["recipients"]
    assert campaign["read"] > 0
    assert campaign["clicked"] > 0
    assert campaign["replied"] > 0
    assert told["thanks"]["sent"] > 0
    assert told["segments"]["big_spenders"] > 0
    assert told["segments"]["changed_their_mind"] > 0
    assert told["segments"]["just_ordered"] == 0, "all left when their time was up"

    started = time.monotonic()
    again = merhaba("up", "--json", data=data)
    took = time.monotonic() - started
    try:
        assert again.returncode == 0, again.stderr
        assert took < 20, "a second start is quick"
    finally:
        assert merhaba("down", data=data).returncode == 0

    assert merhaba("clean", data=data).returncode == 0
    assert not data.exists()
