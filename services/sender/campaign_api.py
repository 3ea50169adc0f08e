"""CampaignService: drafting, launching, steering and watching campaigns."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

import grpc

from chassis import paging
from chassis.clock import Clock, milliseconds_of
from chassis.failures import EtagMismatch, FieldInvalid, RequestIdReused, Unimplemented
from chassis.ids import derived_id
from merhaba.sender.v1 import Campaign as CampaignProto
from merhaba.sender.v1 import (
    CampaignProgress,
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
    ResumeCampaignRequest,
    ResumeCampaignResponse,
    WatchCampaignRequest,
    WatchCampaignResponse,
)
from services.sender import template as templates
from services.sender.failures import (
    CampaignState,
    NumberUnusable,
    ParametersInvalid,
    TemplateNotFound,
    TemplateState,
)
from services.sender.model import (
    NEVER,
    Campaign,
    CampaignPhase,
    Counts,
    Message,
    Number,
    Standing,
    State,
    Template,
)
from services.sender.personal import compile_binding
from services.sender.wire import (
    at,
    campaign_of,
    campaign_proto,
    progress_proto,
    recipient_proto,
)

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LATEST: Final = (NEVER, "")
_OVER: Final = frozenset({CampaignPhase.COMPLETED, CampaignPhase.CANCELLED, CampaignPhase.STOPPED})
_OPEN_STATES: Final = frozenset(
    state.name.lower() for state in (State.PLANNED, State.HELD, State.ATTEMPTING, State.UNKNOWN)
)
_LOOK_EVERY: Final = timedelta(milliseconds=500)
_HEARTBEAT: Final = 10  # looks without change
_SENDABLE: Final = frozenset({"APPROVED", "PAUSED"})


class Campaigns(Protocol):
    """Campaigns, as the API needs them."""

    async def create(self, standing: Standing) -> Standing: ...
    async def get(self, campaign_id: str) -> Standing: ...
    async def search(
        self, states: Sequence[int], name: str, after: tuple[int, str], n: int
    ) -> list[Standing]: ...
    async def change(
        self, campaign_id: str, change: Callable[[Standing], bool], now: int
    ) -> Standing: ...
    async def counts(self, campaign_id: str) -> list[Counts]: ...
    async def recipients(
        self,
        campaign_id: str,
        conditions: Mapping[str, str],
        states: Sequence[int],
        after: str,
        n: int,
    ) -> list[Message]: ...
    async def materials(
        self, campaign: Campaign
    ) -> tuple[Sequence[Template], Sequence[Number]]: ...


class CampaignApi(CampaignServiceServicer):
    """What is not here yet answers UNIMPLEMENTED."""

    def __init__(self, campaigns: Campaigns, moved: Callable[[], None], clock: Clock) -> None:
        """`moved` tells planning that a campaign changed."""
        self._campaigns = campaigns
        self._moved = moved
        self._clock = clock

    async def CreateCampaign(
        self, request: CreateCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> CreateCampaignResponse:
        """Store a draft."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        draft = request.campaign
        check(draft)
        campaign = campaign_of(draft)
        known, _ = await self._campaigns.materials(campaign)
        _check_templates(campaign, known)
        now = self._now()
        standing = Standing(
            campaign_id=derived_id("cmp", request.request_id),
            name=draft.name,
            state=CampaignPhase.DRAFT,
            state_reason="",
            version=1,
            definition=draft.SerializeToString(deterministic=True),
            planned=False,
            plan_cursor="",
            recipients=0,
            unresolved=0,
            create_time=now,
            update_time=now,
            start_time=0,
            launch_time=0,
            end_time=0,
        )
        stored = await self._campaigns.create(standing)
        if stored.definition != standing.definition:
            raise RequestIdReused(request.request_id)
        return CreateCampaignResponse(campaign=campaign_proto(stored))

    async def GetCampaign(
        self, request: GetCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetCampaignResponse:
        """Return a campaign and how far it is."""
        standing = await self._campaigns.get(request.campaign_id)
        return GetCampaignResponse(
            campaign=campaign_proto(standing), progress=await self._progress(standing)
        )

    async def ListCampaigns(
        self, request: ListCampaignsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListCampaignsResponse:
        """List campaigns, latest created first."""
        if request.template_name:
            raise Unimplemented("lists are not limited by template yet")
        query, n = paging.query(request), paging.size(request.page_size)
        after = paging.place(request.page_token, query, [int, str]) or _LATEST
        found = await self._campaigns.search(request.states, request.name_query, after, n)
        last = (found[-1].create_time, found[-1].campaign_id) if len(found) == n else None
        return ListCampaignsResponse(
            campaigns=[campaign_proto(standing) for standing in found],
            next_page_token=paging.token(query, last) if last else "",
        )

    async def LaunchCampaign(
        self, request: LaunchCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> LaunchCampaignResponse:
        """Launch a draft, now or at a time."""
        if request.schedule.HasField("best_time_duration"):
            raise Unimplemented("campaigns cannot be sent at each contact's best time yet")
        standing = await self._campaigns.get(request.campaign_id)
        campaign = campaign_of(CampaignProto.FromString(standing.definition))
        if standing.state == CampaignPhase.DRAFT:
            await self._check_launch(campaign)
        now, start = self._now(), at(request.schedule, "start_time")

        def launch(standing: Standing) -> bool:
            if request.etag and request.etag != str(standing.version):
                raise EtagMismatch(str(standing.version))
            if standing.state in {CampaignPhase.CANCELLED, CampaignPhase.STOPPED}:
                raise _state(standing)
            if standing.state != CampaignPhase.DRAFT:
                return False
            standing.start_time = start
            if start > now:
                standing.state = CampaignPhase.SCHEDULED
                return True
            standing.launch_time = now
            triggered = campaign.triggered
            standing.state = CampaignPhase.RUNNING if triggered else CampaignPhase.PLANNING
            return True

        return LaunchCampaignResponse(campaign=await self._change(request.campaign_id, launch))

    async def _check_launch(self, campaign: Campaign) -> None:
        known, numbers = await self._campaigns.materials(campaign)
        if not numbers:
            raise NumberUnusable(
                "register a business number of the campaign's account first",
                waba_id=campaign.waba_id,
                problem="none",
            )
        _check_templates(campaign, known)
        for variant in campaign.variants:
            mine = [t for t in known if t.name == variant.template]
            if not any(t.state in _SENDABLE for t in mine):
                raise TemplateState(
                    f"{variant.template} is approved in no language",
                    template_id=mine[0].template_id,
                    state=mine[0].state,
                )

    async def PauseCampaign(
        self, request: PauseCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> PauseCampaignResponse:
        """Stop messages from leaving."""

        def pause(standing: Standing) -> bool:
            if standing.state == CampaignPhase.PAUSED:
                return False
            if standing.state not in {CampaignPhase.PLANNING, CampaignPhase.RUNNING}:
                raise _state(standing)
            standing.state, standing.state_reason = CampaignPhase.PAUSED, request.reason
            return True

        return PauseCampaignResponse(campaign=await self._change(request.campaign_id, pause))

    async def ResumeCampaign(
        self, request: ResumeCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ResumeCampaignResponse:
        """Let messages leave again."""

        def resume(standing: Standing) -> bool:
            if standing.state in {CampaignPhase.PLANNING, CampaignPhase.RUNNING}:
                return False
            if standing.state != CampaignPhase.PAUSED:
                raise _state(standing)
            stored = CampaignProto.FromString(standing.definition)
            done = standing.planned or stored.audience.HasField("triggered")
            standing.state = CampaignPhase.RUNNING if done else CampaignPhase.PLANNING
            standing.state_reason = ""
            return True

        return ResumeCampaignResponse(campaign=await self._change(request.campaign_id, resume))

    async def CancelCampaign(
        self, request: CancelCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> CancelCampaignResponse:
        """End a campaign for good."""
        now = self._now()

        def cancel(standing: Standing) -> bool:
            if standing.state == CampaignPhase.CANCELLED:
                return False
            if standing.state in _OVER:
                raise _state(standing)
            standing.state, standing.state_reason = CampaignPhase.CANCELLED, request.reason
            standing.end_time = now
            return True

        return CancelCampaignResponse(campaign=await self._change(request.campaign_id, cancel))

    async def _change(self, campaign_id: str, change: Callable[[Standing], bool]) -> CampaignProto:
        standing = await self._campaigns.change(campaign_id, change, self._now())
        self._moved()
        return campaign_proto(standing)

    async def WatchCampaign(
        self, request: WatchCampaignRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[WatchCampaignResponse]:
        """Stream progress until the campaign is over and every outcome is known."""
        cursor, quiet = request.cursor, 0
        while True:
            standing = await self._campaigns.get(request.campaign_id)
            progress = await self._progress(standing)
            now = _cursor(progress)
            if now != cursor:
                cursor, quiet = now, 0
                yield WatchCampaignResponse(cursor=cursor, progress=progress)
            elif quiet >= _HEARTBEAT:
                quiet = 0
                yield WatchCampaignResponse(cursor=cursor)
            if standing.state in _OVER and not any(progress.states[s] for s in _OPEN_STATES):
                return
            quiet += 1
            await self._clock.sleep(_LOOK_EVERY)

    async def _progress(self, standing: Standing) -> CampaignProgress:
        rows = await self._campaigns.counts(standing.campaign_id)
        return progress_proto(
            campaign_proto(standing), standing.recipients, standing.planned, rows, self._now()
        )

    async def ListRecipients(
        self, request: ListRecipientsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListRecipientsResponse:
        """List the people of a campaign."""
        if request.HasField("start_time"):
            raise Unimplemented("lists are not limited by time yet")
        await self._campaigns.get(request.campaign_id)
        fields = ("gate", "reason", "variant")
        conditions = {f: value for f in fields if (value := getattr(request, f))}
        query, n = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        found = await self._campaigns.recipients(
            request.campaign_id, conditions, request.states, after, n
        )
        return ListRecipientsResponse(
            recipients=[recipient_proto(message) for message in found],
            next_page_token=paging.token(query, [found[-1].message_id]) if len(found) == n else "",
        )

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())


def _cursor(progress: CampaignProgress) -> str:
    counted = CampaignProgress()
    counted.CopyFrom(progress)
    counted.ClearField("count_time")
    return derived_id("cur", counted.SerializeToString(deterministic=True).hex())


def _state(standing: Standing) -> CampaignState:
    state = CampaignPhase(standing.state).name
    return CampaignState(
        f"the campaign is {state.lower()}", campaign_id=standing.campaign_id, state=state
    )


def check(draft: CampaignProto) -> None:
    """What can be told of a draft by itself. Raises FieldInvalid, ExpressionInvalid."""
    for field in ("name", "waba_id"):
        if not getattr(draft, field):
            raise FieldInvalid(f"campaign.{field}", "missing; give one")
    source = draft.audience.WhichOneof("source")
    if source is None:
        raise FieldInvalid("campaign.audience", "missing; say whom it is for")
    if source == "file" or draft.audience.filter:
        raise Unimplemented("audiences from files and filters do not exist yet")
    if draft.HasField("budget"):
        if draft.budget.amount_micros <= 0:
            raise FieldInvalid("campaign.budget.amount_micros", "not above 0")
        if not _CURRENCY.fullmatch(draft.budget.currency_code):
            raise FieldInvalid("campaign.budget.currency_code", "not ISO 4217, such as EUR")
    if any(person.WhichOneof("destination") == "group_id"
           for person in draft.audience.contacts.contacts):  # fmt: skip
        raise FieldInvalid("campaign.audience.contacts", "groups get no campaigns")
    if not 0 <= draft.hold_out_share < 1:
        raise FieldInvalid("campaign.hold_out_share", "0 to below 1")
    if len({v.name for v in draft.variants if v.name}) < max(len(draft.variants), 1):
        raise FieldInvalid("campaign.variants", "at least one, each with a name of its own")
    if any(v.weight < 0 for v in draft.variants) or not any(v.weight for v in draft.variants):
        raise FieldInvalid("campaign.variants.weight", "0 or more, one above 0")
    for i, variant in enumerate(draft.variants):
        for j, binding in enumerate(variant.bindings):
            _check_binding(binding, f"campaign.variants[{i}].bindings[{j}]")
    for variant, checked in zip(draft.variants, campaign_of(draft).variants, strict=True):
        for j, one in enumerate(checked.bindings):
            field = f"campaign.variants[{variant.name}].bindings[{j}].expression"
            expression = compile_binding(one, field).expression
            if expression.events or expression.segments:
                raise Unimplemented(f"{field}: values come from attributes and traits only, yet")


def _check_binding(binding: Any, field: str) -> None:
    formatted = binding.WhichOneof("format")
    if formatted is not None and not (formatted == "text" and not binding.text.ByteSize()):
        raise Unimplemented(f"{field}: values cannot be formatted as {formatted} yet")
    if not binding.missing:
        raise FieldInvalid(f"{field}.missing", "choose fallback, skip or fail")
    fallbacks = binding.fallbacks.values()
    if binding.missing == binding.MISSING_FALLBACK and not (fallbacks and all(fallbacks)):
        raise FieldInvalid(f"{field}.fallbacks", "give a text")


def _check_templates(campaign: Campaign, known: Sequence[Template]) -> None:
    for variant in campaign.variants:
        mine = [t for t in known if t.name == variant.template and t.state != "DELETED"]
        if not mine:
            raise TemplateNotFound(
                f"{variant.template} is not known; sync the account's templates",
                waba_id=campaign.waba_id,
                name=variant.template,
                language="",
            )
        bound = {binding.variable for binding in variant.bindings}
        for template in mine:
            missing = [v for v in templates.variables(template) if v not in bound]
            if missing:
                raise ParametersInvalid(
                    f"variant {variant.name}: bind {', '.join(missing)}",
                    template_name=template.name,
                    language=template.language,
                    variable=missing[0],
                    problem="unbound",
                )
