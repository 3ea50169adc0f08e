"""What the command line calls: every service, over gRPC only."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

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
                addresses.channel(name, purpose="operations", waits=True)
            )
            for name in addresses.grpc
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
