"""Random rules over random lives, told late, twice and out of order to an engine that is stopped
and edited meanwhile: what it says against the language's slow, obvious oracle."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from expressions.oracle import Happening as Told
from expressions.oracle import Oracle, Person
from services.segment.engine.membership import decide, pass_time
from services.segment.engine.model import (
    AttributeFact,
    ConsentFact,
    Happening,
    Past,
    SegmentDefinition,
    Transition,
)
from services.segment.engine.outcome import Outcome
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.vocabulary import registry

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_START: Final = 1_774_656_000_000  # 2026-03-28 00:00 UTC, a day before clocks change in Europe
_STEP: Final = 30 * _MINUTE
_STEPS: Final = 100
_WINDOWS: Final = {"30m": _STEP, "1h": _HOUR, "90m": 3 * _STEP, "6h": 6 * _HOUR, "1d": 24 * _HOUR}
_ZONES: Final = ("UTC", "Europe/Istanbul", "Europe/Berlin", "Asia/Kathmandu")
_CONTACT: Final = str(UUID(int=7))
_NAMES: Final = ("product_viewed", "order_completed", "cart_updated", "message_read")
_KINDS: Final = (*_NAMES, "city", "plan", "age", "zone", "consent")
_TEXTS: Final = ("a", "b", "c")
_GUARDED: Final = {"product_viewed": "category", "message_read": "campaign_id"}


class Lottery:
    """Draws rules and lives; the same of the same seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def rule(self, others: Sequence[str], depth: int = 2) -> str:
        """A condition; it may use the segments `others`."""
        chance = self.chance
        if depth and chance.random() < 0.55:
            left, right = (self.rule(others, depth - 1) for _ in range(2))
            return chance.choice((f"({left} && {right})", f"({left} || {right})", f"!({left})"))
        if others and chance.random() < 0.12:
            return f'segment("{chance.choice(others)}")'
        return chance.choice((self._did, self._did, self._is, self._when))()

    def _chain(self, name: str) -> str:
        chance = self.chance
        found = f'events("{name}")'
        if chance.random() < 0.5:
            found += f".where(e, {self._of(name)})"
        if chance.random() < 0.75:
            found += f'.within("{chance.choice([*_WINDOWS])}")'
        return found

    def _of(self, name: str) -> str:
        chance = self.chance
        if name in _GUARDED:
            prop, text = _GUARDED[name], chance.choice(_TEXTS)
            return chance.choice(
                (
                    f'e.{prop} == "{text}"',
                    f'e.{prop} in ["a", "{text}"]',
                    f'e.{prop} != "{text}"',
                    f'e.{prop} == "{text}" && e.time > now() - duration("6h")',
                    f'e.{prop} == "{text}" || has(e.brand)',
                )
            )
        return f"e.total {chance.choice(('>', '<=', '=='))} {chance.randrange(4)}.0"

    def _did(self) -> str:
        chance = self.chance
        name = chance.choice(_NAMES)
        chain = self._chain(name)
        window = chance.choice([*_WINDOWS])
        other = chance.choice([one for one in _NAMES if one != name])
        return chance.choice(
            (
                f"{chain}.exists()",
                f"{chain}.count() {chance.choice(('>=', '<', '==', '>'))} {chance.randrange(4)}",
                f"{self._chain('order_completed')}.sum(e, e.total) >= {chance.randrange(6)}.0",
                f"{self._chain('product_viewed')}.last().price > {chance.randrange(4)}.0",
                f"{self._chain('product_viewed')}.distinct(e, e.category) == {chance.randrange(3)}",
                f'sequence("{name}", "{other}").within("{window}")',
                f'sequence("{name}", "{other}").notWithin("{window}")',
                f'now() - {chain}.last().time > duration("{window}")',
            )
        )

    def _is(self) -> str:
        chance = self.chance
        text = chance.choice(_TEXTS)
        return chance.choice(
            (
                f'profile.city == "{text}"',
                f'profile.city != "{text}"',
                f'profile.plan in ["{text}", "b"]',
                "has(profile.plan)",
                f'has(profile.plan) && profile.plan in ["{text}", "d"]',
                f'profile.plan in ["a", "b"] && profile.plan != "{text}"',
                f'profile.plan == "{text}" ? profile.city == "a" : profile.city != "{text}"',
                f'profile.city == "{text}" && profile.plan == "{text}"',
                "profile.city == profile.plan",
                f"profile.age >= {chance.randrange(5)}",
                'consent("marketing")',
            )
        )

    def _when(self) -> str:
        chance = self.chance
        return chance.choice(
            (
                f"localTime().hour >= {chance.randrange(24)}",
                "localTime().weekday in [6, 7]",
                "localTime().day == 29",
            )
        )

    def life(self) -> list[Happening]:
        """What happens to one contact, in order; times often meet the edges of windows."""
        chance = self.chance
        found: dict[tuple[str, int], Happening] = {}
        for _ in range(chance.randrange(2, 26)):
            kind = chance.choice(_KINDS)
            edge = chance.choice((0, 0, 0, 1, -1))
            time = _START + chance.randrange(_STEPS) * _STEP + edge
            found[kind, time] = self._happening(kind, time, f"{kind}/{time}")
        return sorted(found.values(), key=lambda h: h.time)

    def _happening(self, kind: str, time: int, event_id: str) -> Happening:
        chance = self.chance
        given = {"event_id": event_id, "contact_id": _CONTACT, "time": time}
        if kind in _NAMES:
            text = chance.choice((*_TEXTS, "d", None))
            properties = {
                "price": chance.randrange(5),
                "total": chance.randrange(5),
                **({_GUARDED[kind]: text} if kind in _GUARDED and text else {}),
                **({"brand": "x"} if chance.random() < 0.2 else {}),
            }
            return Happening(**given, name=kind, properties=properties)  # type: ignore[arg-type]
        if kind == "consent":
            until = chance.choice((None, None, time + chance.randrange(1, 40) * _STEP))
            fact = ConsentFact("marketing", chance.random() < 0.7, time, until)
            return Happening(**given, name="consent_changed", consents=(fact,))  # type: ignore[arg-type]
        values = {"age": range(6), "zone": _ZONES}.get(kind, (*_TEXTS, "d", None))
        fact_of = AttributeFact(kind, chance.choice(values), time)
        return Happening(**given, name="identified", attributes=(fact_of,))  # type: ignore[arg-type]


@dataclass
class Engine:
    """Applies batches as the store does: each event once, the state kept as bytes, so that every
    step is a restart."""

    rules: Rules
    kept: bytes = b""
    seen: dict[str, Happening] = field(default_factory=dict)
    said: list[Transition] = field(default_factory=list)

    @property
    def states(self) -> dict[str, ContactState]:
        """As read from the database."""
        return {_CONTACT: ContactState.from_bytes(self.kept) if self.kept else ContactState()}

    def take(self, batch: Iterable[Happening], now: int) -> None:
        """Events come."""
        fresh = {h.event_id: h for h in batch if h.event_id not in self.seen}
        self.seen |= fresh
        # As the service, but for what makes a contact known at all.
        news = [h for h in fresh.values() if not self.kept or self.rules.concerned(h)]
        self._keep(decide(self.rules, self.states, news, now, now))

    def let_time_pass(self, now: int) -> None:
        """A timer falls due, or a batch of everybody is looked at."""
        if self.kept:
            self._keep(pass_time(self.rules, self.states, now, now))

    def recall(self, now: int) -> None:
        """History is read, as profile tells it: events, and what stands of the facts."""
        life = sorted(self.seen.values(), key=lambda h: h.time)
        facts = {f.name: f for h in life for f in h.attributes}
        bare = tuple(
            Happening(h.event_id, h.contact_id, h.time, h.name, h.properties) for h in life
        )
        past = Past(
            _CONTACT, bare, tuple(facts.values()), tuple(c for h in life for c in h.consents)
        )
        self._keep(pass_time(self.rules, self.states, now, now, {_CONTACT: past}))

    def _keep(self, outcome: Outcome) -> None:
        self.said += outcome.transitions
        if _CONTACT in outcome.states:
            self.kept = outcome.states[_CONTACT].to_bytes()

    def members(self) -> set[str]:
        """Names of the segments that the contact is in."""
        standings = self.states[_CONTACT].standings
        return {self.rules.segments[i].name for i, s in standings.items() if s.member}

    def told(self) -> set[str]:
        """The same by what was said; it also must have been said in turn."""
        last: dict[str, Transition] = {}
        for one in self.said:
            before = last.get(one.segment_id)
            if one.entered == (before is not None and before.entered):
                return {f"{one.segment_id} was said twice"}
            if before is not None and one.time <= before.time:
                return {f"{one.segment_id} was said out of order"}
            last[one.segment_id] = one
        return {self.rules.segments[i].name for i, one in last.items() if one.entered}


class Truth:
    """Who belongs where by the oracle."""

    def __init__(self) -> None:
        self._registry = registry()
        self._oracles: dict[str, Oracle] = {}

    def members(self, sources: Mapping[str, str], life: Iterable[Happening], now: int) -> set[str]:
        """Of segments by name, each after those that it uses; from all that happened by `now`."""
        past = sorted((h for h in life if h.time <= now), key=lambda h: h.time)
        attributes = {f.name: f.value for h in past for f in h.attributes}
        consents = {"utility": True, "authentication": True, "service": True}
        for consent in (c for h in past for c in h.consents):
            over = consent.expire is not None and consent.expire <= now
            consents[consent.purpose] = consent.granted and not over
        told = tuple(Told(h.name, h.time, h.properties) for h in past)
        known = {n: v for n, v in attributes.items() if v is not None}
        zone = str(known.get("zone", "UTC"))
        members: set[str] = set()
        for name, source in sources.items():
            if source not in self._oracles:
                self._oracles[source] = Oracle(source, self._registry)
            person = Person(known, consents, frozenset(members), zone, told)
            if self._oracles[source].evaluate(person, now) is True:
                members.add(name)
        return members


@dataclass
class Verdict:
    """How often the engine was compared, and what differed."""

    checks: int = 0
    differences: list[str] = field(default_factory=list)


def compare(seed: int, verdict: Verdict) -> None:
    """One set of rules, one life, many instants."""
    lottery = Lottery(seed)
    chance, truth = lottery.chance, Truth()
    sources: dict[str, str] = {}
    for number in range(6):
        sources[f"s{number}"] = lottery.rule([*sources])
    versions = dict.fromkeys(sources, 1)
    compiler = Compiler(registry())
    engine = Engine(_rules(1, sources, versions, {}, compiler))
    life = lottery.life()
    queue = _delivered(life, chance)
    edit_at = chance.randrange(len(queue) + 8)
    now = _START - 1
    while queue:
        size = chance.randrange(1, 5)
        batch, queue = queue[:size], queue[size:]
        now = max(now, *(h.time for h in batch)) + chance.choice((0, 0, 1, 500, _STEP))
        engine.take(batch, now)
        if chance.random() < 0.2:
            engine.let_time_pass(now)
        if queue and len(queue) <= edit_at:
            edit_at = -1
            _edit(lottery, engine, sources, versions, compiler, now)
        for instant in _instants(engine.seen.values(), now, chance, 1 if queue else 12):
            if queue and instant > queue[0].time + 6 * _HOUR:
                break
            now = max(now, instant)
            engine.let_time_pass(now)
            wanted = truth.members(sources, engine.seen.values(), now)
            verdict.checks += len(sources)
            for said in (engine.members(), engine.told()):
                if said != wanted:
                    verdict.differences.append(
                        f"seed {seed} at {now}: {sorted(said ^ wanted)} of {sources}"
                    )


def _delivered(life: list[Happening], chance: random.Random) -> list[Happening]:
    """How events come: mostly in order, some late, some twice."""
    keyed = [(h.time + chance.choice((0, 0, 0, _HOUR, 9 * _HOUR, 40 * _HOUR)), h) for h in life]
    keyed += [(at + chance.randrange(20 * _HOUR), h) for at, h in keyed if chance.random() < 0.3]
    return [h for _, h in sorted(keyed, key=lambda pair: pair[0])]


def _instants(life: Iterable[Happening], now: int, chance: random.Random, most: int) -> list[int]:
    """The present, and later instants at which something may change, or just not yet."""
    edges = {
        h.time + window + off
        for h in life
        for window in (0, *_WINDOWS.values())
        for off in (-1, 0, 1)
    }
    edges |= {now - now % _HOUR + hours * _HOUR for hours in (1, 2, 9)}
    later = [edge for edge in edges if edge > now]
    return [now, *sorted(chance.sample(sorted(later), min(most, len(later))))]


def _rules(
    generation: int,
    sources: Mapping[str, str],
    versions: Mapping[str, int],
    since: Mapping[str, int],
    compiler: Compiler,
    pending: SegmentDefinition | None = None,
) -> Rules:
    live = [
        SegmentDefinition(f"seg_{n}", n, versions[n], source, True, since.get(n, 0))
        for n, source in sources.items()
    ]
    return Rules(generation, [*live, *([pending] if pending else [])], (), compiler)


def _edit(
    lottery: Lottery,
    engine: Engine,
    sources: dict[str, str],
    versions: dict[str, int],
    compiler: Compiler,
    now: int,
) -> None:
    """A segment gets another rule, as a backfill brings it about: its history is kept, then read,
    then it is in force."""
    name = lottery.chance.choice([*sources])
    rule = lottery.rule([other for other in sources if other < name])
    version = versions[name] + 1
    pending = SegmentDefinition(f"seg_{name}", name, version, rule, False)
    generation = engine.rules.generation
    engine.rules = _rules(generation + 1, sources, versions, {}, compiler, pending)
    engine.recall(now)
    sources[name], versions[name] = rule, version
    engine.rules = _rules(generation + 2, sources, versions, {name: generation + 2}, compiler)
    engine.let_time_pass(now)


def search(seeds: Iterable[int], most: int) -> Verdict:
    """Compare until `most` checks were made, or a few differences found."""
    verdict = Verdict()
    for seed in seeds:
        compare(seed, verdict)
        if verdict.checks >= most or len(verdict.differences) > 20:
            break
    return verdict
