"""Journeys as people define them: made, changed, paused, ended."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid, RequestIdReused
from chassis.ids import derived_id, fresh_id
from expressions import Expression
from services.segment.defining.action_checks import Webhooks, check_action
from services.segment.engine.actions import StartAction
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
    journey_of,
)
from services.segment.engine.journeys.checks import check_migration, check_steps
from services.segment.engine.journeys.model import JourneyDefinition, JourneyRecord, Migration
from services.segment.engine.journeys.rules import PARAMETERS
from services.segment.engine.model import Sweep
from services.segment.failures import JourneyArchived, JourneyInUse, NameTaken

_MOST_MIGRATIONS: Final = 20
"""Of a journey that are remembered. Everybody is looked at within moments of each."""
_LONGEST: Final = 10_000  # characters of an expression


class JourneyDefinitions(Definitions):
    """Makes, changes, pauses and ends journeys."""

    def __init__(self, store: Store, clock: Clock, sources: Sources, webhooks: Webhooks) -> None:
        super().__init__(store, clock, sources)
        self._webhooks = webhooks

    async def create(
        self, draft: JourneyRecord, request_id: str, validate_only: bool
    ) -> JourneyRecord:
        """A new journey. A repeat with the same request id answers what it made."""
        now = self._clock.now()
        journey_id = derived_id("jny", request_id) if request_id else fresh_id("jny")

        def decide(catalogue: Catalogue) -> tuple[JourneyRecord, Edit | None]:
            definition = replace(draft.definition, journey_id=journey_id, version=1)
            if before := catalogue.journeys.get(journey_id):
                if before.definition.version == 1 and before.definition != definition:
                    raise RequestIdReused(request_id)
                return before, None
            if any(j.definition.name == definition.name for j in catalogue.journeys.values()):
                raise NameTaken(definition.name)
            after = replace(draft, definition=definition, edit=1, create_time=now, update_time=now)
            edit = Edit(journeys=[after])
            self._read_for(catalogue, edit, self._check(catalogue, after))
            return after, None if validate_only else edit

        made, _ = await self._decided(decide)
        return made

    async def update(
        self,
        journey_id: str,
        etag: str,
        change: Callable[[JourneyRecord], JourneyRecord],
        ordered: Migration | None,
        earlier: Mapping[int, Collection[str]],
        validate_only: bool,
    ) -> tuple[JourneyRecord, int]:
        """Change a journey for those who start from now on; returns it, and how many migrate.

        `change`: from what it is, what it shall be. `ordered`: who comes along, with no number and
        version yet. `earlier`: the steps that wait, by version.
        """
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[JourneyRecord, Edit | None]:
            before = journey_of(catalogue, journey_id)
            if before.state == "archived":
                raise JourneyArchived(journey_id)
            check_etag(etag, before.edit)
            draft, former = change(before), before.definition
            definition = replace(
                draft.definition,
                journey_id=journey_id,
                name=former.name,
                version=former.version,
            )
            if definition != former:
                definition = replace(definition, version=former.version + 1)
            after = replace(
                before,
                definition=definition,
                display_name=draft.display_name,
                description=draft.description,
                labels=draft.labels,
            )
            edit, expressions = Edit(), self._check(catalogue, after)
            if definition != former:
                self._read_for(catalogue, edit, expressions)
            if ordered is not None:
                number = before.migrations[-1].number + 1 if before.migrations else 1
                migration = replace(ordered, number=number, version=definition.version)
                check_migration(migration, definition, earlier)
                migrations = (*before.migrations, migration)[-_MOST_MIGRATIONS:]
                after = replace(after, migrations=migrations)
                if steps := tuple(migration.steps):
                    people = _people(catalogue, after, now)
                    edit.sweeps.append(
                        people._replace(oldest_version=migration.oldest_version, step_ids=steps)
                    )
            if after == before:
                return before, None
            after = replace(after, edit=before.edit + 1, update_time=now)
            edit.journeys.append(after)
            return after, None if validate_only else edit

        return await self._decided(decide)

    async def pause(self, journey_id: str, paused: bool) -> JourneyRecord:
        """Stop a journey, or let it go on; nobody moves wrongly after the answer."""
        state = "paused" if paused else "active"

        def decide(catalogue: Catalogue) -> tuple[JourneyRecord, Edit | None]:
            before = journey_of(catalogue, journey_id)
            if before.state == "archived":
                raise JourneyArchived(journey_id)
            if before.state == state:
                return before, None
            now = self._clock.now()
            after = replace(before, state=state, edit=before.edit + 1, update_time=now)
            # Who is to go on is looked at; who is to stand still does by himself.
            sweeps = [] if paused else [_people(catalogue, after, now)]
            return after, Edit(journeys=[after], sweeps=sweeps)

        made, _ = await self._decided(decide)
        return made

    async def archive(self, journey_id: str, etag: str) -> tuple[JourneyRecord, int]:
        """End a journey; returns it, and how many people are taken out."""
        now = self._clock.now()

        def decide(catalogue: Catalogue) -> tuple[JourneyRecord, Edit | None]:
            before = journey_of(catalogue, journey_id)
            if before.state == "archived":
                return before, None
            check_etag(etag, before.edit)
            if users := _users(catalogue, journey_id):
                raise JourneyInUse(journey_id, users)
            after = replace(
                before, state="archived", edit=before.edit + 1, update_time=now, archive_time=now
            )
            people = _people(catalogue, after, now)
            return after, Edit(journeys=[after], sweeps=[people, people._replace(work="cancel")])

        return await self._decided(decide)

    def _check(self, catalogue: Catalogue, journey: JourneyRecord) -> list[Expression]:
        """All its expressions; raises what is wrong with it."""
        definition = journey.definition
        check_texts("journey", definition.name, journey.display_name, journey.description)
        check_labels("journey", journey.labels)
        check_steps(definition.steps)
        return self._expressions(catalogue, definition)

    def _read_for(
        self, catalogue: Catalogue, edit: Edit, expressions: Sequence[Expression]
    ) -> None:
        """What the expressions look at is read from history, unless there is none."""
        if catalogue.contacts and any(one.history or one.attributes for one in expressions):
            edit.backfills.append(backfill_of("", 0, expressions, self._clock.now()))

    def _expressions(self, catalogue: Catalogue, definition: JourneyDefinition) -> list[Expression]:
        found: list[Expression] = []

        def compiled(path: str, source: str, wanted: str) -> Expression:
            if len(source) > _LONGEST:
                raise FieldInvalid(path, f"over {_LONGEST} characters", limit=str(_LONGEST))
            found.append(
                self._sources.compile(catalogue, path, source, None, wanted, (PARAMETERS,))
            )
            return found[-1]

        if definition.key:
            key = compiled("journey.key", definition.key, "")
            if key.events or key.attributes or key.segments or key.consents:
                raise FieldInvalid("journey.key", "looks at more than `parameters`")
        for field in ("goal", "exit_condition"):
            if source := getattr(definition, field):
                compiled(f"journey.{field}", source, "bool")
        for number, step in enumerate(definition.steps):
            for field, source in step.sources:
                compiled(f"journey.steps[{number}].{field}", source, "bool")
        for number, action in definition.actions:
            path = f"journey.steps[{number}].action"
            if isinstance(action, StartAction) and action.journey_id == definition.journey_id:
                path = f"{path}.start.journey_id"
                raise FieldInvalid(
                    path,
                    "the journey itself; give it a restart_duration, or go back to an earlier step",
                )
            found += check_action(
                self._sources, self._webhooks, catalogue, action, path, None, (PARAMETERS,)
            )
        return found


def _people(catalogue: Catalogue, journey: JourneyRecord, now: datetime) -> Sweep:
    """Everybody in a journey is looked at."""
    journey_id = journey.definition.journey_id
    return Sweep(journey_id, catalogue.generation + 1, "people", milliseconds_of(now))


def _users(catalogue: Catalogue, journey_id: str) -> list[str]:
    """Triggers and journeys that start it."""
    triggers = [
        one.definition.name
        for one in catalogue.triggers.values()
        if one.state != "archived"
        and isinstance(one.definition.action, StartAction)
        and one.definition.action.journey_id == journey_id
    ]
    journeys = [
        one.definition.name
        for one in catalogue.journeys.values()
        if one.state != "archived" and one.definition.starts(journey_id)
    ]
    return triggers + journeys
