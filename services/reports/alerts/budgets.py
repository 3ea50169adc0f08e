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
        """Of campaigns that run and have a budget, the latest first."""
        try:
            page = await self._campaigns.ListCampaigns(
                ListCampaignsRequest(states=[Campaign.STATE_RUNNING], page_size=1_000)
            )
            budgeted = [one for one in page.campaigns if one.budget.amount_micros > 0]
            return [
                _spending(
                    one,
                    (
                        await self._campaigns.GetCampaign(
                            GetCampaignRequest(campaign_id=one.campaign_id)
                        )
                    ).progress,
                )
                for one in budgeted[:_MOST]
            ]
        except grpc.aio.AioRpcError as error:
            raise ServiceUnavailable("sender") from error


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
