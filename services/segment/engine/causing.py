"""What the triggers make of one contact on its way through what happens. Pure.

Whatever happens, comes to hold, or is a moment of theirs, causes them; what waits is watched until
it is due, for its cancel condition may come to hold at any instant.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeAlias

from expressions import Event, Given
from services.segment.engine.actions import Deed, StartAction
from services.segment.engine.causes import DateCause, ScheduleCause
from services.segment.engine.journeys.model import Start
from services.segment.engine.model import Happening, Occurrence
from services.segment.engine.moments import Moment, next_dated, next_scheduled
from services.segment.engine.rules import Rules, TriggerRule
from services.segment.engine.state import Coming, ContactState, Waiting
from services.segment.engine.triggers import (
    Why,
    caused,
    comes_to_hold,
    crowded,
    deed_of,
    failed,
    fired,
    limited,
    once,
)
from services.segment.engine.ways import Ways

MOST_KEYS: Final = 1_000
"""Of one trigger and contact, 9 bytes each; of older ones only the same contact's are known, by the
ids of their occurrences."""
MOST_WAITING: Final = 500
"""Of one contact, that may be cancelled: each is asked about whenever something happens."""
_NOTHING: Final[Mapping[str, Mapping[str, Any]]] = {}


Weighed: TypeAlias = Callable[[TriggerRule, Why, Sequence[Occurrence]], None]


class Cancelled(NamedTuple):
    """A waiting occurrence whose cancel condition came to hold, and when."""

    contact_id: str
    occurrence_id: str
    instant: int


class Causing:
    """Collects what triggers make of one contact's walk."""

    __slots__ = (
        *("_contact_id", "_max_age", "_now", "_oldest", "_own", "_rules", "_state", "_ways"),
        *("cancelled", "deeds", "occurrences", "weighed"),
    )

    def __init__(
        self,
        rules: Rules,
        contact_id: str,
        state: ContactState,
        now: int,
        oldest_cause: int,
        ways: Ways,
    ) -> None:
        """What was older when it was accepted than `oldest_cause` is now causes nothing: so an
        import of history does not. What fell due while nobody looked does. The contact's `ways`
        are where journeys start."""
        self.occurrences: list[Occurrence] = []
        self.deeds: list[Deed] = []
        self.cancelled: list[Cancelled] = []
        self.weighed: Weighed | None = None
        """Hears of every cause and what came of it, for whoever asks why nothing did."""
        self._rules = rules
        self._contact_id = contact_id
        self._state = state
        self._own = state.triggers
        self._now = now
        self._max_age = now - oldest_cause
        looked = self._own.walked if state.clock else now
        self._oldest = min(looked, now) - self._max_age
        self._ways = ways

    def cause(
        self,
        trigger: TriggerRule,
        event: Event | None,
        cause_id: str,
        instant: int,
        happening: Happening | None,
        given: Given = _NOTHING,
    ) -> None:
        """Something caused a trigger at an instant."""
        if happening is None:
            if instant < self._oldest:
                return
            received, traceparent = instant, ""
        else:
            received, traceparent = happening.received or self._now, happening.traceparent
            if instant < received - self._max_age:
                return
        shared = "" if happening is None else happening.shared_cause
        why = Why(cause_id, instant, event, given, received, traceparent, shared)
        before = len(self.occurrences)
        occurrence = caused(trigger, self._contact_id, self._state.facts, why)
        if occurrence is not None and self._new(trigger, occurrence, cause_id):
            self._take(trigger, occurrence, why, happening)
        if self.weighed is not None:
            self.weighed(trigger, why, self.occurrences[before:])

    def happened(self, since: int, until: int) -> None:
        """Something changed at `since`, or time passed to it: what waits may be cancelled."""
        if not self._own.waiting:
            return
        for occurrence_id in list(self._own.waiting):
            self._watch(occurrence_id, since, until)

    def begin(self, instant: int) -> None:
        """The contact is looked at for the first time."""
        for trigger in self._rules.moments.values():
            self._plan(trigger, max(instant, self._oldest, trigger.definition.start))
        self._own.walked = self._now

    def catch_up(self) -> None:
        """The rules are others than those that the contact was last looked at with."""
        own, rules = self._own, self._rules
        for kept in (own.moments, own.recent, own.had):
            for gone in kept.keys() - rules.triggers.keys():
                del kept[gone]
        for trigger_id, trigger in rules.moments.items():
            coming = own.moments.get(trigger_id)
            if coming is None or coming.since != trigger.definition.since:
                self._renew(trigger, coming)

    def pass_moments(self, until: int) -> None:
        """Every moment until an instant that has not been yet."""
        for trigger_id in list(self._own.moments):
            while True:
                coming = self._own.moments[trigger_id]
                if coming.due is None or coming.due > until:
                    break
                trigger = self._rules.moments.get(trigger_id)
                if trigger is None:  # archived, or it no longer compiles
                    coming.due = None
                    self._state.moved()
                elif coming.since != trigger.definition.since:
                    self._renew(trigger, coming)
                else:
                    self._come(trigger, coming, coming.due)

    def moved(self, names: Iterable[str], after: int | None = None) -> None:
        """Attributes by which moments go are others: those behind `after` are other ones; None:
        all that have not been yet, as these are only now known."""
        for trigger_id in {i for name in names for i in self._rules.moved_by.get(name, ())}:
            coming = self._own.moments.get(trigger_id)
            if coming is not None:
                self._plan(
                    self._rules.moments[trigger_id], coming.after if after is None else after
                )

    def absorb(self, other: ContactState, instant: int) -> None:
        """Become one with another contact: what either had, the one has had."""
        own, theirs = self._own, other.triggers
        own.waiting |= theirs.waiting
        for trigger_id, times in theirs.recent.items():
            own.recent[trigger_id] = sorted(own.recent.get(trigger_id, []) + times)
        self.remember(other)
        for trigger_id, coming in theirs.moments.items():
            if trigger_id in own.moments:
                kept = own.moments[trigger_id]
                kept.last = max(kept.last, coming.last)
        self.moved(self._rules.moved_by, instant)

    def remember(self, other: ContactState) -> None:
        """Have had what another contact had."""
        for trigger_id, prints in other.triggers.had.items():
            known = self._own.had.get(trigger_id, [])
            self._own.had[trigger_id] = list(dict.fromkeys([*prints, *known]))[-MOST_KEYS:]
        self._state.moved()

    def restrict(self) -> None:
        """Nothing waits for anything any more; what was had is still had."""
        self._own.waiting = {}
        for coming in self._own.moments.values():
            coming.due = None
        self._state.moved()

    def rebuild(self, instant: int) -> None:
        """The contact is known anew: moments come from an instant on."""
        for trigger in self._rules.moments.values():
            self._plan(trigger, max(instant, trigger.definition.start))

    def tidy(self) -> None:
        """Forget what can make no difference any more."""
        own, clock = self._own, self._state.clock
        if self._state.changed:
            own.walked = max(own.walked, self._now)
        for over in [i for i, one in own.waiting.items() if one.due_time < clock]:
            del own.waiting[over]

    def _new(self, trigger: TriggerRule, occurrence: Occurrence, cause_id: str) -> bool:
        """Whether it is within the limits; takes note of it then, of others as limited."""
        own, definition = self._own, trigger.definition
        trigger_id, instant = definition.trigger_id, occurrence.cause_time
        mark = once(trigger, occurrence.key, cause_id)
        had, times = own.had.get(trigger_id, []), own.recent.get(trigger_id, [])
        period, reason = definition.period, ""
        if mark and _print(mark) in had:
            if not occurrence.key:
                return False
            reason = "the key had its occurrence"
        elif period and crowded(times, instant, period, definition.max_per_period):
            reason = "the period had as many as it may have"
        elif trigger.cancel is not None and self._waiting(instant) >= MOST_WAITING:
            reason = f"{MOST_WAITING} that may be cancelled wait for the contact already"
        if reason:
            self.occurrences.append(limited(occurrence, cause_id, reason, self._now))
            return False
        if period:
            oldest = max(instant, *times, 0) - 2 * period
            own.recent[trigger_id] = sorted([*(t for t in times if t > oldest), instant])
            self._state.moved()
        if mark:
            own.had[trigger_id] = [*had[-MOST_KEYS + 1 :], _print(mark)]
            self._state.moved()
        return True

    def _waiting(self, instant: int) -> int:
        return sum(one.due_time >= instant for one in self._own.waiting.values())

    def _take(
        self, trigger: TriggerRule, occurrence: Occurrence, why: Why, happening: Happening | None
    ) -> None:
        definition, occurrence_id = trigger.definition, occurrence.occurrence_id
        if not definition.delay and not definition.paused:
            occurrence = fired(trigger, occurrence, self._state.facts, self._now)
            deed = deed_of(trigger, occurrence)
            if deed is not None and isinstance(deed.action, StartAction):
                order = Start(deed.action.journey_id, occurrence_id, occurrence.parameters)
                started = self._ways.start(order, why.instant, happening)
                if started.reason:
                    occurrence = failed(occurrence, started.reason)
            elif deed is not None:
                self.deeds.append(deed)
        self.occurrences.append(occurrence)
        if occurrence.state == "waiting" and trigger.cancel is not None:
            named = trigger.cancel_names_event
            self._own.waiting[occurrence_id] = Waiting(
                definition.trigger_id,
                definition.version,
                why.instant,
                occurrence.due_time,
                dict(occurrence.properties) if named else {},
                dict(why.given),
            )
            self._state.moved()
            self._watch(occurrence_id, why.instant, max(why.instant, self._state.clock))

    def _watch(self, occurrence_id: str, since: int, until: int) -> None:
        waiting = self._own.waiting[occurrence_id]
        trigger = self._rules.version(waiting.trigger_id, waiting.version)
        if trigger is None or trigger.cancel is None:  # archived, or it no longer compiles
            waiting.next = None
            self._state.moved()
            return
        event = Event(waiting.cause_time, waiting.properties)
        why = Why("", waiting.cause_time, event, waiting.given)
        held, following = comes_to_hold(
            trigger.cancel,
            self._state.facts,
            why,
            max(since, waiting.cause_time),
            min(until, waiting.due_time),
        )
        if held is not None:
            del self._own.waiting[occurrence_id]
            times = self._own.recent.get(waiting.trigger_id, [])
            if waiting.cause_time in times:
                times.remove(waiting.cause_time)
            self.cancelled.append(Cancelled(self._contact_id, occurrence_id, held))
            self._state.moved()
            return
        if following is not None and following > waiting.due_time:
            following = None
        if waiting.next != following:
            waiting.next = following
            self._state.moved()

    def _renew(self, trigger: TriggerRule, coming: Coming | None) -> None:
        """The moments of a trigger are other ones since an edit; those before it were its own."""
        start = trigger.definition.start
        if coming is not None and coming.due is not None and coming.due < start:
            self._come(trigger, coming, coming.due)
        self._plan(trigger, start)

    def _come(self, trigger: TriggerRule, coming: Coming, instant: int) -> None:
        name = coming.name
        coming.last = max(coming.last, name)
        self._plan(trigger, instant)
        self.cause(trigger, None, name, instant, None)

    def _plan(self, trigger: TriggerRule, after: int) -> None:
        definition, facts = trigger.definition, self._state.facts
        known = self._own.moments.get(definition.trigger_id)
        last = known.last if known else ""
        found: Moment | None = None
        match definition.cause:
            case ScheduleCause() as cause:
                found = next_scheduled(cause, facts.zone, after, last)
            case DateCause(attribute_name=name) as cause:
                found = next_dated(cause, facts.attributes.get(name), facts.zone, after)
            case _:
                raise AssertionError("only timetables and dates have moments")
        self._own.moments[definition.trigger_id] = Coming(
            None if found is None else found.instant,
            "" if found is None else found.name,
            definition.since,
            after,
            last,
        )
        self._state.moved()


def _print(text: str) -> int:
    """63 bits by which what was had is known."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
