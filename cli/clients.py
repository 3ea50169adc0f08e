"""What the command line calls: every service, over gRPC only."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from chassis.rpc import channel
from cli.stack import Addresses
from merhaba.ingest.v1 import IngestAdminServiceStub
from merhaba.profile.v1 import PrivacyServiceStub, ProfileServiceStub
from merhaba.reports.v1 import ReportServiceStub
from merhaba.segment.v1 import SegmentServiceStub, TriggerServiceStub
from merhaba.sender.v1 import (
    CampaignServiceStub,
    MessageServiceStub,
    NumberServiceStub,
    PolicyServiceStub,
    RateCardServiceStub,
    TemplateServiceStub,
)

# Reading is safe to repeat, and what changes something carries a request_id.
_REPEATABLE: Final = {
    "ingest": ["merhaba.ingest.v1.IngestAdminService"],
    "profile": ["merhaba.profile.v1.ProfileService"],
    "segment": ["merhaba.segment.v1.SegmentService", "merhaba.segment.v1.TriggerService"],
    "sender": [
        "merhaba.sender.v1.CampaignService",
        "merhaba.sender.v1.NumberService",
        "merhaba.sender.v1.PolicyService",
        "merhaba.sender.v1.RateCardService",
        "merhaba.sender.v1.TemplateService",
    ],
    "reports": ["merhaba.reports.v1.ReportService"],
}


@dataclass(frozen=True, slots=True)
class Clients:
    """One stub a contract service."""

    ingest: IngestAdminServiceStub
    profile: ProfileServiceStub
    privacy: PrivacyServiceStub
    segments: SegmentServiceStub
    triggers: TriggerServiceStub
    messages: MessageServiceStub
    campaigns: CampaignServiceStub
    templates: TemplateServiceStub
    numbers: NumberServiceStub
    policy: PolicyServiceStub
    rate_cards: RateCardServiceStub
    reports: ReportServiceStub


@asynccontextmanager
async def clients(addresses: Addresses) -> AsyncIterator[Clients]:
    """Stubs of a running stack, for as long as the block runs."""
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(
                channel(target, addresses.api_token, _REPEATABLE[name], purpose="operations")
            )
            for name, target in addresses.grpc.items()
        }
        yield Clients(
            IngestAdminServiceStub(opened["ingest"]),
            ProfileServiceStub(opened["profile"]),
            PrivacyServiceStub(opened["profile"]),
            SegmentServiceStub(opened["segment"]),
            TriggerServiceStub(opened["segment"]),
            MessageServiceStub(opened["sender"]),
            CampaignServiceStub(opened["sender"]),
            TemplateServiceStub(opened["sender"]),
            NumberServiceStub(opened["sender"]),
            PolicyServiceStub(opened["sender"]),
            RateCardServiceStub(opened["sender"]),
            ReportServiceStub(opened["reports"]),
        )
