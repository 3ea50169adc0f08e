"""What experiments have the sender do."""

from collections.abc import Mapping
from typing import Final

import grpc

from merhaba.sender.v1 import (
    CampaignServiceStub,
    GetCampaignRequest,
    SetVariantWeightsRequest,
)
from services.reports.failures import ServiceUnavailable
from services.reports.model import CampaignNotFound

_KEPT: Final = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
)


class Steering:
    """The sender's campaigns, as far as experiments need them."""

    def __init__(self, sender: grpc.aio.Channel) -> None:
        self._campaigns: CampaignServiceStub = CampaignServiceStub(sender)

    async def variants(self, campaign_id: str) -> dict[str, float]:
        """The weights of a campaign's variants, in its order. Raises `CampaignNotFound`."""
        try:
            answer = await self._campaigns.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise CampaignNotFound(
                    "the sender has no such campaign; look at the id", campaign_id=campaign_id
                ) from error
            raise ServiceUnavailable("sender") from error
        return {one.name: one.weight for one in answer.campaign.variants}

    async def weigh(self, campaign_id: str, request_id: str, weights: Mapping[str, float]) -> bool:
        """Set weights, once for each request. False: the campaign keeps its own, because it is over
        or nobody would be left to be sent."""
        request = SetVariantWeightsRequest(
            request_id=request_id, campaign_id=campaign_id, weights=weights
        )
        try:
            await self._campaigns.SetVariantWeights(request)
        except grpc.aio.AioRpcError as error:
            if error.code() in _KEPT:
                return False
            raise ServiceUnavailable("sender") from error
        return True
