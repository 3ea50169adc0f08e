"""gRPC: segments and their members."""

from collections.abc import AsyncIterator
from typing import Any, Final

from msgspec.structs import replace

from chassis import paging
from chassis.answers import Answers
from chassis.failures import FieldInvalid
from chassis.streams import Watch
from expressions import ExpressionError
from merhaba.segment.v1 import (
    ArchiveSegmentRequest,
    ArchiveSegmentResponse,
    Backfill,
    CheckExpressionRequest,
    CheckExpressionResponse,
    CheckMembershipRequest,
    CheckMembershipResponse,
    CreateSegmentRequest,
    CreateSegmentResponse,
    ExplainMembershipRequest,
    ExplainMembershipResponse,
    ExpressionProblem,
    GetBackfillRequest,
    GetBackfillResponse,
    GetSegmentRequest,
    GetSegmentResponse,
    ListBackfillsRequest,
    ListBackfillsResponse,
    ListMembersRequest,
    ListMembersResponse,
    ListSegmentDefinitionsRequest,
    ListSegmentDefinitionsResponse,
    ListSegmentsRequest,
    ListSegmentsResponse,
    PreviewSegmentRequest,
    PreviewSegmentResponse,
    Segment,
    SegmentServiceServicer,
    StreamMembersRequest,
    StreamMembersResponse,
    UpdateSegmentRequest,
    UpdateSegmentResponse,
    WatchTransitionsRequest,
    WatchTransitionsResponse,
)
from services.segment.api import nouns
from services.segment.api.members import Members
from services.segment.api.previews import Previews
from services.segment.api.transitions import transitions
from services.segment.defining import ready
from services.segment.defining.segments import SegmentDefinitions
from services.segment.engine.definitions import segment_of
from services.segment.engine.membership import Membership
from services.segment.engine.model import SegmentRecord
from services.segment.engine.rules import Compiler
from services.segment.failures import BackfillNotFound, SegmentNotFound
from services.segment.jobs.declared import Declared
from services.segment.tables.definitions import DefinitionsStore

_MAX_EXPRESSION: Final = 10_000
_MUTABLE: Final = ("display_name", "description", "expression", "labels")


class SegmentApi(SegmentServiceServicer):
    """Who belongs where, now, and why. Meaning and errors: the contract."""

    def __init__(
        self,
        definitions: SegmentDefinitions,
        store: DefinitionsStore,
        membership: Membership,
        compiler: Compiler,
        members: Members,
        previews: Previews,
        watch: Watch,
        answers: Answers,
        declared: Declared,
    ) -> None:
        self._definitions = definitions
        self._store = store
        self._membership = membership
        self._compiler = compiler
        self._members = members
        self._previews = previews
        self._watch = watch
        self._answers = answers
        self._declared = declared

    async def CheckExpression(
        self, request: CheckExpressionRequest, context: Any
    ) -> CheckExpressionResponse:
        """Tells whether an expression is right."""
        source = request.expression
        await self._catch_up()
        if len(source) > _MAX_EXPRESSION:
            raise FieldInvalid("expression", "too long", limit=str(_MAX_EXPRESSION))
        expression, error, cycle = await self._definitions.check(source, request.segment_name)
        if expression is None:
            problems = [] if error is None else [nouns.problem(error)]
            return CheckExpressionResponse(problems=problems)
        found: list[ExpressionProblem] = []
        wanted = request.expected_type
        if wanted and wanted != str(expression.result_type):
            message = f"it is of type {expression.result_type}, not {wanted}"
            found.append(
                ExpressionProblem(
                    length=len(source), line=1, column=1, message=message, expected=wanted
                )
            )
        if cycle:
            message = f"it would use itself: {' uses '.join(cycle)}"
            found.append(ExpressionProblem(length=len(source), line=1, column=1, message=message))
        return CheckExpressionResponse(analysis=nouns.analysis(expression), problems=found)

    async def CreateSegment(
        self, request: CreateSegmentRequest, context: Any
    ) -> CreateSegmentResponse:
        """Makes a segment and begins its backfill."""
        draft = _draft(request)

        async def respond() -> CreateSegmentResponse:
            await self._catch_up()
            made = await self._definitions.create_segment(
                draft, request.request_id, request.validate_only
            )
            await self._membership.reload()
            return CreateSegmentResponse(segment=self._noun(made))

        if request.validate_only:
            return await respond()
        return await self._answers.once(request, request.request_id, respond, CreateSegmentResponse)

    async def GetSegment(self, request: GetSegmentRequest, context: Any) -> GetSegmentResponse:
        """Returns a segment, of today or of a version."""
        found = segment_of(await self._store.catalogue(), request.segment_id)
        if request.version not in (0, found.version):
            before = await self._store.segment_version(request.segment_id, request.version)
            if before is None:
                raise SegmentNotFound(request.segment_id)
            found = replace(found, version=request.version, expression=before)
        counts = await self._store.member_counts([found.segment_id])
        return GetSegmentResponse(segment=self._noun(found, counts.get(found.segment_id, 0)))

    async def ListSegments(
        self, request: ListSegmentsRequest, context: Any
    ) -> ListSegmentsResponse:
        """Lists segments, by name."""
        query, size = paging.query(request), paging.size(request.page_size, most=500)
        after = paging.place(request.page_token, query, [str])
        states = {Segment.State.Name(s)[6:].lower() for s in request.states}
        catalogue = await self._store.catalogue()
        found = sorted(
            (
                one
                for one in catalogue.segments.values()
                if (not request.names or one.name in request.names)
                and (one.state in states if states else one.state != "archived")
                and (after is None or one.name > after[0])
            ),
            key=lambda one: one.name,
        )
        page, token = paging.page(query, found, size, lambda one: [one.name])
        counts = await self._store.member_counts([one.segment_id for one in page])
        return ListSegmentsResponse(
            segments=[self._noun(one, counts.get(one.segment_id, 0)) for one in page],
            next_page_token=token,
        )

    async def UpdateSegment(
        self, request: UpdateSegmentRequest, context: Any
    ) -> UpdateSegmentResponse:
        """Changes a segment."""
        given = request.segment
        paths = list(request.update_mask.paths) or [n for n in _MUTABLE if getattr(given, n)]
        for path in paths:
            if path not in _MUTABLE:
                raise FieldInvalid(
                    "update_mask", f"{path} cannot be changed; only {', '.join(_MUTABLE)} can"
                )
        changes = {
            path: tuple(given.labels) if path == "labels" else getattr(given, path)
            for path in paths
        }

        async def respond() -> UpdateSegmentResponse:
            await self._catch_up()
            changed = await self._definitions.update_segment(
                given.segment_id, given.etag, changes, request.validate_only
            )
            await self._membership.reload()
            counts = await self._store.member_counts([changed.segment_id])
            return UpdateSegmentResponse(
                segment=self._noun(changed, counts.get(changed.segment_id, 0))
            )

        if request.validate_only:
            return await respond()
        return await self._answers.once(request, request.request_id, respond, UpdateSegmentResponse)

    async def ArchiveSegment(
        self, request: ArchiveSegmentRequest, context: Any
    ) -> ArchiveSegmentResponse:
        """Ends a segment."""

        async def respond() -> ArchiveSegmentResponse:
            ended = await self._definitions.archive_segment(request.segment_id, request.etag)
            await self._membership.reload()
            return ArchiveSegmentResponse(segment=self._noun(ended))

        return await self._answers.once(
            request, request.request_id, respond, ArchiveSegmentResponse
        )

    async def GetBackfill(self, request: GetBackfillRequest, context: Any) -> GetBackfillResponse:
        """Returns how a backfill stands."""
        found = await self._store.backfill(request.backfill_id)
        if found is None or not found.segment_id:
            raise BackfillNotFound(request.backfill_id)
        return GetBackfillResponse(backfill=nouns.backfill(found))

    async def ListBackfills(
        self, request: ListBackfillsRequest, context: Any
    ) -> ListBackfillsResponse:
        """Lists backfills, newest first."""
        query, size = paging.query(request), paging.size(request.page_size, 50, 500)
        after = paging.place(request.page_token, query, [str])
        states = [Backfill.State.Name(s)[6:].lower() for s in request.states]
        found = await self._store.backfills(
            request.segment_id, states, after[0] if after else "", size + 1
        )
        page, token = paging.page(query, found, size, lambda one: [one.backfill_id])
        return ListBackfillsResponse(
            backfills=[nouns.backfill(one) for one in page],
            next_page_token=token,
        )

    async def ListSegmentDefinitions(
        self, request: ListSegmentDefinitionsRequest, context: Any
    ) -> ListSegmentDefinitionsResponse:
        """Lists the ready definitions, by category and name."""
        if request.language not in ("", "en", "tr"):
            raise FieldInvalid("language", "only en and tr are known")
        query, size = paging.query(request), paging.size(request.page_size, most=500)
        after = paging.place(request.page_token, query, [str, str])
        found = [one for one in ready.listed() if not after or (one.category, one.name) > after]
        page, token = paging.page(query, found, size, lambda one: [one.category, one.name])
        return ListSegmentDefinitionsResponse(
            definitions=[nouns.ready_definition(one, request.language) for one in page],
            next_page_token=token,
        )

    async def PreviewSegment(
        self, request: PreviewSegmentRequest, context: Any
    ) -> AsyncIterator[PreviewSegmentResponse]:
        """Streams what a segment would be."""
        await self._catch_up()
        async for response in self._previews.stream(request):
            yield response

    async def CheckMembership(
        self, request: CheckMembershipRequest, context: Any
    ) -> CheckMembershipResponse:
        """Tells for every contact and segment whether it is a member at this instant."""
        return CheckMembershipResponse(memberships=await self._members.check(request))

    async def ExplainMembership(
        self, request: ExplainMembershipRequest, context: Any
    ) -> ExplainMembershipResponse:
        """Tells why a contact is or is not a member."""
        return await self._members.explain(request)

    async def ListMembers(self, request: ListMembersRequest, context: Any) -> ListMembersResponse:
        """Lists the members at a moment, by contact id."""
        return await self._members.page(request)

    async def StreamMembers(
        self, request: StreamMembersRequest, context: Any
    ) -> AsyncIterator[StreamMembersResponse]:
        """Streams the members at a moment, each once, by contact id, and ends."""
        async for response in self._members.stream(request):
            yield response

    async def WatchTransitions(
        self, request: WatchTransitionsRequest, context: Any
    ) -> AsyncIterator[WatchTransitionsResponse]:
        """Streams entries and exits as they happen, until the caller ends it."""
        catalogue = await self._store.catalogue()
        for segment_id in request.segment_ids:
            segment_of(catalogue, segment_id)
        async for cursor, events in transitions(self._watch, request):
            yield WatchTransitionsResponse(cursor=cursor, transitions=events)

    async def _catch_up(self) -> None:
        """Know what a rule may name now."""
        await self._declared.refresh()
        await self._membership.reload()

    def _noun(self, record: SegmentRecord, members: int = 0) -> Segment:
        try:
            return nouns.segment(record, self._compiler.compile(record.expression), members)
        except ExpressionError as error:
            return nouns.segment(record, None, members, error)


def _draft(request: CreateSegmentRequest) -> SegmentRecord:
    draft = nouns.segment_draft(request.segment)
    if not draft.definition_name:
        return draft
    found = ready.BY_NAME.get(draft.definition_name)
    if found is None:
        problem = f"there is no ready definition {draft.definition_name}; list them first"
        raise FieldInvalid("segment.definition_name", problem)
    if draft.expression:
        return draft
    try:
        return replace(draft, expression=ready.filled(found, request.definition_parameters))
    except ValueError as error:
        raise FieldInvalid("definition_parameters", str(error)) from None
