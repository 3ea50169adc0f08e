"""What a segment would be, before it is saved: its rule over profile's history, nothing written.

It reads beside live updates and holds one batch of contacts; whoever goes away ends it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.times import milliseconds, stamped
from expressions import Expression, ExpressionError
from merhaba.profile.v1 import ContactHistory, ProfileServiceStub, StreamHistoryRequest
from merhaba.segment.v1 import (
    Overlap,
    Preview,
    PreviewSegmentRequest,
    PreviewSegmentResponse,
    PreviewWarning,
)
from services.segment import wire
from services.segment.defining.estimate import Estimate
from services.segment.defining.segments import SegmentDefinitions
from services.segment.engine.definitions import Catalogue, backfill_of, segment_of, window_of
from services.segment.engine.model import SegmentDefinition
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.engine.timeline import Walk
from services.segment.failures import ExpressionInvalid, SegmentCycle, ServiceUnavailable
from services.segment.jobs.reading import FACTS
from services.segment.tables.definitions import DefinitionsStore

SAMPLE: Final = 20_000
"""Contacts of a sample: a share is then known to less than a hundredth."""
_PARTS: Final = 16  # of the whole base; after the first the estimate is by chance of everybody
_MOST_PARTS: Final = 65_536  # that profile divides by
_BATCH: Final = 200
_FEW: Final = ("contact_created",)  # of no event is not to be asked, and of all is too much
_TELL_EVERY_S: Final = 1.0
_MOST_SAMPLED: Final = 100
_MOST_CHARACTERS: Final = 10_000
_APART_MS: Final = 60_000  # our clock and profile's
_DAY_MS: Final = 86_400_000


class Previews:
    """Evaluates a rule nobody saved over everybody, or over some by chance."""

    def __init__(
        self,
        store: DefinitionsStore,
        definitions: SegmentDefinitions,
        compiler: Compiler,
        profile: ProfileServiceStub,
        clock: Clock,
        sample: int = SAMPLE,
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._compiler = compiler
        self._profile = profile
        self._clock = clock
        self._sample = sample

    async def stream(self, request: PreviewSegmentRequest) -> AsyncIterator[PreviewSegmentResponse]:
        """Estimates, until the last one. Raises what is wrong with the request."""
        catalogue = await self._store.catalogue()
        own = segment_of(catalogue, request.segment_id).name if request.segment_id else ""
        expression = await self._checked(request.expression, own)
        if request.sample_size < 0:
            raise FieldInvalid("sample_size", "negative; leave it out for 20")
        estimate = Estimate(min(request.sample_size or 20, _MOST_SAMPLED))
        try:
            estimate.total = await self._total()
            sampled = request.mode == PreviewSegmentRequest.MODE_SAMPLE
            parts = _PARTS if estimate.total > self._sample else 1
            if sampled:
                parts = min(max(-(-estimate.total // self._sample), 1), _MOST_PARTS)
            told = asyncio.get_running_loop().time()
            for part in range(1 if sampled else parts):
                async for batch in self._part(estimate, expression, part, parts):
                    await self._evaluate(estimate, expression, batch, catalogue, own)
                    if asyncio.get_running_loop().time() - told >= _TELL_EVERY_S:
                        yield _response(estimate, catalogue)
                        told = asyncio.get_running_loop().time()
        except grpc.aio.AioRpcError as error:
            raise ServiceUnavailable("profile") from error
        estimate.exact = parts == 1 or not sampled
        if estimate.exact:
            estimate.total = estimate.passed
        yield _response(estimate, catalogue)

    async def _checked(self, source: str, name: str) -> Expression:
        if not source:
            raise FieldInvalid("expression", "missing; write an expression of type bool")
        if len(source) > _MOST_CHARACTERS:
            raise FieldInvalid("expression", "too long", limit=str(_MOST_CHARACTERS))
        expression, error, cycle = await self._definitions.check(source, name)
        if expression is None:
            assert error is not None
            raise ExpressionInvalid("expression", error)
        if not expression.is_condition:
            other = f"it is of type {expression.result_type}, not bool"
            wrong = ExpressionError(source, 0, len(source), other, "bool")
            raise ExpressionInvalid("expression", wrong)
        if cycle:
            raise SegmentCycle(cycle)
        return expression

    async def _total(self) -> int:
        """Contacts in all, about."""
        call = self._profile.StreamHistory(
            StreamHistoryRequest(names=_FEW, read_mask=FieldMask(paths=["contact_id"]))
        )
        try:
            async for response in call:
                return response.total_count
            return 0
        finally:
            call.cancel()

    async def _part(
        self, estimate: Estimate, expression: Expression, part: int, parts: int
    ) -> AsyncIterator[Sequence[ContactHistory]]:
        """Histories of a part of everybody, in the parts they come in; a heartbeat is empty."""
        asked = backfill_of("", 0, [expression], self._clock.now())
        call = self._profile.StreamHistory(
            StreamHistoryRequest(
                shard=part,
                shard_count=parts,
                names=asked.names or _FEW,
                start_time=stamped(asked.start_time),
                read_mask=FieldMask(paths=[*FACTS, *(["events"] if asked.names else [])]),
            )
        )
        batch: list[ContactHistory] = []
        try:
            async for response in call:
                if response.oldest_times:
                    oldest = {n: milliseconds(t) for n, t in response.oldest_times.items()}
                    now = milliseconds_of(self._clock.now())
                    estimate.missing = missing(expression, oldest, now)
                for history in response.histories:
                    batch.append(history)
                    if len(batch) >= _BATCH and not history.continued:
                        yield batch
                        batch = []
                if not response.histories:
                    yield ()
            yield batch
        finally:
            call.cancel()

    async def _evaluate(
        self,
        estimate: Estimate,
        expression: Expression,
        batch: Sequence[ContactHistory],
        catalogue: Catalogue,
        own: str,
    ) -> None:
        if not batch:
            return
        now = milliseconds_of(self._clock.now())
        rule = SegmentDefinition("", own, 1, expression.source, live=True)
        rules = Rules(0, [rule], [], self._compiler)
        states: dict[str, ContactState] = {}
        for history in batch:
            past = wire.past(history, rules.wanted)
            state = states.setdefault(past.contact_id, ContactState())
            Walk(rules, past.contact_id, state, now).recall(past)
        ids = list(states)
        if expression.segments:
            within = await self._store.memberships(ids)
            names = {one.segment_id: one.name for one in catalogue.segments.values()}
            for contact_id, state in states.items():
                state.facts.segments = {names[one] for one in within.get(contact_id, ())}
        member_ids = [
            contact_id
            for contact_id, state in states.items()
            if not state.restricted and expression.evaluate(state.facts, now)
        ]
        shared = await self._store.shared(ids, member_ids)
        kept = {
            segment_id: counts
            for segment_id, counts in shared.items()
            if catalogue.segments[segment_id].name != own
        }
        estimate.add(len(ids), member_ids, kept)


def missing(expression: Expression, oldest: Mapping[str, int], now: int) -> list[str]:
    """Which events the rule looks further back for than they are kept, in words; `oldest`: from
    when (ms) on they are."""
    found: list[str] = []
    for name, need in sorted(expression.history.items()):
        window = window_of(need)
        if name in oldest and (window is None or window > now - oldest[name] + _APART_MS):
            days = round((now - oldest[name]) / _DAY_MS)
            found.append(f"`{name}` is kept for {days} days, and the rule looks further back")
    return found


def _response(estimate: Estimate, catalogue: Catalogue) -> PreviewSegmentResponse:
    names: Mapping[str, str] = {one.segment_id: one.name for one in catalogue.segments.values()}
    low, high = estimate.bounds
    return PreviewSegmentResponse(
        exact=estimate.exact,
        preview=Preview(
            member_count=estimate.scaled(estimate.members),
            passed_count=estimate.passed,
            total_count=max(estimate.total, estimate.passed),
            share=estimate.share,
            share_low=low,
            share_high=high,
            sample_contact_ids=estimate.sample,
            overlaps=[
                Overlap(
                    segment_id=one.segment_id,
                    name=names.get(one.segment_id, ""),
                    common_count=estimate.scaled(one.common),
                    share=one.common / estimate.members,
                    other_share=one.common / one.other,
                )
                for one in estimate.overlaps()
            ],
            warnings=[
                PreviewWarning(
                    kind=PreviewWarning.Kind.Value(f"KIND_{one.kind.upper()}"),
                    message=one.message,
                    segment_id=one.segment_id,
                )
                for one in estimate.warnings(names)
            ],
        ),
    )
