"""gRPC: segments and their members."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from msgspec.structs import replace

from chassis import paging
from chassis.failures import BatchTooLarge, FieldInvalid
from chassis.times import timestamp
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
    ListSegmentsRequest,
    ListSegmentsResponse,
    Member,
    Membership,
    Segment,
    SegmentServiceServicer,
    StreamMembersRequest,
    StreamMembersResponse,
    UpdateSegmentRequest,
    UpdateSegmentResponse,
)
from services.segment import nouns
from services.segment.definitions import segment_of
from services.segment.definitions_store import DefinitionsStore
from services.segment.failures import (
    BackfillNotFound,
    BackfillRunning,
    ContactNotFound,
    HistoryTooShort,
    SegmentArchived,
    SegmentNotFound,
)
from services.segment.membership import Membership as Heart
from services.segment.membership import stand
from services.segment.model import SegmentRecord
from services.segment.rules import Compiler
from services.segment.segment_definitions import SegmentDefinitions
from services.segment.state import ContactState, Standing
from services.segment.wire import contact_id

_MAX_EXPRESSION: Final = 10_000
_MAX_CONTACTS: Final = 500
_MAX_SEGMENTS: Final = 100
_CHUNK: Final = 1_000
_NOW_MS: Final = 1_000  # a moment this near is now
_MUTABLE: Final = ("display_name", "description", "expression")


class SegmentApi(SegmentServiceServicer):
    """Who belongs where, now, and why. Meaning and errors: the contract."""

    def __init__(
        self,
        definitions: SegmentDefinitions,
        store: DefinitionsStore,
        membership: Heart,
        compiler: Compiler,
    ) -> None:
        self._definitions = definitions
        self._store = store
        self._membership = membership
        self._compiler = compiler

    async def CheckExpression(
        self, request: CheckExpressionRequest, context: Any
    ) -> CheckExpressionResponse:
        """Tells whether an expression is right."""
        source = request.expression
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
        made = await self._definitions.create_segment(
            nouns.segment_draft(request.segment), request.request_id, request.validate_only
        )
        await self._membership.reload()
        return CreateSegmentResponse(segment=self._noun(made))

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
        page = found[:size]
        counts = await self._store.member_counts([one.segment_id for one in page])
        return ListSegmentsResponse(
            segments=[self._noun(one, counts.get(one.segment_id, 0)) for one in page],
            next_page_token=paging.token(query, [page[-1].name]) if len(found) > size else "",
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
        changes = {path: str(getattr(given, path)) for path in paths}
        changed = await self._definitions.update_segment(
            given.segment_id, given.etag, changes, request.validate_only
        )
        await self._membership.reload()
        return UpdateSegmentResponse(segment=self._noun(changed))

    async def ArchiveSegment(
        self, request: ArchiveSegmentRequest, context: Any
    ) -> ArchiveSegmentResponse:
        """Ends a segment."""
        ended = await self._definitions.archive_segment(request.segment_id, request.etag)
        await self._membership.reload()
        return ArchiveSegmentResponse(segment=self._noun(ended))

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
        page = found[:size]
        return ListBackfillsResponse(
            backfills=[nouns.backfill(one) for one in page],
            next_page_token=paging.token(query, [page[-1].backfill_id])
            if len(found) > size
            else "",
        )

    async def CheckMembership(
        self, request: CheckMembershipRequest, context: Any
    ) -> CheckMembershipResponse:
        """Tells for every contact and segment whether it is a member at this instant."""
        contacts = _contacts(request.contact_ids)
        if len(request.segment_ids) > _MAX_SEGMENTS:
            raise BatchTooLarge("segment_ids", _MAX_SEGMENTS, len(request.segment_ids))
        catalogue = await self._store.catalogue()
        for segment_id in request.segment_ids:
            _ready(segment_of(catalogue, segment_id))
        await self._membership.reload()
        now = self._membership.now
        stored = await self._store.states(contacts)
        ready = {i for i, record in catalogue.segments.items() if record.ready_version}
        found: list[Membership] = []
        for one in contacts:
            state = self._stand(stored.get(one, b""), now)
            asked: Sequence[str] = request.segment_ids or sorted(
                segment_id
                for segment_id, standing in state.standings.items()
                if standing.member and segment_id in ready
            )
            found += [self._membership_of(one, segment_id, state) for segment_id in asked]
        return CheckMembershipResponse(memberships=found)

    async def ExplainMembership(
        self, request: ExplainMembershipRequest, context: Any
    ) -> ExplainMembershipResponse:
        """Tells why a contact is or is not a member."""
        one = contact_id(request.contact_id)
        record = segment_of(await self._store.catalogue(), request.segment_id)
        if record.state == "archived":
            raise SegmentArchived(record.segment_id)
        await self._membership.reload()
        rules, now = self._membership.rules, self._membership.now
        stored = (await self._store.states([one])).get(one)
        if stored is None:
            raise ContactNotFound(one)
        state = self._stand(stored, now)
        asked = nouns.instant(request.moment_time, now)
        if asked < state.clock:
            raise HistoryTooShort(
                "before the contact's last event less is kept; ask about a later moment",
                oldest_time=timestamp_text(state.clock),
            )
        rule = rules.segments.get(record.segment_id) or rules.pending[record.segment_id]
        decision = rule.expression.decide(state.facts, asked)
        clauses = rule.expression.explain(state.facts, asked)
        return ExplainMembershipResponse(
            membership=self._membership_of(one, record.segment_id, state),
            explanation=nouns.explanation(
                rule.expression.source, decision.value, decision.next_change, clauses, asked
            ),
        )

    async def ListMembers(self, request: ListMembersRequest, context: Any) -> ListMembersResponse:
        """Lists the members at this moment, by contact id."""
        size = paging.size(request.page_size, 1_000, 10_000)
        query = paging.query(request, "moment_time")  # the token carries it
        place = paging.place(request.page_token, query, [str, int])
        after, at = place or ("", self._moment(nouns.instant(request.moment_time, 0)))
        _ready(segment_of(await self._store.catalogue(), request.segment_id))
        counts = await self._store.member_counts([request.segment_id])
        found = await self._store.members(request.segment_id, after, size + 1, at)
        page = found[:size]
        return ListMembersResponse(
            members=_members(page),
            next_page_token=paging.token(query, [page[-1][0], at]) if len(found) > size else "",
            moment_time=timestamp(at),
            total_count=counts.get(request.segment_id, 0),
        )

    async def StreamMembers(
        self, request: StreamMembersRequest, context: Any
    ) -> AsyncIterator[StreamMembersResponse]:
        """Streams the members at this moment, each once, by contact id, and ends."""
        query = paging.query(request, "moment_time")  # the cursor carries it
        place = paging.place(request.cursor, query, [str, int, int], "cursor")
        after, at, passed = place or (
            "",
            self._moment(nouns.instant(request.moment_time, 0)),
            0,
        )
        _ready(segment_of(await self._store.catalogue(), request.segment_id))
        total = (await self._store.member_counts([request.segment_id])).get(request.segment_id, 0)
        while True:
            page = await self._store.members(request.segment_id, after, _CHUNK, at)
            if page:
                after, passed = page[-1][0], passed + len(page)
            yield StreamMembersResponse(
                cursor=paging.token(query, [after, at, passed]),
                members=_members(page),
                moment_time=timestamp(at),
                passed_count=passed,
                total_count=total,
            )
            if len(page) < _CHUNK:
                return

    def _noun(self, record: SegmentRecord, members: int = 0) -> Segment:
        try:
            expression = self._compiler.compile(record.expression)
        except ExpressionError:
            expression = None  # it is not evaluated either, until somebody corrects it
        return nouns.segment(record, expression, members)

    def _stand(self, stored: bytes, now: int) -> ContactState:
        state = ContactState.from_bytes(stored) if stored else ContactState()
        return stand(self._membership.rules, state, now)

    def _membership_of(self, contact: str, segment_id: str, state: ContactState) -> Membership:
        rule = self._membership.rules.segments.get(segment_id)
        standing = state.standings.get(segment_id) or Standing()
        return Membership(
            contact_id=contact,
            segment_id=segment_id,
            segment_version=rule.version if rule else 0,
            member=rule is not None and standing.member,
            change_time=timestamp(standing.since or None),
            next_change_time=timestamp(standing.due),
        )

    def _moment(self, asked: int) -> int:
        """The moment to answer of; only now is kept."""
        now = self._membership.now
        if asked and asked < now - _NOW_MS:
            raise HistoryTooShort(
                "members of former moments are not kept; leave moment_time out",
                oldest_time=timestamp_text(now),
            )
        return now


def timestamp_text(milliseconds: int) -> str:
    """RFC 3339."""
    moment = timestamp(milliseconds)
    return moment.ToJsonString() if moment else ""


def _contacts(given: Sequence[str]) -> list[str]:
    if not given:
        raise FieldInvalid("contact_ids", "missing; name 1 to 500 contacts")
    if len(given) > _MAX_CONTACTS:
        raise BatchTooLarge("contact_ids", _MAX_CONTACTS, len(given))
    return [contact_id(one, f"contact_ids[{at}]") for at, one in enumerate(given)]


def _ready(record: SegmentRecord) -> None:
    if record.state != "archived" and not record.ready_version:
        raise BackfillRunning(record.segment_id, record.backfill_id)


def _members(page: Sequence[tuple[str, int]]) -> list[Member]:
    return [Member(contact_id=one, enter_time=timestamp(at)) for one, at in page]
