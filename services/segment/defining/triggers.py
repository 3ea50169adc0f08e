"""Triggers as people define them: made, changed, paused, ended."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from chassis.clock import Clock, milliseconds_of
from chassis.failures import RequestIdReused
from chassis.ids import derived_id, fresh_id
from expressions import Expression, History
from services.segment.defining.action_checks import Webhooks
from services.segment.defining.trigger_checks import TriggerChecks
from services.segment.engine.actions import sources_of
from services.segment.engine.causes import (
    CatalogCause,
    EventCause,
    SeasonCause,
    SegmentCause,
    StageCause,
)
from services.segment.engine.definitions import (
    Catalogue,
    Definitions,
    Edit,
    Sources,
    Store,
    backfill_of,
    check_etag,
    check_labels,
    check_texts,
    trigger_of,
)
from services.segment.engine.model import SegmentDefinition, Sweep, TriggerDefinition, TriggerRecord
from services.segment.failures import NameTaken, TriggerArchived

_OF_DOING: Final = (
    *("cause", "action", "condition", "cancel_condition", "key"),
    *("delay", "not_after", "period", "max_per_period"),
)
"""What makes another version when it changes."""


class TriggerDefinitions(Definitions):
    """Makes, changes, pauses and ends triggers."""

    def __init__(
        self, store: Store, clock: Clock, sources: Sources, webhooks: Webhooks | None = None
    ) -> None:
        super().__init__(store, clock, sources)
        self._checks = TriggerChecks(sources, webhooks or Webhooks())

    async def create_trigger(
        self, draft: TriggerRecord, request_id: str, validate_only: bool
    ) -> TriggerRecord:
        """A new trigger. A repeat with the same request id answers what it made."""
        now = self._clock.now()
        trigger_id = derived_id("trg", request_id) if request_id else fresh_id("trg")

        def decide(catalogue: Catalogue) -> tuple[TriggerRecord, Edit | None]:
            definition = replace(draft.definition, trigger_id=trigger_id, version=1)
            if before := catalogue.triggers.get(trigger_id):
                if before.definition.version == 1 and _differs(definition, before.definition):
                    raise RequestIdReused(request_id)
                return before, None
            check_texts("trigger", definition.name, draft.display_name, draft.description)
            check_labels("trigger", draft.labels)
            if any(t.definition.name == definition.name for t in catalogue.triggers.values()):
                raise NameTaken(definition.name)
            expressions = self._checks.check(catalogue, definition)
            after = replace(
                draft,
                definition=replace(
                    definition, since=catalogue.generation + 1, start=milliseconds_of(now)
                ),
                state="paused" if definition.paused else "active",
                edit=1,
                create_time=now,
                update_time=now,
            )
            edit = Edit(triggers=[after])
            self._reach_all(catalogue, edit, definition, expressions)
            return after, None if validate_only else edit

        made, _ = await self._decided(decide)
        return made

    async def update_trigger(
        self,
        trigger_id: str,
        etag: str,
        change: Callable[[TriggerRecord], TriggerRecord],
        validate_only: bool,
    ) -> TriggerRecord:
        """Change a trigger, from now on: what waits keeps its version, and what was caused before
        is not caused again. `change`: from what it is, what it shall be."""
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[TriggerRecord, Edit | None]:
            before = trigger_of(catalogue, trigger_id)
            if before.state == "archived":
                raise TriggerArchived(trigger_id)
            check_etag(etag, before.edit)
            draft, former = change(before), before.definition
            fields = {name: getattr(draft.definition, name) for name in _OF_DOING}
            definition = replace(former, **fields)
            after = replace(
                before,
                display_name=draft.display_name,
                description=draft.description,
                labels=draft.labels,
            )
            check_texts("trigger", definition.name, after.display_name, after.description)
            check_labels("trigger", after.labels)
            expressions = self._checks.check(catalogue, definition)
            edit = Edit()
            if _differs(definition, former):
                definition = replace(definition, version=former.version + 1)
                if _begins_anew(definition, former):
                    definition = replace(
                        definition, since=catalogue.generation + 1, start=milliseconds_of(now)
                    )
                if definition.since != former.since or _sources(definition) != _sources(former):
                    self._reach_all(catalogue, edit, definition, expressions)
            elif after == before:
                return before, None
            after = replace(after, definition=definition, edit=before.edit + 1, update_time=now)
            edit.triggers.append(after)
            return after, None if validate_only else edit

        made, _ = await self._decided(decide)
        return made

    async def tested(
        self, trigger_id: str, draft: TriggerDefinition | None
    ) -> tuple[TriggerDefinition, list[SegmentDefinition]]:
        """A trigger, the saved one without a draft, and the segments it uses as they are evaluated.
        Raises what is wrong with it, but for its name."""
        catalogue = await self._store.catalogue()
        definition = draft or trigger_of(catalogue, trigger_id).definition
        expressions = self._checks.check(catalogue, definition)
        todo = {name for one in expressions for name in one.segments}
        if isinstance(definition.cause, SegmentCause):
            todo.add(catalogue.segments[definition.cause.segment_id].name)
        uses, used = self._sources.uses(catalogue), set[str]()
        while todo:
            used.add(name := todo.pop())
            todo |= {*uses.get(name, ())} - used
        return definition, [
            SegmentDefinition(
                one.segment_id,
                one.name,
                one.live_version or one.version,
                one.live_expression if one.live_version else one.expression,
                live=True,
            )
            for one in catalogue.segments.values()
            if one.name in used
        ]

    async def pause_trigger(self, trigger_id: str, paused: bool) -> TriggerRecord:
        """Stop a trigger's actions, or let it act again; nothing acts wrongly after the answer."""

        def decide(catalogue: Catalogue) -> tuple[TriggerRecord, Edit | None]:
            before = trigger_of(catalogue, trigger_id)
            if before.state == "archived":
                raise TriggerArchived(trigger_id)
            if before.definition.paused == paused:
                return before, None
            after = replace(
                before,
                definition=replace(before.definition, paused=paused),
                state="paused" if paused else "active",
                edit=before.edit + 1,
                update_time=self._clock.now(),
            )
            return after, Edit(triggers=[after])

        made, _ = await self._decided(decide)
        return made

    async def archive_trigger(self, trigger_id: str, etag: str) -> tuple[TriggerRecord, int]:
        """End a trigger; returns it and how many occurrences of it are cancelled."""
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[TriggerRecord, Edit | None]:
            before = trigger_of(catalogue, trigger_id)
            if before.state == "archived":
                return before, None
            check_etag(etag, before.edit)
            after = replace(
                before, state="archived", edit=before.edit + 1, update_time=now, archive_time=now
            )
            ended = Sweep(trigger_id, catalogue.generation + 1, "cancel", milliseconds_of(now))
            return after, Edit(triggers=[after], sweeps=[ended])

        return await self._decided(decide)

    def _reach_all(
        self,
        catalogue: Catalogue,
        edit: Edit,
        definition: TriggerDefinition,
        expressions: Sequence[Expression],
    ) -> None:
        """Everybody is looked at where that is needed: for what an expression looks at, or since
        moments come without anything happening."""
        needed = any(one.history or one.attributes for one in expressions)
        if catalogue.contacts and (needed or _comes_by_itself(definition)):
            now = self._clock.now()
            looks = _looks(definition)
            edit.backfills.append(backfill_of("", 0, expressions, now, looks))


def _differs(one: TriggerDefinition, other: TriggerDefinition) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in _OF_DOING)


def _sources(definition: TriggerDefinition) -> list[str]:
    own = [definition.condition, definition.cancel_condition, definition.key]
    return own + list(sources_of(definition.action).values())


def _comes_by_itself(definition: TriggerDefinition) -> bool:
    """Whether nothing has to happen to a contact for the trigger to be caused."""
    return not isinstance(definition.cause, EventCause | SegmentCause | StageCause)


def _looks(definition: TriggerDefinition) -> dict[str, History]:
    """The events by which somebody looks at an item, as far back as they count."""
    match definition.cause:
        case CatalogCause(event_names=names, within=within):
            return {name: History(window=within) for name in names}
        case _:
            return {}


def _begins_anew(one: TriggerDefinition, former: TriggerDefinition) -> bool:
    """Whether what causes it is another thing, of which what was before does not count."""
    if one.cause != former.cause:
        return True
    return isinstance(one.cause, SeasonCause) and one.condition != former.condition
