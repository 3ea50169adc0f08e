"""Who belongs where, now: what happens and what time does become memberships and signals."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from services.segment.engine.journeys.model import Journeys
from services.segment.engine.model import (
    Happening,
    Occurrence,
    Past,
    SegmentDefinition,
    Sweep,
    TriggerDefinition,
)
from services.segment.engine.outcome import Ending, Outcome
from services.segment.engine.places import Places
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.engine.timeline import Walk
from services.segment.engine.triggers import deed_of, fired, withheld
from services.segment.engine.unmoved import Unmoved

LATE: Final = 60_000
"""How long (ms) after a merge something may still come under the id that was absorbed."""
_TIME: Final = attrgetter("time")
BATCH: Final = 500
"""Contacts or occurrences handled in one transaction when time has come."""
SCAN: Final = 1_000
"""Contacts looked at in one transaction when rules are new."""


class RulesChanged(Exception):
    """The definitions are of another generation than those that were used: load them again."""


class Stretch(NamedTuple):
    """Contacts that stand side by side."""

    last: str
    size: int


States = Mapping[str, ContactState]
Decide = Callable[[States, Sequence[int]], Outcome]
"""From the contacts' states and the positions of what was not seen before."""


class Store(Protocol):
    """What this needs kept. Every method is one transaction, which begins with a check that the
    rules are of `generation`; else it raises `RulesChanged` and nothing happened."""

    @property
    def places(self) -> Places:
        """Those there are with the definitions last read."""
        ...

    @property
    def journeys(self) -> Journeys:
        """Those there are with the definitions last read."""
        ...

    async def definitions(
        self,
    ) -> tuple[int, Sequence[SegmentDefinition], Sequence[TriggerDefinition]]:
        """The generation and what is in force with it."""
        ...

    async def apply(
        self,
        generation: int,
        event_ids: Sequence[str],
        contacts: Sequence[Sequence[str]],
        decide: Decide,
        make: bool = True,
    ) -> int | None:
        """Decide on events not seen before, each with its contacts, or, without event ids, on the
        contacts; those not known are made, or left out. Returns the earliest instant that is now
        due."""
        ...

    async def apply_due(self, generation: int, now: int, limit: int, decide: Decide) -> int:
        """Decide on contacts whose time has come; returns how many they were."""
        ...

    async def recall(self, generation: int, contact_ids: Collection[str], decide: Decide) -> None:
        """Decide on contacts, whether they are known or not."""
        ...

    async def apply_from(
        self,
        generation: int,
        after: str,
        limit: int,
        stays: Callable[[ContactState], bool],
        decide: Decide,
    ) -> Stretch | None:
        """Decide on contacts behind `after`, in order of id, except those that other rules leave
        as they are; returns how far that goes, None at the end."""
        ...

    async def sweep(self, generation: int, sweep: Sweep, limit: int, decide: Decide) -> bool:
        """Decide on a batch of the people whom a sweep concerns and whom nothing has brought up to
        its edit yet; whether there may be more."""
        ...

    async def rebuild(
        self, generation: int, contact_id: str, before: bytes, decide: Decide
    ) -> bool:
        """Decide on a contact that is to be made anew if its state is stored as it was before;
        returns whether it was."""
        ...

    async def fire_due(
        self,
        generation: int,
        now: int,
        limit: int,
        trigger_ids: Sequence[str],
        decide: Callable[[Occurrence, ContactState], Ending | None],
    ) -> int:
        """Decide on occurrences of these triggers whose time has come, of each trigger's the
        oldest; returns how many."""
        ...

    async def next_due(self, trigger_ids: Sequence[str]) -> int | None:
        """The earliest instant at which a contact or an occurrence is due."""
        ...


def decide(
    rules: Rules, states: States, happenings: Collection[Happening], now: int, oldest_cause: int
) -> Outcome:
    """What happenings, in the order they came, change. Pure.

    A contact's own are taken in order of time, those of the whole batch together; a merge parts
    what came before from what comes after it.
    """
    outcome = Outcome()
    known = dict(states)
    # What else was accepted until then, but not later, is known of these contacts.
    heard = min(now, max((h.received or now for h in happenings), default=now))
    walks: dict[str, Walk] = {}
    waiting: dict[str, list[Happening]] = {}

    def walk(contact_id: str) -> Walk:
        walked = walks.get(contact_id)
        if walked is None:
            state = known.get(contact_id)
            if state is None:
                state = known[contact_id] = ContactState()
            walked = walks[contact_id] = Walk(rules, contact_id, state, now, oldest_cause)
        return walked

    def flush(contact_id: str) -> None:
        if own := waiting.pop(contact_id, None):
            walked = walk(contact_id)
            for one in sorted(own, key=_TIME) if len(own) > 1 else own:
                walked.happen(one)

    def drop(contact_id: str) -> ContactState:
        flush(contact_id)
        if gone := walks.pop(contact_id, None):
            outcome.take(gone)
        outcome.gone.add(contact_id)
        outcome.stages.pop(contact_id, None)
        return known.pop(contact_id, None) or ContactState()

    for happening in happenings:
        contact_id = happening.contact_id
        if happening.absorbed:
            flush(contact_id)
            other = drop(happening.absorbed)
            outcome.rebuilds[happening.absorbed] = now + LATE
            outcome.hand_over(happening.absorbed, contact_id)
            walk(contact_id).absorb(other, happening)
        elif happening.parted:
            for one in (happening.parted, contact_id):
                flush(one)
            other_walk = walk(happening.parted)
            outcome.take(other_walk)
            walk(contact_id).receive(other_walk, happening)
            outcome.parted.append(happening)
            outcome.rebuilds |= {contact_id: now, happening.parted: now}
        elif happening.restricted is not None:
            flush(contact_id)
            walked = walk(contact_id)
            if happening.restricted and not walked.state.restricted:
                walked.restrict(happening)
            elif walked.state.restricted and not happening.restricted:
                outcome.rebuilds[contact_id] = now
        else:
            waiting.setdefault(contact_id, []).append(happening)
    for contact_id in list(waiting):
        flush(contact_id)
    for contact_id, walked in walks.items():
        walked.advance(heard)
        walked.tidy()
        outcome.take(walked)
        if walked.state.changed:
            outcome.states[contact_id] = walked.state
    return outcome


def pass_time(
    rules: Rules,
    states: States,
    now: int,
    oldest_cause: int,
    past: Mapping[str, Past] | None = None,
    until: int | None = None,
) -> Outcome:
    """What time alone, new rules, and what is recalled of the `past` change by `now`, or by an
    earlier instant `until` which all that happened is known. Pure."""
    outcome = Outcome()
    until = now if until is None else until
    for contact_id, state in states.items():
        walked = Walk(rules, contact_id, state, now, oldest_cause)
        if past is not None:
            walked.recall(past[contact_id])
        walked.advance(until)
        walked.catch_up(until)
        walked.advance(until)
        walked.tidy()
        outcome.states[contact_id] = state
        outcome.take(walked)
    return outcome


def fall_due(rules: Rules, occurrence: Occurrence, state: ContactState, now: int) -> Ending | None:
    """What becomes of an occurrence that is due; None while its contact is not that far. Pure."""
    if state.restricted:
        return Ending(withheld(occurrence, now))
    trigger = rules.version(occurrence.trigger_id, occurrence.trigger_version)
    behind = state.next_due()
    if trigger is None or (behind is not None and behind <= occurrence.due_time):
        return None
    ended = fired(trigger, occurrence, state.facts, now)
    return Ending(ended, deed_of(trigger, ended))


def stand(rules: Rules, state: ContactState, now: int) -> ContactState:
    """A state as time has made it by `now`, for looking at. Pure, but for `state` itself."""
    walked = Walk(rules, "", state, now)
    if state.clock == 0:
        walked.recall(Past(""))
    walked.advance(now)
    walked.catch_up(now)
    return state


class Membership:
    """The rules in force and the contacts they are applied to."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        compiler: Compiler,
        trigger_max_age_s: float,
        heard: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """`heard`: until when (ms) all that happened is known here. Time passes no further, so that
        after an outage nothing falls due before what happened earlier was heard of."""
        self._heard = heard
        self._store = store
        self._clock = clock
        self._compiler = compiler
        self._max_age = int(trigger_max_age_s * 1000)
        self.rules = Rules(-1, (), (), compiler)
        self.earliest: int | None = None
        """The earliest instant known to be due; it may be over."""
        self.sooner = asyncio.Event()
        """Set when that comes sooner than was known."""

    @property
    def now(self) -> int:
        """The present instant."""
        return milliseconds_of(self._clock.now())

    async def reload(self) -> None:
        """Take the definitions that are in force now."""
        generation, segments, triggers = await self._store.definitions()
        if generation != self.rules.generation:
            self.rules = Rules(
                generation,
                segments,
                triggers,
                self._compiler,
                self._store.places,
                self._store.journeys,
            )

    @property
    def oldest_cause(self) -> int:
        """What was before this instant when it became known causes nothing."""
        return self.now - self._max_age

    async def process(
        self,
        read: Callable[[Rules], Sequence[Happening]],
        remembered: bool = True,
        make: bool = True,
    ) -> Mapping[str, str]:
        """Apply what happened, each once, with everything that follows from it; returns why
        journeys that somebody asked for did not start, by what they would have followed from.

        `read` gives it with all that the rules look at. What makes no difference when it is
        applied again needs not be `remembered`. `make`: also to contacts that are not known yet,
        or not any more.
        """
        while True:
            rules, now = self.rules, self.now
            refused: dict[str, str] = {}
            happenings = read(rules)
            ids = [h.event_id for h in happenings] if remembered else []
            contacts = [
                [one for one in (h.contact_id, h.absorbed, h.parted) if one] for h in happenings
            ]

            def decided(
                states: States,
                fresh: Sequence[int],
                rules: Rules = rules,
                now: int = now,
                happenings: Sequence[Happening] = happenings,
                refused: dict[str, str] = refused,
            ) -> Outcome:
                news = [happenings[i] for i in fresh] if remembered else happenings
                if not make:
                    news = [one for one in news if one.contact_id in states]
                outcome = decide(rules, states, news, now, now - self._max_age)
                refused.update(outcome.refused)
                return outcome

            try:
                due = await self._store.apply(rules.generation, ids, contacts, decided, make)
            except RulesChanged:
                await self.reload()
                continue
            if due is not None and (self.earliest is None or due < self.earliest):
                self.earliest = due
                self.sooner.set()
            return refused

    async def unite(self, contact_id: str, absorbed_id: str) -> None:
        """Take up what came, after a merge, under the id that was absorbed by it."""
        merge = Happening(
            event_id="",
            contact_id=contact_id,
            time=self.now,
            name="contact_merged",
            absorbed=absorbed_id,
            received=self.now,
        )
        await self.process(lambda _: [merge], remembered=False)

    async def pass_time(self) -> int:
        """Handle a batch of what has come due; returns how many there were."""
        while True:
            rules, now = self.rules, self.now
            heard = now if self._heard is None else min(now, await self._heard())

            def decided(
                states: States,
                _fresh: Sequence[int],
                rules: Rules = rules,
                now: int = now,
                heard: int = heard,
            ) -> Outcome:
                return pass_time(rules, states, now, now - self._max_age, until=heard)

            try:
                done = await self._store.apply_due(rules.generation, heard, BATCH, decided)
                return done + await self._fire(rules, now, heard)
            except RulesChanged:
                await self.reload()

    async def _fire(self, rules: Rules, now: int, heard: int) -> int:
        acting = active(rules)
        if not acting:
            return 0

        def decided(occurrence: Occurrence, state: ContactState) -> Ending | None:
            return fall_due(rules, occurrence, state, now)

        return await self._store.fire_due(rules.generation, heard, BATCH, acting, decided)

    async def look_ahead(self) -> int | None:
        """Find the earliest instant that will be due, and remember it."""
        self.earliest = await self._store.next_due(active(self.rules))
        return self.earliest

    async def recall(self, past: Mapping[str, Past]) -> None:
        """Take up what was known of contacts before."""
        while True:
            rules, now = self.rules, self.now

            def decided(
                states: States, _fresh: Sequence[int], rules: Rules = rules, now: int = now
            ) -> Outcome:
                return pass_time(rules, states, now, now - self._max_age, past)

            try:
                await self._store.recall(rules.generation, past.keys(), decided)
            except RulesChanged:
                await self.reload()
            else:
                return

    async def rebuild(self, contact_id: str, before: bytes, past: Past) -> bool:
        """Put what is told of a contact's past in the place of its state, if that is still what it
        was before; returns whether it was."""
        while True:
            rules, now = self.rules, self.now

            def decided(
                states: States, _fresh: Sequence[int], rules: Rules = rules, now: int = now
            ) -> Outcome:
                walked = Walk(rules, contact_id, states[contact_id], now)
                walked.rebuild(past)
                walked.tidy()
                outcome = Outcome(dict(states), anew={contact_id})
                outcome.take(walked)
                return outcome

            try:
                return await self._store.rebuild(rules.generation, contact_id, before, decided)
            except RulesChanged:
                await self.reload()

    async def sweep(self, sweep: Sweep) -> bool:
        """Bring a batch of the people whom an edit concerns up to the rules; whether there may be
        more."""
        while True:
            rules, now = self.rules, self.now

            def decided(
                states: States, _fresh: Sequence[int], rules: Rules = rules, now: int = now
            ) -> Outcome:
                return pass_time(rules, states, now, now - self._max_age)

            try:
                return await self._store.sweep(rules.generation, sweep, BATCH, decided)
            except RulesChanged:
                await self.reload()

    async def catch_up(self, after: str, floor: int) -> Stretch | None:
        """Bring a batch of contacts behind `after` up to the rules, those to whom these make a
        difference; returns how far that goes, None at the end. `floor`: as for `Unmoved`."""
        while True:
            rules, now = self.rules, self.now

            def decided(
                states: States, _fresh: Sequence[int], rules: Rules = rules, now: int = now
            ) -> Outcome:
                return pass_time(rules, states, now, now - self._max_age)

            stays = Unmoved(rules, now, floor).stays
            try:
                return await self._store.apply_from(rules.generation, after, SCAN, stays, decided)
            except RulesChanged:
                await self.reload()


def active(rules: Rules) -> list[str]:
    """Triggers that act."""
    return [i for i, rule in rules.triggers.items() if not rule.definition.paused]
