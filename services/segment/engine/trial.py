"""A trigger on trial: what of the past it has to be shown. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from msgspec.structs import replace

from chassis.failures import FieldInvalid
from services.segment.engine.actions import Action, SendAction, StartAction
from services.segment.engine.causes import (
    STAGE_CHANGED,
    CatalogCause,
    DateCause,
    SeasonCause,
    SegmentCause,
    WeatherCause,
)
from services.segment.engine.definitions import window_of
from services.segment.engine.model import SegmentDefinition, TriggerDefinition
from services.segment.engine.places import Places
from services.segment.engine.rules import Compiler, Rules, TriggerRule
from services.segment.engine.stages import STAGE
from services.segment.failures import SegmentNotEvaluated

CREATED: Final = "contact_created"
_LOCATED: Final = ("location_pinged", "message_received")
_BESIDES: Final = frozenset({"zone", STAGE})
"""Somebody was in some zone before, and where somebody stood is told by events."""
_APART_MS: Final = 60_000  # our clock and profile's


@dataclass(frozen=True, slots=True)
class Trial:
    """A trigger and the segments it uses, over a span of time: from `start` up to `end` (ms)."""

    rules: Rules
    start: int
    end: int
    deciding: frozenset[str]
    """Attributes that say when it is caused: they hold since they changed. Of all others, whose
    past nobody knows, the present value holds from the beginning."""

    @property
    def trigger(self) -> TriggerRule:
        """What is tried."""
        (found,) = self.rules.triggers.values()
        return found

    @property
    def names(self) -> list[str]:
        """The events to be shown, with the one that says since when a contact is there."""
        names = {CREATED, *self._spans()}
        if STAGE in self.rules.needs.attributes():
            names.add(STAGE_CHANGED)
        return sorted(names)

    @property
    def since(self) -> int | None:
        """From when on (ms) they are to be shown; None is always."""
        spans = self._spans().values()
        if self.rules.by_place or None in spans:
            return None  # where somebody was at the start may have been told long before it
        return self.start - max((span for span in spans if span is not None), default=0)

    def missing(self, oldest: Mapping[str, int]) -> tuple[str, int] | None:
        """What is wrong, in words, where events are kept only from `oldest` (ms) on, and the first
        start (ms) for which it is not; None when enough is kept."""
        found: list[tuple[str, int]] = []
        for name, span in self._spans().items():
            if name not in oldest:
                continue
            if span is None:
                problem = f"the trigger looks at {name} of any age, and those are not all kept"
                found.append((f"{problem}; say how old with within(…)", oldest[name]))
            elif oldest[name] + span > self.start + _APART_MS:
                problem = f"{name} is not kept for as long as the trigger looks back"
                found.append((f"{problem}; begin later", oldest[name] + span))
        return max(found, key=itemgetter(1), default=None)

    def _spans(self) -> dict[str, int | None]:
        """By event, how long (ms) before the start it is looked at; None is always."""
        trigger, rules = self.trigger, self.rules
        spans: dict[str, int | None] = dict.fromkeys(rules.by_event, 0)
        if rules.by_place:
            spans |= dict.fromkeys(_LOCATED, 0)
        if trigger.cancel is not None:  # it is asked of what happened since the cause
            spans |= dict.fromkeys(trigger.cancel.history, 0)
        own = [one for one in (trigger.condition, trigger.key) if one is not None]
        used = [rule.expression for rule in rules.segments.values()]
        for expression in (*own, *trigger.action.expressions, *used):
            for name, need in expression.history.items():
                before, window = spans.get(name, 0), window_of(need)
                spans[name] = None if before is None or window is None else max(before, window)
        return spans


def trial(
    definition: TriggerDefinition,
    segments: Iterable[SegmentDefinition],
    compiler: Compiler,
    places: Places,
    start: int,
    end: int,
) -> Trial:
    """A trigger, as it is today but acting and of old, with the segments it uses.

    Raises `FieldInvalid` for one that looks at what is not kept, and `SegmentNotEvaluated`.
    """
    if isinstance(definition.cause, WeatherCause):
        raise FieldInvalid(
            "trigger.weather",
            "former weather is not kept, so it cannot be replayed; make the trigger paused and see"
            " who waits for it, with ListOccurrences",
        )
    if isinstance(definition.cause, CatalogCause):
        raise FieldInvalid(
            "trigger.catalog",
            "former changes of the catalogue are not kept, so they cannot be replayed; make the"
            " trigger paused and see who waits for it, with ListOccurrences",
        )
    tried = replace(
        definition, action=_idle(definition.action), paused=False, since=0, start=0, latest=True
    )
    used = list(segments)
    rules = Rules(1, used, [tried], compiler, places)
    if rules.frozen:
        raise SegmentNotEvaluated(next(iter(rules.frozen)))
    if rules.weather:
        raise FieldInvalid(
            "trigger",
            "it looks at weather(), and only the present one is kept; leave that out to test it",
        )
    return Trial(rules, start, end, frozenset(_deciding(rules, tried)) - _BESIDES)


def _idle(action: Action) -> Action:
    """An action with the same values, that starts nobody on a journey."""
    return SendAction("", action.parameters) if isinstance(action, StartAction) else action


def _deciding(rules: Rules, definition: TriggerDefinition) -> Iterable[str]:
    match definition.cause:
        case DateCause(attribute_name=name):
            return [name]
        case SegmentCause(segment_id=caused):
            used = rules.upstream([caused])
        case SeasonCause():
            used = rules.upstream([definition.trigger_id])
        case _:
            return []
    return [name for one in used for name in rules.segments[one].expression.attributes]
