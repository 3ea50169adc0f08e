"""`merhaba campaigns` as somebody of marketing runs it, against a running sender."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from chassis.failures import Misconfigured
from chassis.rpc import channel, server
from cli.apply import files
from cli.apply.plan import ordered
from cli.campaigns.file import read
from cli.campaigns.following import followed
from cli.campaigns.views import progress_line, span_told
from cli.tests.running import Ended, ran
from merhaba.sender.v1 import (
    Binding,
    Campaign,
    CampaignProgress,
    CampaignServiceServicer,
    CampaignServiceStub,
    ListCampaignsRequest,
    WatchCampaignRequest,
    WatchCampaignResponse,
    add_CampaignServiceServicer_to_server,
)
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


async def run(sender: Any, *arguments: str) -> Ended:
    return await command(sender, "campaigns", *arguments)


async def command(sender: Any, *arguments: str) -> Ended:
    """Exit code, output and errors of a command."""
    return await ran(*arguments, SENDER_TARGET=sender.target, API_TOKEN=TOKEN)


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
    assert (code, errors) == (2, "merhaba: the campaign is completed; make another one\n")
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


class Restarting(CampaignServiceServicer):
    """A sender that goes away after its first word."""

    def __init__(self) -> None:
        self.cursors: list[str] = []

    async def WatchCampaign(  # noqa: N802 - the contract's name
        self, request: WatchCampaignRequest, context: Any
    ) -> AsyncIterator[WatchCampaignResponse]:
        self.cursors.append(request.cursor)
        yield WatchCampaignResponse(cursor=f"c{len(self.cursors)}")
        if len(self.cursors) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")


async def test_a_watch_goes_on_where_it_was_when_the_sender_restarts() -> None:
    restarting, own = Restarting(), server("sender", TOKEN)  # type: ignore[abstract]
    add_CampaignServiceServicer_to_server(restarting, own)
    port = own.add_insecure_port("127.0.0.1:0")
    await own.start()
    try:
        async with channel(f"127.0.0.1:{port}", TOKEN) as opened:
            watch = CampaignServiceStub(opened).WatchCampaign
            seen = [one.cursor async for one in followed(WatchCampaignRequest(), watch)]
    finally:
        await own.stop(None)
    assert (seen, restarting.cursors) == (["c1", "c2"], ["", "c1"])


# --- as a declaration -------------------------------------------------------------------------

DECLARED = """\
kind: campaign
name: {name}
waba_id: "{waba_id}"
audience:
  file: people.csv
hold_out_share: 0.1
variants:
  - name: a
    template_name: welcome
    weight: 1
    bindings:
      - variable: body.1
        expression: row.greeting
        missing: skip
"""


async def apply(sender: Any, path: Path, *arguments: str) -> Ended:
    return await command(sender, "apply", "-f", str(path), *arguments)


async def test_a_declared_campaign_is_drafted_once_and_changed_as_far_as_it_may_be(
    ready: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    name = f"Yaz {ready.waba_id}"
    path, people = tmp_path / "campaign.yaml", tmp_path / "people.csv"
    text = DECLARED.format(name=name, waba_id=ready.waba_id)
    path.write_text(text)
    people.write_text("wa_id,greeting\n905556100001,Selam\n")
    code, output, errors = await apply(ready, path, "--plan")
    assert (code, errors, output.splitlines()[0]) == (0, "", f"+ campaign {name}")
    assert "1 to make; 0 unchanged" in output
    assert (await apply(ready, path, "--yes"))[0] == 0
    assert await apply(ready, path, "--yes") == (0, "nothing to do; 1 unchanged\n", "")
    people.write_text("wa_id,greeting\n905556100001,Selam\n905556100002,Selam\n")
    path.write_text(text.replace("0.1", "0.2"))
    code, output, errors = await apply(ready, path, "--yes")
    assert (code, errors) == (0, "")
    assert "    hold_out_share: 0.1 → 0.2" in output.splitlines()
    assert "→ people.csv" in output
    assert await apply(ready, path, "--yes") == (0, "nothing to do; 1 unchanged\n", "")
    (found,) = (await ready.campaign.ListCampaigns(ListCampaignsRequest(name_query=name))).campaigns
    assert (found.state, found.hold_out_share) == (Campaign.STATE_DRAFT, 0.2)

    assert (await run(ready, "launch", name))[0] == 0
    end = "not_after_time: 2099-01-01T00:00:00Z\n"
    path.write_text(text.replace("0.1", "0.2") + end)
    assert (await apply(ready, path, "--yes"))[0] == 0
    people.write_text("wa_id,greeting\n905556100003,Selam\n")
    code, output, errors = await apply(ready, path, "--yes")
    assert (code, "audience is frozen since the launch" in errors) == (2, True)
    assert f"{path}:5: campaign {name}" in errors

    assert (await run(ready, "cancel", name))[0] == 0
    people.write_text("wa_id,greeting\n905556100001,Selam\n905556100002,Selam\n")
    assert await apply(ready, path, "--yes") == (0, "nothing to do; 1 unchanged\n", "")
    path.write_text(text)
    code, output, errors = await apply(ready, path, "--yes")
    assert (code, "it is cancelled; choose another name" in errors) == (2, True)


async def test_what_cannot_be_meant_is_told_at_its_line_before_anything_is_made(
    ready: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    name = f"Kış {ready.waba_id}"
    path = tmp_path / "campaign.yaml"
    (tmp_path / "people.csv").write_text("wa_id,greeting\n")
    text = DECLARED.format(name=name, waba_id=ready.waba_id)
    path.write_text(text.replace("row.greeting", "row..greeting"))
    code, _, errors = await apply(ready, path, "--yes")
    assert (code, f"{path}:13: campaign {name}" in errors) == (2, True), errors
    path.write_text(text)
    for _ in range(2):
        await run(ready, "create", "-f", str(path))
    code, _, errors = await apply(ready, path, "--yes")
    assert (code, "2 of that name are not over" in errors) == (2, True)


def test_a_campaign_is_made_after_its_templates_and_before_what_triggers_it(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(
        """\
kind: trigger
name: thanks
date: { attribute_name: birthday }
action: { send: Birthday }
---
kind: campaign
name: Birthday
audience: { triggered: { trigger_ids: [] } }
variants: [{ name: a, template_name: birthday, weight: 1 }]
---
kind: template
name: birthday
language: tr
category: MARKETING
"""
    )
    declared, mistakes = files.read([path])
    assert mistakes == []
    assert [one.kind.name for one in ordered(declared)] == ["template", "campaign", "trigger"]
    campaign, trigger = (ordered(declared)[at] for at in (1, 2))
    assert campaign.names("template") == {"birthday"}
    assert trigger.names("campaign") == {"Birthday"}
