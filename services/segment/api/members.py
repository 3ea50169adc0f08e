"""Who belongs where at an instant, and why: answers from what is kept, changing nothing."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final

import grpc
import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from chassis import paging
from chassis.callers import call
from chassis.clock import milliseconds_of
from chassis.failures import BatchTooLarge, FieldInvalid
from chassis.times import milliseconds, timestamp
from expressions import ExpressionError, Registry
from expressions import compile as compile_expression
from merhaba.profile.v1 import ProfileServiceStub, StreamHistoryRequest
from merhaba.segment.v1 import (
    CheckMembershipRequest,
    ExplainMembershipRequest,
    ExplainMembershipResponse,
    ListMembersRequest,
    ListMembersResponse,
    Member,
    Membership,
    StreamMembersRequest,
    StreamMembersResponse,
)
from services.segment.api import explaining
from services.segment.engine.definitions import segment_of
from services.segment.engine.membership import Membership as Heart
from services.segment.engine.membership import stand
from services.segment.engine.model import SegmentRecord
from services.segment.engine.state import ContactState, Standing
from services.segment.failures import (
    BackfillRunning,
    ContactNotFound,
    HistoryTooShort,
    SegmentArchived,
    SegmentNotEvaluated,
    ServiceUnavailable,
)
from services.segment.roles import Viewer
from services.segment.tables.definitions import DefinitionsStore
from services.segment.tables.stays import Stays
from services.segment.wire import contact_id

_logger = structlog.get_logger()

_MAX_CONTACTS: Final = 500
_MAX_SEGMENTS: Final = 100
_CHUNK: Final = 1_000
_AHEAD_MS: Final = 1_000  # between our clock and the caller's


class Members:
    """Reads memberships, of now and of former moments."""

    def __init__(
        self,
        store: DefinitionsStore,
        membership: Heart,
        profile: ProfileServiceStub,
        stays: Stays,
        personal: Callable[[str], bool],
    ) -> None:
        """`personal`: knows attributes by their names in expressions."""
        self._store = store
        self._membership = membership
        self._profile = profile
        self._stays = stays
        self._personal = personal

    async def check(self, request: CheckMembershipRequest) -> list[Membership]:
        """For every contact and segment, contacts first."""
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
        viewer = self._viewer()
        found: list[Membership] = []
        for one in contacts:
            state = self._stand(stored.get(one, b""), now)
            asked: Sequence[str] = request.segment_ids or sorted(
                segment_id
                for segment_id, standing in state.standings.items()
                if standing.member and segment_id in ready
            )
            found += [self._noun(one, segment_id, state, viewer) for segment_id in asked]
        return found

    async def explain(self, request: ExplainMembershipRequest) -> ExplainMembershipResponse:
        """Each part of the rule, its value and what made it so, at a moment."""
        one = contact_id(request.contact_id)
        catalogue = await self._store.catalogue()
        record = segment_of(catalogue, request.segment_id)
        if record.state == "archived":
            raise SegmentArchived(record.segment_id)
        await self._membership.reload()
        rules, now = self._membership.rules, self._membership.now
        stored = (await self._store.states([one])).get(one)
        if stored is None:
            raise ContactNotFound(one)
        moment = self._moment(request.moment_time, now)
        rule = rules.segments.get(record.segment_id) or rules.pending.get(record.segment_id)
        if record.segment_id in rules.frozen:
            raise SegmentNotEvaluated(record.segment_id)
        if rule is None:
            raise SegmentArchived(record.segment_id)  # since the catalogue was read
        state = self._stand(stored, now)
        names = {i: rule.name for i, rule in rules.segments.items()}
        when = explaining.known(state, names)
        oldest = explaining.oldest(rule.expression, state, when)
        if moment < oldest:
            raise too_short("less is known of the contact before; ask about a later one", oldest)
        clauses = rule.expression.explain(state.facts, moment)
        _logger.info("audit", read="explain", contact_id=one, caller=call.get().caller.name)
        event_ids = await self._event_ids(one, explaining.causes(clauses, when))
        told = explaining.explanation(
            rule.expression, state.facts, moment, when, clauses, event_ids
        )
        viewer = self._viewer()
        if not viewer.sees(rule.expression):
            explaining.veil(told, lambda text: shown(viewer, text, rules.registry))
        return ExplainMembershipResponse(
            membership=self._noun(one, record.segment_id, state, viewer), explanation=told
        )

    async def page(self, request: ListMembersRequest) -> ListMembersResponse:
        """Members at a moment; the token carries it."""
        size = paging.size(request.page_size, 1_000, 10_000)
        query = paging.query(request, "moment_time")
        place = paging.place(request.page_token, query, [str, int])
        after, at = place or ("", self._moment(request.moment_time, self._membership.now))
        await self._check_known(request.segment_id, at)
        found = await self._store.members(request.segment_id, after, size + 1, at)
        page, token = paging.page(query, found, size, lambda one: [one[0], at])
        return ListMembersResponse(
            members=_members(page),
            next_page_token=token,
            moment_time=timestamp(at),
            total_count=await self._store.member_count(request.segment_id, at),
        )

    async def stream(self, request: StreamMembersRequest) -> AsyncIterator[StreamMembersResponse]:
        """All members at a moment; the cursor carries it."""
        query = paging.query(request, "moment_time")
        place = paging.place(request.cursor, query, [str, int, int], "cursor")
        after, at, passed = place or (
            "",
            self._moment(request.moment_time, self._membership.now),
            0,
        )
        await self._check_known(request.segment_id, at)
        total = await self._store.member_count(request.segment_id, at)
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

    async def _check_known(self, segment_id: str, moment: int) -> None:
        """Raises where the members at a moment (ms) are not known."""
        record = segment_of(await self._store.catalogue(), segment_id)
        _ready(record)
        known = await self._store.known_since(record)
        began = self._membership.now - int(self._stays.kept.total_seconds() * 1000)
        oldest = max(began, milliseconds_of(known) if isinstance(known, datetime) else 0)
        if moment < oldest:
            raise too_short("members are known only from then on; ask about a later one", oldest)

    def _moment(self, given: Timestamp, now: int) -> int:
        """The moment asked about (ms); now when there is none."""
        if not given.seconds and not given.nanos:
            return now
        moment = milliseconds(given)
        if moment > now + _AHEAD_MS:
            raise FieldInvalid("moment_time", "is yet to come; leave it out for now")
        return min(moment, now)

    def _stand(self, stored: bytes, now: int) -> ContactState:
        state = ContactState.from_bytes(stored) if stored else ContactState()
        return stand(self._membership.rules, state, now)

    def _viewer(self) -> Viewer:
        return Viewer(call.get().caller.role, self._personal)

    def _noun(
        self, contact: str, segment_id: str, state: ContactState, viewer: Viewer
    ) -> Membership:
        rules = self._membership.rules
        named, rule = rules.named(segment_id), rules.segments.get(segment_id)
        standing = state.standings.get(segment_id) or Standing()
        # When it changes can tell what it is about: a birthday.
        foreseen = rule is not None and viewer.sees(rule.expression)
        return Membership(
            contact_id=contact,
            segment_id=segment_id,
            segment_version=named.version if named else 0,
            member=named is not None and standing.member,
            change_time=timestamp(standing.since or None),
            next_change_time=timestamp(standing.due) if foreseen else None,
        )

    async def _event_ids(
        self, contact: str, wanted: set[tuple[str, int]]
    ) -> dict[tuple[str, int], str]:
        """Ids of a contact's events, by name and time (ms); kept is only when they happened."""
        if not wanted:
            return {}
        found: dict[tuple[str, int], str] = {}
        asked = self._profile.StreamHistory(
            StreamHistoryRequest(
                contact_ids=[contact],
                names=sorted({name for name, _ in wanted}),
                start_time=timestamp(min(time for _, time in wanted)),
                read_mask=FieldMask(paths=["contact_id", "events", "continued"]),
            )
        )
        try:
            async for response in asked:
                for event in (event for one in response.histories for event in one.events):
                    kind = event.WhichOneof("body") or ""
                    name = event.tracked.name if kind == "tracked" else kind
                    key = name, milliseconds(event.event_time)
                    if key in wanted:
                        found[key] = event.event_id
                if len(found) == len(wanted):
                    break
        except grpc.aio.AioRpcError as error:
            raise ServiceUnavailable("profile") from error
        finally:
            asked.cancel()
        return found


def too_short(problem: str, oldest: int) -> HistoryTooShort:
    """`oldest` in ms."""
    moment = timestamp(oldest)
    return HistoryTooShort(problem, oldest_time=moment.ToJsonString() if moment else "")


def shown(viewer: Viewer, text: str, registry: Registry) -> bool:
    """Whether somebody may see what a part of an expression comes to."""
    try:
        return viewer.sees(compile_expression(text, registry))
    except ExpressionError:
        return False  # no expression by itself, so nobody knows what it looks at


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
