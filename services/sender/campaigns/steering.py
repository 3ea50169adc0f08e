"""Drafting, launching and steering campaigns: each call one change, durable when it answers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import EtagMismatch, FieldInvalid, RequestIdReused
from chassis.ids import derived_id, fingerprint
from expressions import Registry
from merhaba.sender.v1 import Campaign as CampaignProto
from merhaba.sender.v1 import (
    CreateCampaignRequest,
    LaunchCampaignRequest,
    UpdateCampaignRequest,
)
from services.sender.campaigns.audiences import Audiences
from services.sender.campaigns.checks import best_span, check, check_materials, check_weights
from services.sender.campaigns.editing import check_frozen, edited
from services.sender.campaigns.findings import Finding, blockers, obstacles, of_audience, unfit
from services.sender.campaigns.stopping import FRESH_S
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.wire import campaign_of, is_triggered, stored
from services.sender.failures import (
    CampaignState,
    NumberUnusable,
    PreflightFailed,
    TemplateState,
    VariantNotFound,
)
from services.sender.model import Campaign, CampaignPhase, Standing
from services.sender.wire import at

_OVER: Final = frozenset({CampaignPhase.COMPLETED, CampaignPhase.CANCELLED, CampaignPhase.STOPPED})
_UNDER_WAY: Final = frozenset({CampaignPhase.PLANNING, CampaignPhase.RUNNING})
_TODO: Final = {
    CampaignPhase.DRAFT: "launch it first",
    CampaignPhase.SCHEDULED: "it begins at its time; cancel it if it must not",
}
_LOOK_EVERY: Final = timedelta(milliseconds=50)
_LOOKS: Final = int(FRESH_S * 1.1 / _LOOK_EVERY.total_seconds())


class Segments(Protocol):
    """Segments, as campaigns need them."""

    async def segment_version(self, segment_id: str) -> int:
        """The version of a segment that is in force. Raises SegmentNotFound."""
        ...

    async def registry(self) -> Registry:
        """What expressions may name, with the types that profile knows of attributes."""
        ...


class Steering:
    """What callers decide about campaigns."""

    def __init__(
        self,
        campaigns: CampaignStore,
        audiences: Audiences,
        segments: Segments,
        clock: Clock,
        moved: Callable[[], None],
    ) -> None:
        """`moved` tells whoever plans and keeps campaigns that one changed."""
        self._campaigns = campaigns
        self._audiences = audiences
        self._segments = segments
        self._clock = clock
        self._moved = moved

    def now(self) -> int:
        """Milliseconds."""
        return milliseconds_of(self._clock.now())

    # --- drafts -------------------------------------------------------------------------------

    async def create(self, request: CreateCampaignRequest) -> Standing:
        """Store a draft; the one that stands when the request was made before."""
        if request.validate_only:
            await self._check(request.campaign)
            return self._draft("", request.campaign)
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        draft = self._draft(derived_id("cmp", request.request_id), request.campaign)
        digest = draft.create_digest
        known = await self._campaigns.find(draft.campaign_id)
        if known is None:
            await self._check(request.campaign)
            known = await self._campaigns.create(draft)
        if known.create_digest not in {"", digest}:  # of old ones none was kept
            raise RequestIdReused(request.request_id)
        return known

    def _draft(self, campaign_id: str, campaign: CampaignProto) -> Standing:
        now, definition = self.now(), stored(campaign)
        return Standing(
            campaign_id=campaign_id,
            name=campaign.name,
            state=CampaignPhase.DRAFT,
            state_reason="",
            version=1,
            definition=definition,
            planned=False,
            recipients=0,
            create_time=now,
            update_time=now,
            start_time=0,
            launch_time=0,
            end_time=0,
            create_digest=str(fingerprint(definition.hex())),
        )

    async def update(self, request: UpdateCampaignRequest) -> Standing:
        """Change what a mask names; later only what may change of what is under way."""
        given, paths = request.campaign, request.update_mask.paths
        before = await self._campaigns.get(given.campaign_id)
        if before.state in _OVER:
            raise _refused(before)
        if before.state == CampaignPhase.DRAFT:
            # Looked up outside the change, which others wait for; made anew in it. Later nothing
            # may change that names others, and what they named may be gone by then.
            await self._check(edited(CampaignProto.FromString(before.definition), given, paths))

        def change(standing: Standing) -> bool:
            if given.etag and given.etag != str(standing.version):
                raise EtagMismatch(str(standing.version))
            if standing.state in _OVER:
                raise _refused(standing)
            old = CampaignProto.FromString(standing.definition)
            new = edited(old, given, paths)
            if standing.state != CampaignPhase.DRAFT:
                check_frozen(old, new)
            check(new)
            standing.name, standing.definition = new.name, stored(new)
            return standing.definition != stored(old)

        if request.validate_only:
            change(before)
            return before
        return await self._change(given.campaign_id, change)

    async def weigh(
        self, campaign_id: str, request_id: str, weights: Mapping[str, float]
    ) -> Standing:
        """Set weights of variants; once for each request."""
        if not request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        if not weights:
            raise FieldInvalid("weights", "none given")

        def change(standing: Standing) -> bool:
            if standing.state in _OVER:
                raise _refused(standing)
            campaign = CampaignProto.FromString(standing.definition)
            names = {one.name for one in campaign.variants}
            if unknown := sorted(weights.keys() - names):
                raise VariantNotFound(
                    f"no variant {unknown[0]}; there are {', '.join(sorted(names))}",
                    campaign_id=campaign_id,
                    variant=unknown[0],
                )
            for variant in campaign.variants:
                variant.weight = weights.get(variant.name, variant.weight)
            check_weights([one.weight for one in campaign.variants], "weights")
            standing.definition = stored(campaign)
            return True

        found = await self._campaigns.weigh(campaign_id, request_id, weights, change, self.now())
        self._moved()
        return found

    async def _check(self, draft: CampaignProto) -> None:
        """Raises for what a definition cannot be, or names and is not there."""
        campaign = check(draft)
        registry = await self._segments.registry()
        check_materials(campaign, *await self._campaigns.materials(campaign), registry)
        if campaign.segment_id:
            await self._segments.segment_version(campaign.segment_id)
        if campaign.file is not None:
            await self._audiences.find(campaign.file, self.now())

    # --- launching ----------------------------------------------------------------------------

    async def launch(self, request: LaunchCampaignRequest) -> Standing:
        """Launch a draft, now or at a time; once for each request."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        checked = await self._campaigns.get(request.campaign_id)
        now, start = self.now(), at(request.schedule, "start_time")
        campaign, edited_since = campaign_of(checked), False
        within = best_span(request.schedule, campaign)
        if checked.state == CampaignPhase.DRAFT:
            await self._refuse(campaign, await self.found(campaign, max(start, now)))

        def launch(standing: Standing) -> bool:
            nonlocal edited_since
            if standing.launch_request == request.request_id:
                return False
            if request.etag and request.etag != str(standing.version):
                raise EtagMismatch(str(standing.version))
            if standing.state != CampaignPhase.DRAFT:
                raise _refused(standing)
            edited_since = standing.version != checked.version
            if edited_since:
                return False
            standing.launch_request = request.request_id
            standing.start_time, standing.best_time_ms = start, within
            if start > now:
                standing.state = CampaignPhase.SCHEDULED
                return True
            standing.launch_time = now
            triggered = is_triggered(standing)
            standing.state = CampaignPhase.RUNNING if triggered else CampaignPhase.PLANNING
            return True

        launched = await self._change(request.campaign_id, launch)
        return await self.launch(request) if edited_since else launched

    async def found(self, campaign: Campaign, start: int) -> list[Finding]:
        """What stands in the way of a launch, or should be known before it, as far as it can be
        found without looking at anybody. Raises what LaunchCampaign has a reason of its own for."""
        version, expires = 0, 0
        if campaign.segment_id:
            version = await self._segments.segment_version(campaign.segment_id)
        if campaign.file is not None:
            expires = (await self._audiences.ready(campaign.file, self.now())).expire_time
        templates, numbers = await self._campaigns.materials(campaign)
        return [
            *unfit(campaign, templates, await self._segments.registry()),
            *obstacles(campaign, templates, numbers, await self._campaigns.cards(), start),
            *of_audience(campaign, version, expires, start),
        ]

    async def _check_sends(self, campaign: Campaign, now: int) -> None:
        """Whether a campaign that was launched could send. Its audience is as it was then."""
        templates, numbers = await self._campaigns.materials(campaign)
        found = obstacles(campaign, templates, numbers, await self._campaigns.cards(), now)
        await self._refuse(campaign, found)

    async def _refuse(self, campaign: Campaign, findings: Sequence[Finding]) -> None:
        found = blockers(findings)
        if not found:
            return
        first = found[0]
        if first.kind.startswith("template_"):
            templates, _ = await self._campaigns.materials(campaign)
            waits = [one for one in templates if one.state != "APPROVED"]
            raise TemplateState(
                first.explanation,
                template_id=waits[0].template_id if waits else "",
                state=waits[0].state if waits else "",
            )
        if first.kind.startswith("number_"):
            raise NumberUnusable(first.explanation, waba_id=campaign.waba_id, problem=first.kind)
        raise PreflightFailed(
            first.explanation,
            campaign_id=campaign.campaign_id,
            problem=first.kind,
            count=str(len(found)),
        )

    # --- steering -----------------------------------------------------------------------------

    async def pause(self, campaign_id: str, reason: str) -> Standing:
        """Stop messages from leaving; returns when no call can begin any more."""

        def pause(standing: Standing) -> bool:
            if standing.state == CampaignPhase.PAUSED:
                return False
            if standing.state not in _UNDER_WAY:
                raise _refused(standing)
            standing.state, standing.state_reason = CampaignPhase.PAUSED, reason
            return True

        standing = await self._change(campaign_id, pause)
        await self._still(campaign_id)
        return standing

    async def resume(self, campaign_id: str) -> Standing:
        """Let messages leave again."""
        now = self.now()
        paused = await self._campaigns.get(campaign_id)
        if paused.state == CampaignPhase.PAUSED:
            await self._check_sends(campaign_of(paused), now)

        def resume(standing: Standing) -> bool:
            if standing.state in _UNDER_WAY:
                return False
            if standing.state != CampaignPhase.PAUSED:
                raise _refused(standing)
            done = standing.planned or is_triggered(standing)
            standing.state = CampaignPhase.RUNNING if done else CampaignPhase.PLANNING
            standing.state_reason = ""
            return True

        return await self._change(campaign_id, resume)

    async def cancel(self, campaign_id: str, reason: str) -> Standing:
        """End a campaign for good; returns when no call can begin any more."""
        now = self.now()

        def cancel(standing: Standing) -> bool:
            if standing.state == CampaignPhase.CANCELLED:
                return False
            if standing.state in _OVER:
                raise _refused(standing)
            standing.state, standing.state_reason = CampaignPhase.CANCELLED, reason
            standing.end_time = now
            return True

        standing = await self._change(campaign_id, cancel)
        await self._still(campaign_id)
        return standing

    async def _still(self, campaign_id: str) -> None:
        """Return when no call can begin any more: what was claimed before the change stands in
        line, until its process looks."""
        for _ in range(_LOOKS):
            if not await self._campaigns.attempts(campaign_id):
                return
            await self._clock.sleep(_LOOK_EVERY)

    async def _change(self, campaign_id: str, change: Callable[[Standing], bool]) -> Standing:
        standing = await self._campaigns.change(campaign_id, change, self.now())
        self._moved()
        return standing


def _refused(standing: Standing) -> CampaignState:
    state = CampaignPhase(standing.state)
    todo = "make another one" if state in _OVER else _TODO.get(state, "it was launched already")
    return CampaignState(
        f"the campaign is {state.name.lower()}; {todo}",
        campaign_id=standing.campaign_id,
        state=state.name,
    )
