"""Segments as people define them: made, changed, brought into force, ended."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from chassis.failures import RequestIdReused
from chassis.ids import derived_id, fresh_id
from expressions import Expression, ExpressionError
from expressions import compile as compile_expression
from services.segment.engine.definitions import (
    Catalogue,
    Definitions,
    Edit,
    backfill_of,
    check_etag,
    check_labels,
    check_texts,
    later,
    segment_of,
)
from services.segment.engine.model import SegmentRecord
from services.segment.engine.rules import cycle
from services.segment.failures import NameTaken, SegmentArchived, SegmentCycle, SegmentInUse


class SegmentDefinitions(Definitions):
    """Makes, changes and ends segments."""

    async def check(
        self, source: str, segment_name: str
    ) -> tuple[Expression | None, ExpressionError | None, list[str]]:
        """The expression or what is wrong with it, and the cycle it would close, if any."""
        catalogue = await self._store.catalogue()
        names = [s.name for s in catalogue.segments.values() if s.state != "archived"]
        try:
            expression = compile_expression(source, self._sources.vocabulary(names))
        except ExpressionError as error:
            return None, error, []
        uses = self._sources.uses(catalogue)
        if segment_name:
            uses[segment_name] = sorted(expression.segments)
        return expression, None, cycle(uses) or []

    async def create_segment(
        self, draft: SegmentRecord, request_id: str, validate_only: bool
    ) -> SegmentRecord:
        """A new segment. A repeat with the same request id answers what it made."""
        now = self._clock.now()
        segment_id = derived_id("seg", request_id) if request_id else fresh_id("seg")

        def decide(catalogue: Catalogue) -> tuple[SegmentRecord, Edit | None]:
            if before := catalogue.segments.get(segment_id):
                if (before.name, before.expression) != (draft.name, draft.expression):
                    raise RequestIdReused(request_id)
                return before, None
            check_texts("segment", draft.name, draft.display_name, draft.description)
            check_labels("segment", draft.labels)
            if any(s.name == draft.name for s in catalogue.segments.values()):
                raise NameTaken(draft.name)
            expression = self._segment_rule(catalogue, draft.name, draft.expression)
            new = replace(
                draft, segment_id=segment_id, version=1, edit=1, create_time=now, update_time=now
            )
            return self._put(catalogue, new, expression, now, validate_only)

        made, _ = await self._decided(decide)
        return made

    async def update_segment(
        self,
        segment_id: str,
        etag: str,
        changes: Mapping[str, Any],
        validate_only: bool,
    ) -> SegmentRecord:
        """Change `display_name`, `description`, `labels` or `expression`, those that are given."""
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[SegmentRecord, Edit | None]:
            before = segment_of(catalogue, segment_id)
            check_etag(etag, before.edit)
            if before.state == "archived":
                raise SegmentArchived(segment_id)
            after = replace(before, **changes)
            check_texts("segment", after.name, after.display_name, after.description)
            check_labels("segment", after.labels)
            after = replace(after, edit=before.edit + 1, update_time=later(now, before))
            if after.expression == before.expression:
                return after, None if validate_only else Edit(segments=[after])
            expression = self._segment_rule(catalogue, after.name, after.expression)
            after = replace(after, version=before.version + 1)
            return self._put(catalogue, after, expression, now, validate_only)

        made, _ = await self._decided(decide)
        return made

    def _put(
        self,
        catalogue: Catalogue,
        segment: SegmentRecord,
        expression: Expression,
        now: datetime,
        validate_only: bool,
    ) -> tuple[SegmentRecord, Edit | None]:
        """Another version: backfilled where there is anybody, else in force at once."""
        edit = Edit()
        if catalogue.contacts:
            backfill = backfill_of(
                segment.segment_id,
                segment.version,
                [expression],
                now,
                kept=self._sources.kept(catalogue),
            )
            edit.backfills.append(backfill)
            segment = replace(segment, state="backfilling", backfill_id=backfill.backfill_id)
        else:
            segment = replace(
                segment,
                state="active",
                live_expression=segment.expression,
                live_version=segment.version,
                ready_version=segment.version,
                live_since=catalogue.generation + 1,
            )
        edit.segments.append(segment)
        return segment, None if validate_only else edit

    async def go_live(self, segment_id: str, backfill_id: str) -> bool:
        """Evaluate the latest version from now on; False when another backfill works on it."""
        return await self._advance(
            segment_id,
            backfill_id,
            lambda segment, generation: replace(
                segment,
                live_expression=segment.expression,
                live_version=segment.version,
                live_since=generation,
            ),
        )

    async def complete(self, segment_id: str, backfill_id: str) -> bool:
        """All members are of the latest version; False when another backfill works on it."""
        return await self._advance(
            segment_id,
            backfill_id,
            lambda segment, _: replace(
                segment,
                ready_version=segment.version,
                state="active",
                update_time=later(self._clock.now(), segment),
            ),
        )

    async def _advance(
        self, segment_id: str, backfill_id: str, step: Callable[[SegmentRecord, int], SegmentRecord]
    ) -> bool:
        def decide(catalogue: Catalogue) -> tuple[bool, Edit | None]:
            segment = segment_of(catalogue, segment_id)
            if segment.state != "backfilling" or segment.backfill_id != backfill_id:
                return False, None
            return True, Edit(segments=[step(segment, catalogue.generation + 1)])

        advanced, _ = await self._decided(decide)
        return advanced

    async def archive_segment(self, segment_id: str, etag: str) -> SegmentRecord:
        """End a segment that nobody uses."""
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[SegmentRecord, Edit | None]:
            before = segment_of(catalogue, segment_id)
            if before.state == "archived":
                return before, None
            check_etag(etag, before.edit)
            uses = self._sources.uses(catalogue)
            users = [name for name, used in uses.items() if before.name in used]
            users += [
                trigger.definition.name
                for trigger in catalogue.triggers.values()
                if trigger.state != "archived" and self._sources.used_by(trigger, before)
            ]
            users += [
                journey.definition.name
                for journey in catalogue.journeys.values()
                if journey.state != "archived"
                and self._sources.in_journey(journey.definition, before)
            ]
            if users:
                raise SegmentInUse(segment_id, users)
            after = replace(
                before,
                state="archived",
                edit=before.edit + 1,
                update_time=later(now, before),
                archive_time=now,
            )
            return after, Edit(segments=[after], ended_segments=[segment_id])

        made, _ = await self._decided(decide)
        return made

    def _segment_rule(self, catalogue: Catalogue, name: str, source: str) -> Expression:
        expression = self._sources.compile(catalogue, "segment.expression", source, None, "bool")
        uses = self._sources.uses(catalogue)
        uses[name] = sorted({*uses.get(name, ()), *expression.segments})
        if path := cycle(uses):
            turn = path.index(name) if name in path else 0
            raise SegmentCycle([*path[turn:-1], *path[:turn], path[turn]])
        return expression
