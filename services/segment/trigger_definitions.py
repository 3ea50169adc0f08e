"""Triggers as people define them: made, paused, ended."""

from msgspec.structs import replace

from chassis.failures import FieldInvalid, RequestIdReused
from chassis.ids import derived_id, fresh_id
from expressions import Expression
from services.segment.definitions import (
    Catalogue,
    Definitions,
    Edit,
    backfill_of,
    check_etag,
    check_texts,
    trigger_of,
)
from services.segment.failures import NameTaken, ReferenceNotFound, TriggerArchived
from services.segment.model import TriggerDefinition, TriggerRecord


class TriggerDefinitions(Definitions):
    """Makes, pauses and ends triggers."""

    async def create_trigger(
        self, draft: TriggerRecord, request_id: str, validate_only: bool
    ) -> TriggerRecord:
        """A new trigger. A repeat with the same request id answers what it made."""
        now = self._clock.now()
        trigger_id = derived_id("trg", request_id) if request_id else fresh_id("trg")

        def decide(catalogue: Catalogue) -> tuple[TriggerRecord, Edit | None]:
            definition = replace(draft.definition, trigger_id=trigger_id, version=1)
            if before := catalogue.triggers.get(trigger_id):
                if replace(definition, paused=before.definition.paused) != before.definition:
                    raise RequestIdReused(request_id)
                return before, None
            check_texts("trigger", definition.name, draft.display_name, draft.description)
            if any(t.definition.name == definition.name for t in catalogue.triggers.values()):
                raise NameTaken(definition.name)
            expressions = self._trigger_rules(catalogue, definition)
            after = replace(
                draft,
                definition=definition,
                state="paused" if definition.paused else "active",
                edit=1,
                create_time=now,
                update_time=now,
            )
            edit = Edit(triggers=[after])
            if catalogue.contacts and any(one.history or one.attributes for one in expressions):
                edit.backfills.append(backfill_of("", 0, expressions, now))
            return after, None if validate_only else edit

        made, _ = await self._decided(decide)
        return made

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
        """End a trigger; returns it and how many occurrences of it no longer wait."""
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[TriggerRecord, Edit | None]:
            before = trigger_of(catalogue, trigger_id)
            if before.state == "archived":
                return before, None
            check_etag(etag, before.edit)
            after = replace(
                before, state="archived", edit=before.edit + 1, update_time=now, archive_time=now
            )
            return after, Edit(triggers=[after], ended_triggers=[trigger_id])

        return await self._decided(decide)

    def _trigger_rules(
        self, catalogue: Catalogue, definition: TriggerDefinition
    ) -> list[Expression]:
        event = definition.event_name or None
        if event is not None and self._sources.anything.event(event) is None:
            raise FieldInvalid(
                "trigger.event.name",
                f"{event} is no known event; name it in the setting EXTRA_EVENTS or correct it",
            )
        if definition.segment_id:
            caused = catalogue.segments.get(definition.segment_id)
            if caused is None or caused.state == "archived":
                raise ReferenceNotFound(
                    "trigger.segment.segment_id", "segment", definition.segment_id
                )
        expressions = [
            self._sources.compile(catalogue, f"trigger.{name}", source, event, wanted)
            for name, source, wanted in (
                ("condition", definition.condition, "bool"),
                ("cancel_condition", definition.cancel_condition, "bool"),
                ("key", definition.key, ""),
            )
            if source
        ]
        for name, source in definition.parameters.items():
            path = f"trigger.action.send.parameters[{name}]"
            expressions.append(self._sources.compile(catalogue, path, source, event, ""))
        return expressions
