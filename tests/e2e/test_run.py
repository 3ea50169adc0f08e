"""`make run` does the main job: real data through every service, told as one JSON object."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from chassis.failures import Misconfigured
from cli.stack import SERVICES
from tests.e2e.command import MERHABA, merhaba


def left_behind(data: Path) -> list[list[str]]:
    """Command lines of processes that still work on a data folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if environment.get("MERHABA_DATA") == str(data) and process.pid != os.getpid():
            found.append(process.info["cmdline"])
    return found


@pytest.mark.timeout(600)
def test_the_story_is_played_and_every_recipient_is_counted_once(data_folder: Path):
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
    assert left_behind(data) == []

    started = time.monotonic()
    again = subprocess.Popen(
        [MERHABA, "run"],
        env={**os.environ, "MERHABA_DATA": str(data)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert again.stderr is not None
    for line in again.stderr:
        if "everything is up" in line:
            break
    assert time.monotonic() - started < 60, "a second start is quick"
    assert (data / "runs").read_text() in {"1", "2"}, "what was there is there"
    stopped = time.monotonic()
    again.send_signal(signal.SIGINT)
    again.stderr.read()
    again.stderr.close()
    assert again.wait(10) == 0
    assert time.monotonic() - stopped < 10
    assert left_behind(data) == []

    assert merhaba("clean", data=data).returncode == 0
    assert not data.exists()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_without_its_settings_ends_with_their_names(service: str):
    done = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        env={"PATH": os.environ["PATH"], "API_TOKEN": "not to be shown"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{Misconfigured.__name__}: ")
    assert "DATABASE_URL: not set" in done.stderr
    assert "REDIS_URL: not set" in done.stderr
    assert "not to be shown" not in done.stderr
    assert "Traceback" not in done.stderr
