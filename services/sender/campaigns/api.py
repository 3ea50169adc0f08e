"""CampaignService: the contract, and who does what it promises."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from chassis import paging
from chassis.failures import FieldInvalid
from merhaba.sender.v1 import (
    CampaignServiceServicer,
    CancelCampaignRequest,
    CancelCampaignResponse,
    CreateCampaignRequest,
    CreateCampaignResponse,
    GetCampaignRequest,
    GetCampaignResponse,
    LaunchCampaignRequest,
    LaunchCampaignResponse,
    ListCampaignsRequest,
    ListCampaignsResponse,
    ListRecipientsRequest,
    ListRecipientsResponse,
    PauseCampaignRequest,
    PauseCampaignResponse,
    PreflightCampaignRequest,
    PreflightCampaignResponse,
    ResumeCampaignRequest,
    ResumeCampaignResponse,
    SetVariantWeightsRequest,
    SetVariantWeightsResponse,
    TestSendCampaignRequest,
    TestSendCampaignResponse,
    UpdateCampaignRequest,
    UpdateCampaignResponse,
    WatchCampaignRequest,
    WatchCampaignResponse,
)
from services.sender.campaigns.preflight import Preflights
from services.sender.campaigns.steering import Steering
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.trying import Trying
from services.sender.campaigns.watching import Watching
from services.sender.campaigns.wire import campaign_of, campaign_proto, recipient_proto
from services.sender.model import NEVER, Standing
from services.sender.wire import at, message_proto

_LATEST: Final = (NEVER, "")
_REASON: Final = 200

Call = grpc.aio.ServicerContext[Any, Any]


class CampaignApi(CampaignServiceServicer):
    """Campaigns over gRPC."""

    def __init__(
        self,
        campaigns: CampaignStore,
        steering: Steering,
        watching: Watching,
        preflights: Preflights,
        trying: Trying,
    ) -> None:
        self._campaigns = campaigns
        self._steering = steering
        self._watching = watching
        self._preflights = preflights
        self._trying = trying

    async def CreateCampaign(
        self, request: CreateCampaignRequest, context: Call
    ) -> CreateCampaignResponse:
        """Store a draft."""
        return CreateCampaignResponse(campaign=campaign_proto(await self._steering.create(request)))

    async def GetCampaign(self, request: GetCampaignRequest, context: Call) -> GetCampaignResponse:
        """Return a campaign and how far it is."""
        standing = await self._campaigns.get(request.campaign_id)
        return GetCampaignResponse(
            campaign=campaign_proto(standing), progress=await self._watching.progress(standing)
        )

    async def ListCampaigns(
        self, request: ListCampaignsRequest, context: Call
    ) -> ListCampaignsResponse:
        """List campaigns, latest created first."""
        query, n = paging.query(request), paging.size(request.page_size)
        after = paging.place(request.page_token, query, [int, str]) or _LATEST
        found: list[Standing] = []
        more = True
        while more and len(found) < n:
            page = await self._campaigns.search(request.states, request.name_query, after, n)
            more = len(page) == n
            for standing in page:
                after = standing.create_time, standing.campaign_id
                if _uses(standing, request.template_name):
                    found.append(standing)
                if len(found) == n:
                    more = more or standing is not page[-1]
                    break
        return ListCampaignsResponse(
            campaigns=[campaign_proto(standing) for standing in found],
            next_page_token=paging.token(query, after) if more else "",
        )

    async def UpdateCampaign(
        self, request: UpdateCampaignRequest, context: Call
    ) -> UpdateCampaignResponse:
        """Change what the mask names."""
        standing = await self._steering.update(request)
        return UpdateCampaignResponse(campaign=campaign_proto(standing))

    async def SetVariantWeights(
        self, request: SetVariantWeightsRequest, context: Call
    ) -> SetVariantWeightsResponse:
        """Set the weights of variants, also while it runs."""
        standing = await self._steering.weigh(
            request.campaign_id, request.request_id, dict(request.weights)
        )
        return SetVariantWeightsResponse(campaign=campaign_proto(standing))

    async def PreflightCampaign(
        self, request: PreflightCampaignRequest, context: Call
    ) -> AsyncIterator[PreflightCampaignResponse]:
        """Stream what a launch would mean."""
        async for response in self._preflights.run(request):
            yield response

    async def LaunchCampaign(
        self, request: LaunchCampaignRequest, context: Call
    ) -> LaunchCampaignResponse:
        """Launch a draft, now or at a time."""
        return LaunchCampaignResponse(campaign=campaign_proto(await self._steering.launch(request)))

    async def PauseCampaign(
        self, request: PauseCampaignRequest, context: Call
    ) -> PauseCampaignResponse:
        """Stop messages from leaving."""
        standing = await self._steering.pause(request.campaign_id, _reason(request.reason))
        return PauseCampaignResponse(campaign=campaign_proto(standing))

    async def ResumeCampaign(
        self, request: ResumeCampaignRequest, context: Call
    ) -> ResumeCampaignResponse:
        """Let messages leave again."""
        standing = await self._steering.resume(request.campaign_id)
        return ResumeCampaignResponse(campaign=campaign_proto(standing))

    async def CancelCampaign(
        self, request: CancelCampaignRequest, context: Call
    ) -> CancelCampaignResponse:
        """End a campaign for good."""
        standing = await self._steering.cancel(request.campaign_id, _reason(request.reason))
        return CancelCampaignResponse(campaign=campaign_proto(standing))

    async def WatchCampaign(
        self, request: WatchCampaignRequest, context: Call
    ) -> AsyncIterator[WatchCampaignResponse]:
        """Stream progress until the campaign is over and every outcome is known."""
        async for response in self._watching.watch(request.campaign_id, request.cursor):
            yield response

    async def TestSendCampaign(
        self, request: TestSendCampaignRequest, context: Call
    ) -> TestSendCampaignResponse:
        """Send a variant to testers at once."""
        messages = await self._trying.send(request)
        return TestSendCampaignResponse(messages=[message_proto(one) for one in messages])

    async def ListRecipients(
        self, request: ListRecipientsRequest, context: Call
    ) -> ListRecipientsResponse:
        """List the people of a campaign."""
        await self._campaigns.get(request.campaign_id)
        fields = ("gate", "reason", "variant")
        conditions = {f: value for f in fields if (value := getattr(request, f))}
        query, n = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        found = await self._campaigns.recipients(
            *(request.campaign_id, conditions, request.states),
            *(at(request, "start_time"), after, n),
        )
        return ListRecipientsResponse(
            recipients=[recipient_proto(message) for message in found],
            next_page_token=paging.token(query, [found[-1].message_id]) if len(found) == n else "",
        )


def _uses(standing: Standing, template: str) -> bool:
    names = {one.template for one in campaign_of(standing).variants} if template else {template}
    return template in names


def _reason(given: str) -> str:
    if len(given) > _REASON:
        raise FieldInvalid("reason", f"at most {_REASON} characters", limit=str(_REASON))
    return given
