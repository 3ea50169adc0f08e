"""What campaigns spend, by the sender."""

from typing import Final

import grpc

from merhaba.sender.v1 import (
    Campaign,
    CampaignProgress,
    CampaignServiceStub,
    GetCampaignRequest,
    ListCampaignsRequest,
)
from services.reports.alerts.looking import Spending
from services.reports.failures import ServiceUnavailable

_COSTING: Final = ("sent", "delivered", "read", "played")
_WAITING: Final = ("planned", "held", "attempting")
_MOST: Final = 200
"""Campaigns with a budget that run at once, of which each is asked for."""


class SenderBudgets:
    """Asks the sender."""

    def __init__(self, sender: grpc.aio.Channel) -> None:
        self._campaigns: CampaignServiceStub = CampaignServiceStub(sender)

    async def spending(self) -> list[Spending]:
        """Of campaigns that run and have a budget, latest first. Raises `ServiceUnavailable`."""
        budgeted: list[Campaign] = []
        request = ListCampaignsRequest(states=[Campaign.STATE_RUNNING], page_size=1_000)
        try:
            while len(budgeted) < _MOST:
                page = await self._campaigns.ListCampaigns(request)
                budgeted += [one for one in page.campaigns if one.budget.amount_micros > 0]
                request.page_token = page.next_page_token
                if not request.page_token:
                    break
            return [
                _spending(one, progress)
                for one in budgeted[:_MOST]
                if (progress := await self._progress(one.campaign_id)) is not None
            ]
        except grpc.aio.AioRpcError as error:
            raise ServiceUnavailable("sender") from error

    async def _progress(self, campaign_id: str) -> CampaignProgress | None:
        try:
            found = await self._campaigns.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:  # deleted since it was listed
                return None
            raise
        return found.progress


def _spending(one: Campaign, progress: CampaignProgress) -> Spending:
    states = progress.states
    return Spending(
        one.campaign_id,
        one.name,
        one.budget.currency_code,
        one.budget.amount_micros,
        progress.cost_micros,
        sum(states.get(name, 0) for name in _COSTING),
        sum(states.get(name, 0) for name in _WAITING),
    )
