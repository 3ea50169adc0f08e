"""The declarations that are shipped, applied to a whole suite."""

from pathlib import Path

import aiohttp
import pytest

from chassis.ids import fresh_id
from cli.clients import Clients
from cli.play import definitions
from cli.stack import Addresses
from merhaba.segment.v1 import ListTriggersRequest
from merhaba.sender.v1 import Audience, Campaign, CreateCampaignRequest, TriggeredAudience
from tests.e2e.command import merhaba

ROOT = Path(__file__).resolve().parents[2]
DECLARATIONS = ROOT / "samples" / "declarations"
CAMPAIGNS = ("Abandoned cart", "Birthday", "Back in stock", "Welcome", "Welcome offer")


@pytest.fixture
async def campaigns(
    services: Clients, addresses: Addresses, session: aiohttp.ClientSession
) -> dict[str, str]:
    """Ids of the campaigns that the declarations name."""
    await definitions.number(services, addresses, session)
    await definitions.templates(services, addresses)
    found: dict[str, str] = {}
    for name in CAMPAIGNS:
        campaign = Campaign(
            name=name,
            waba_id=definitions.WABA,
            phone_number_ids=[definitions.NUMBER],
            audience=Audience(triggered=TriggeredAudience()),
            variants=[definitions.thanks("only")],
        )
        made = await services.campaigns.CreateCampaign(
            CreateCampaignRequest(request_id=fresh_id("r"), campaign=campaign)
        )
        found[name] = made.campaign.campaign_id
    return found


async def test_the_shipped_declarations_are_applied_and_pruned(
    services: Clients, campaigns: dict[str, str], data_folder: Path, tmp_path: Path
) -> None:
    asked = ("apply", "-f", str(DECLARATIONS), "--yes", "--as", "samples", "--prune")
    made = merhaba(*asked, data=data_folder)
    assert made.returncode == 0, made.stderr + made.stdout
    assert "made journey welcome\n" in made.stdout
    assert made.stdout.index("made place kadikoy-store") < made.stdout.index("made segment around")
    triggers = await services.triggers.ListTriggers(ListTriggersRequest(names=["birthday"]))
    assert triggers.triggers[0].action.send.campaign_id == campaigns["Birthday"]
    again = merhaba(*asked, data=data_folder)
    assert (again.stdout, again.stderr) == ("nothing to do; 13 unchanged\n", "")
    gone = merhaba(
        "apply", "-f", str(tmp_path), "--as", "samples", "--prune", "--yes", data=data_folder
    )
    assert gone.returncode == 0, gone.stderr
    ended = [line for line in gone.stdout.splitlines() if line.startswith("archived ")]
    assert len(ended) == 10
    kinds = [line.split()[1] for line in ended]
    assert kinds == sorted(kinds, key=["trigger", "journey", "segment", "place"].index)
    assert ended.index("archived segment regulars") < ended.index("archived segment reachable")
    assert (
        "nothing to do"
        in merhaba(
            "apply", "-f", str(tmp_path), "--as", "samples", "--prune", "--plan", data=data_folder
        ).stdout
    )
