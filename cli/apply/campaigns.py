"""Campaigns as files declare them: drafted, and changed as far as they may be. Launching stays a
command of its own."""

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import Invalid, Misconfigured
from cli.apply.files import Declared
from cli.apply.kinds import CAMPAIGN
from cli.apply.plan import differences
from cli.calling import pages
from cli.campaigns.file import account, upload
from cli.campaigns.views import state_told
from merhaba.sender.v1 import (
    Campaign,
    CampaignServiceStub,
    CreateCampaignRequest,
    FileServiceStub,
    GetFileRequest,
    ListCampaignsRequest,
    NumberServiceStub,
    UpdateCampaignRequest,
)

_PAGE: Final = 500
_OVER: Final = (Campaign.STATE_COMPLETED, Campaign.STATE_CANCELLED, Campaign.STATE_STOPPED)


class Campaigns:
    """Campaigns by name: of several the one that is not over, else the latest."""

    def __init__(
        self, campaigns: CampaignServiceStub, numbers: NumberServiceStub, files: FileServiceStub
    ) -> None:
        self._campaigns = campaigns
        self._numbers = numbers
        self._files = files
        self._open: dict[str, list[str]] = {}

    async def all(self) -> dict[str, Any]:
        """Every name with its campaign."""
        request = ListCampaignsRequest(page_size=_PAGE)
        found: dict[str, Any] = {}
        async for page in pages(self._campaigns.ListCampaigns, request):
            for one in page.campaigns:  # the latest first
                if one.state not in _OVER:
                    self._open.setdefault(one.name, []).append(one.campaign_id)
                stands = found.setdefault(one.name, one)
                if stands.state in _OVER and one.state not in _OVER:
                    found[one.name] = one
        return found

    async def ids(self, name: str) -> list[str]:
        """Of the campaigns of that name that are not over."""
        if not self._open:
            await self.all()
        return self._open.get(name, [])

    async def check(self, declared: Declared, standing: Any) -> Any:
        """What it would be, made or changed; raises Invalid for what can no longer be."""
        if len(ids := self._open.get(declared.name, [])) > 1:
            said = f"{len(ids)} of that name are not over: rename or cancel all but one of {ids}"
            raise Invalid(said, field="campaign.name")
        after = await self._settled(declared, standing)
        probe = Campaign.FromString(after.SerializeToString())
        if _is_to_come(declared, after):
            probe.audience.triggered.SetInParent()  # the file is brought when it is done
        if standing is None:
            request = CreateCampaignRequest(campaign=probe, validate_only=True)
            await self._campaigns.CreateCampaign(request)
        elif differences(CAMPAIGN, standing, after):
            if standing.state in _OVER:
                said = f"it is {state_told(standing.state)}; choose another name"
                raise Invalid(said, field="campaign.name")
            await self._update(probe, standing, CAMPAIGN.fields, validate_only=True)
        return after

    async def make(self, declared: Declared) -> Any:
        """Draft it."""
        new = await self._brought(await self._settled(declared, None), declared)
        request = CreateCampaignRequest(request_id=str(uuid4()), campaign=new)
        made = (await self._campaigns.CreateCampaign(request)).campaign
        self._open.setdefault(made.name, []).append(made.campaign_id)
        return made

    async def change(self, declared: Declared, standing: Any, fields: Sequence[str]) -> None:
        """Change these fields, if nobody changed it since it was read."""
        new = await self._brought(await self._settled(declared, standing), declared)
        await self._update(new, standing, fields)

    async def archive(self, standing: Any) -> None:
        """Never: what was sent stays told."""
        raise NotImplementedError

    async def _update(
        self, new: Campaign, standing: Campaign, fields: Sequence[str], validate_only: bool = False
    ) -> None:
        new.campaign_id, new.etag = standing.campaign_id, standing.etag
        await self._campaigns.UpdateCampaign(
            UpdateCampaignRequest(
                campaign=new, update_mask=FieldMask(paths=fields), validate_only=validate_only
            )
        )

    async def _settled(self, declared: Declared, standing: Campaign | None) -> Campaign:
        """As it will be shown: with the account, and the file that stands where it is the same."""
        found = Campaign.FromString(declared.message.SerializeToString())
        try:
            await account(found, self._numbers)
        except Misconfigured as error:
            raise Invalid(str(error), field="campaign.waba_id") from None
        if standing is not None and _is_to_come(declared, found):
            stands = standing.audience.file.file_id
            if stands and await self._is_same(standing, _beside(declared, found)):
                found.audience.file.file_id = stands
        return found

    async def _is_same(self, standing: Campaign, path: Path) -> bool:
        """Whether the file of an audience has the bytes of one here. One that is gone after the
        launch had: its audience is as it was."""
        request = GetFileRequest(file_id=standing.audience.file.file_id)
        try:
            known = (await self._files.GetFile(request)).file.sha256
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return standing.state != Campaign.STATE_DRAFT
        with path.open("rb") as opened:
            return file_digest(opened, "sha256").hexdigest() == known

    async def _brought(self, new: Campaign, declared: Declared) -> Campaign:
        await upload(new, declared.file, self._files)
        return new


def _beside(declared: Declared, campaign: Campaign) -> Path:
    return declared.file.parent / campaign.audience.file.file_id


def _is_to_come(declared: Declared, campaign: Campaign) -> bool:
    """Whether the audience is a file beside the declaration."""
    return bool(campaign.audience.file.file_id) and _beside(declared, campaign).is_file()
