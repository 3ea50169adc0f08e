"""`merhaba campaigns` as somebody of marketing runs it, against a running sender."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from chassis.failures import Misconfigured
from cli.campaigns.file import read
from cli.campaigns.views import progress_line, span_told
from merhaba.sender.v1 import Binding, Campaign, CampaignProgress
from services.sender.model import State
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

MERHABA = Path(sys.executable).parent / "merhaba"
SAMPLE = Path(__file__).parents[2] / "samples" / "campaigns" / "summer.yaml"
LIST = """\
name: {name}
audience:
  file: people.csv
  filter: consent("marketing")
variants:
  - name: a
    template_name: {template}
    weight: 1
    bindings:
      - variable: body.1
        expression: row.greeting
        missing: skip
"""


async def run(sender: Any, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    program = await asyncio.create_subprocess_exec(
        *(MERHABA, "campaigns", *arguments),
        env={"SENDER_TARGET": sender.target, "API_TOKEN": TOKEN, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await program.communicate()
    return program.returncode or 0, output.decode(), errors.decode()


def test_the_shipped_campaign_says_what_it_shows() -> None:
    campaign, references = read(SAMPLE)
    assert [(one.kind, one.name) for one in references] == [("segment", "regulars")]
    assert campaign.budget.amount_micros == 500_000_000
    assert campaign.not_after_time.ToJsonString() == "2027-08-31T18:00:00Z"
    first, second = campaign.variants
    assert (first.name, first.weight, second.weight) == ("personal", 2, 1)
    assert first.bindings[0].missing == Binding.MISSING_FALLBACK


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nnothing: y\n", ":2: Campaign has no nothing"),
        ("state: running\n", ":1: state is not for files to say"),
        ("name: x\nnot_after_time: soon\n", ":2: soon: not a moment"),
        ("- a\n", "write the fields of a campaign"),
        ("name: [\n", "not YAML"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_at_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"c\.yaml") as raised:
        read(path)
    assert said in str(raised.value)


def test_progress_is_one_line_with_all_of_it() -> None:
    progress = CampaignProgress(
        state=Campaign.STATE_RUNNING,
        recipients=10,
        recipients_final=True,
        states={"planned": 1, "held": 2, "read": 3, "sent": 2, "failed": 1, "held_out": 1},
        held_gates={"quiet_hours": 2},
        failed_codes={131026: 1},
        replied=1,
        cost_micros=2_500_000,
        currency_code="EUR",
        sends_per_second=4,
    )
    progress.count_time.FromSeconds(100)
    progress.expected_end_time.FromSeconds(7_300)
    assert progress_line(progress) == (
        "state running; people 10; waiting 2 at quiet_hours, 1 due; sent 5; delivered 3; read 3;"
        " replied 1; failed 1 131026; held out 1; cost 2.50 EUR; pace 4.0 a second; time left 2 h"
    )


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (90_000, "1 d 1 h")]
)
def test_spans_are_as_coarse_as_people_say_them(seconds: int, said: str) -> None:
    assert span_told(Duration(seconds=seconds)) == said


async def test_a_campaign_from_its_file_to_its_end(ready: Any, tmp_path: Path) -> None:  # noqa: F811
    name = f"Yaz {ready.waba_id}"
    path = tmp_path / "campaign.yaml"
    text = LIST.format(name=name, template="welcome") + f'waba_id: "{ready.waba_id}"\n'
    path.write_text(text)
    people = [ready.profile.add(f"9055560{n:05}") for n in range(4)]
    rows = [f"9055560{n:05},Selam {n}" for n in range(4)]
    (tmp_path / "people.csv").write_text("\n".join(["wa_id,greeting", *rows, "x,y"]))
    code, output, errors = await run(ready, "create", "-f", str(path))
    assert (code, errors) == (0, "")
    assert output.endswith(f"{name}: drafted, not launched\n")
    code, output, errors = await run(ready, "preflight", name)
    assert (code, "looked at 5 of 5" in errors) == (0, True), errors
    assert next(line.split() for line in output.splitlines() if "reachable" in line)[3] == "4"
    code, output, _ = await run(ready, "test", name, "--to", people[0], "--variant", "b")
    assert (code, output) == (2, "")
    async with ready.sending():
        code, output, errors = await run(ready, "launch", name, "--watch")
    assert (code, errors) == (0, "")
    first, *_, last = output.splitlines()
    assert first == f"{name}: planning"
    assert last.startswith("state completed; people 4; sent 4; delivered 0")
    code, output, _ = await run(ready, "list", "--name", name)
    assert (code, "completed" in output) == (0, True)
    code, output, _ = await run(ready, "show", name)
    assert (code, "variant a" in output) == (0, True)
    code, _, errors = await run(ready, "cancel", name)
    assert (code, errors) == (2, "merhaba: the campaign is completed\n")
    code, _, errors = await run(ready, "pause", "nothing")
    said = "merhaba: campaign: there is no campaign nothing; list them first\n"
    assert (code, errors) == (2, said)


async def test_it_is_paused_resumed_and_called_off_by_name(ready: Any, tmp_path: Path) -> None:  # noqa: F811
    await ready.paced(1.0)
    name = f"Kış {ready.waba_id}"
    path = tmp_path / "campaign.yaml"
    path.write_text(LIST.format(name=name, template="welcome") + f'waba_id: "{ready.waba_id}"\n')
    rows = [f"9055561{n:05},Selam {n}" for n in range(30)]
    for n in range(30):
        ready.profile.add(f"9055561{n:05}")
    (tmp_path / "people.csv").write_text("\n".join(["wa_id,greeting", *rows]))
    await run(ready, "create", "-f", str(path))
    async with ready.sending():
        assert (await run(ready, "launch", name))[0] == 0
        assert (await run(ready, "pause", name, "--reason", "lunch"))[1] == f"{name}: paused\n"
        assert "paused (lunch)" in (await run(ready, "show", name))[1]
        assert (await run(ready, "resume", name))[0] == 0
        assert (await run(ready, "cancel", name))[1] == f"{name}: cancelled\n"
        code, output, _ = await run(ready, "watch", name)
    assert (code, output.splitlines()[-1].startswith("state cancelled")) == (0, True)
    (found,) = (await ready.campaigns.search([], name, (1 << 62, ""), 2))[:1]
    assert set(await ready.states(found.campaign_id)) <= {State.SENT, State.CANCELLED}
