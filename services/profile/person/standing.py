"""Where a contact stands: the stage of the customer journey, and the level of engagement. Pure.

Both follow from the picture, from rules that hold for everybody, and from the present moment: the
same picture at the same moment gives the same stage, whatever order its events came in. When that
can next change with no event is told with it.

The level compares: high is the fifth of all people who do most with us, low is the two fifths who
do least. A contact at the border keeps the level it had, up to a quarter of a doubling beyond it,
since otherwise every event of others would move it back and forth. So of levels, and of nothing
else, the past counts.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from chassis.failures import FieldInvalid, Invalid
from expressions import Expression, ExpressionError, Facts, Registry, compile
from expressions.expression import Judge
from expressions.schema import reader
from services.profile.person import attributes, consent, traits, vocabulary
from services.profile.person.model import Document, Standing
from services.profile.person.traits import engagement
from services.profile.person.vocabulary import ENGAGEMENT, STAGE, AttributeType

CONSENT: Final = "consent"
"""Stands for any consent among the names of what changed."""
HIGH_SHARE: Final = 0.8
LOW_SHARE: Final = 0.4
"""Shares of everybody who does anything, below the border of a level."""
_MARGIN: Final = engagement.STEPS // 4
_MOST_RULES: Final = 50
_LONGEST: Final = 10_000
_STAGE: Final = re.compile(r"[a-z0-9_]{1,64}")


class ExpressionInvalid(Invalid):
    """An expression does not parse or check."""

    def __init__(self, field: str, error: ExpressionError) -> None:
        super().__init__(
            f"{field}: {error}",
            field=field,
            **error.facts,
        )


class StageRule(msgspec.Struct, frozen=True, array_like=True):
    """One stage and when a contact stands in it."""

    stage: str
    expression: str
    description: str = ""


class StageRules(msgspec.Struct, frozen=True, array_like=True):
    """The rules, tried in this order; the first that holds decides."""

    rules: tuple[StageRule, ...]
    default_stage: str


DEFAULT: Final = StageRules(
    (
        StageRule(
            "lapsed",
            'traits.order_count >= 1 && traits.last_order_time < now() - duration("180d")',
            "Bought before, and not for half a year",
        ),
        StageRule("loyalty", "traits.order_count >= 3", "Bought three times or more"),
        StageRule("purchase", "traits.order_count >= 1", "Bought"),
        StageRule(
            "consideration",
            "traits.cart_open || traits.click_count >= 1 || traits.message_count >= 1"
            " || has(traits.top_product)",
            "Wrote to us, tapped on a message, or looked at products",
        ),
    ),
    "awareness",
)
"""The rules until somebody writes others."""


class Borders(NamedTuple):
    """Scores of engagement from which a level begins."""

    medium: int
    high: int


class _Rule(NamedTuple):
    """A rule, compiled."""

    stage: str
    judge: Judge
    readings: tuple[tuple[str, Callable[[Document], Any]], ...]
    """What it looks at and the rules before it do not, and how that is read from a picture."""


class Rules:
    """The rules of stages, compiled, and the borders of levels."""

    def __init__(
        self,
        stages: StageRules,
        types: Iterable[AttributeType],
        borders: Borders | None,
        version: int = 0,
    ) -> None:
        """Raises `FieldInvalid` and `ExpressionInvalid`. `types`: of all attributes and traits."""
        _check(stages)
        types = list(types)
        self.stages = stages
        self.borders = borders
        self._version = version
        self.max_ages: Final = {one.name: one.max_age for one in types if one.max_age}
        """Attributes of which a stale value no longer counts → how long it does (ms)."""
        registry = vocabulary.registry(types)
        compiled = [
            (rule.stage, _compiled(n, rule, registry)) for n, rule in enumerate(stages.rules)
        ]
        self._purposes = sorted({name for _, one in compiled for name in one.consents})
        self._rules: list[_Rule] = []
        self._looks_at: dict[str, frozenset[str]] = {}
        """Stage → what decides that a contact stands there: what its rule looks at, and those
        before it."""
        needed: frozenset[str] = frozenset()
        always = {*self.max_ages, *([CONSENT] if self._purposes else [])}
        for stage, one in compiled:
            readings = [(name, _reading(name, registry)) for name in one.attributes - needed]
            self._rules.append(_Rule(stage, one.judge, tuple(readings)))
            needed |= one.attributes
            self._looks_at[stage] = needed | always
        self._looks_at[stages.default_stage] = needed | always
        self._zoned = "zone" in needed

    def stand(
        self,
        picture: Document,
        former: Standing | None,
        time: int,
        now: int,
        changed: Collection[str] | None = None,
    ) -> Standing:
        """Where a contact stands now. `time`: of what may have moved it (ms). `changed`: names of
        attributes and traits that changed since it stood there, `consent` among them if one did;
        None is anything."""
        score = engagement.score(picture)
        level = self._level(score, former.level if former else "")
        if former is not None and not self._may_move(former, changed, now):
            if score == former.score and level == former.level:
                return former
            return former._replace(score=score, level=level)
        stage, due = self._stage(picture, now)
        stale = min((at for _, at in self._stale_times(picture) if at > now), default=None)
        due = min((at for at in (due, stale) if at is not None), default=None)
        version = self._version
        if former is None or not former.stage:
            return Standing(stage, time, "", score, level, due, version)
        if stage == former.stage:
            return former._replace(score=score, level=level, due=due, version=version)
        enter_time = max(time, former.enter_time + 1)
        return Standing(stage, enter_time, former.stage, score, level, due, version)

    def _may_move(self, former: Standing, changed: Collection[str] | None, now: int) -> bool:
        if changed is None or former.version != self._version:
            return True
        if former.due is not None and former.due <= now:
            return True
        looks_at = self._looks_at.get(former.stage)
        return looks_at is None or not looks_at.isdisjoint(changed)

    def stale(self, picture: Document, since: int, now: int) -> list[str]:
        """Attributes whose value became too old from `since` until now."""
        return [name for name, at in self._stale_times(picture) if since <= at <= now]

    def _stale_times(self, picture: Document) -> Iterator[tuple[str, int]]:
        for name, age in self.max_ages.items():
            fact = picture.attributes.get(name)
            if fact is not None and fact.value is not None:
                yield name, fact.time + age

    def _stage(self, picture: Document, now: int) -> tuple[str, int | None]:
        facts = Facts(zone=attributes.zone(picture)[0] or "UTC" if self._zoned else "UTC")
        changes: list[int] = []
        for purpose in self._purposes:
            line = consent.standing(picture.consents.values(), purpose)
            facts.consents[purpose] = consent.state(line, now) == consent.State.GRANTED
            if line is not None and line.expire_time > now:
                changes.append(line.expire_time)
        stale = {name for name, at in self._stale_times(picture) if at <= now}
        for stage, judge, readings in self._rules:
            for name, read in readings:
                value = None if name in stale else read(picture)
                if value is not None:
                    facts.attributes[name] = value
            holds, change = judge(facts, now, None)
            if change is not None:
                changes.append(change)
            if holds:
                return stage, min(changes, default=None)
        return self.stages.default_stage, min(changes, default=None)

    def _level(self, score: int | None, former: str) -> str:
        if self.borders is None:
            return former
        if score is None:
            return "low"
        medium, high = self.borders
        if former == "high":
            high -= _MARGIN
        if former in ("high", "medium"):
            medium -= _MARGIN
        return "high" if score >= high else "medium" if score >= medium else "low"


def _reading(name: str, registry: Registry) -> Callable[[Document], Any]:
    """How an attribute or trait is read from a picture, as facts hold it; None when there is
    none."""
    if name.startswith("traits."):
        read, kind = traits.reading(name.removeprefix("traits.")), registry.attributes[name]
        if not (kind.item or kind.fields):
            fitting = reader(kind)
            return lambda picture: fitting(read(picture))
        return lambda picture: registry.attribute_value(name, read(picture))

    def said(picture: Document) -> Any:
        fact = picture.attributes.get(name)
        return None if fact is None else fact.value

    inferred = {"zone": attributes.zone, "language": attributes.language}.get(name)
    if inferred is not None:
        return lambda picture: registry.attribute_value(name, inferred(picture)[0] or None)
    return lambda picture: registry.attribute_value(name, said(picture))


def borders(scores: Mapping[int, int]) -> Borders | None:
    """Where levels begin, from how many contacts have each score; None of nobody."""
    total = sum(scores.values())
    passed, medium, high = 0, None, None
    for score in sorted(scores):
        if medium is None and passed >= LOW_SHARE * total:
            medium = score
        if high is None and passed >= HIGH_SHARE * total:
            high = score
        passed += scores[score]
    if not total:
        return None
    last = max(scores)
    return Borders(last if medium is None else medium, last + 1 if high is None else high)


def moved(before: Standing | None, after: Standing) -> list[tuple[str, bytes]]:
    """What of a standing is published: attributes that changed, as JSON."""
    found = []
    if before is None or before.stage != after.stage:
        found.append((STAGE, orjson.dumps(after.stage)))
    if after.level and (before is None or before.level != after.level):
        found.append((ENGAGEMENT, orjson.dumps(after.level)))
    return found


def _check(stages: StageRules) -> None:
    if len(stages.rules) > _MOST_RULES:
        raise FieldInvalid("stage_rules.rules", "too many", limit=str(_MOST_RULES))
    _check_stage(stages.default_stage, "stage_rules.default_stage")
    names: set[str] = set()
    for n, rule in enumerate(stages.rules):
        path = f"stage_rules.rules[{n}]"
        _check_stage(rule.stage, f"{path}.stage")
        if rule.stage in names:
            raise FieldInvalid(f"{path}.stage", "stands there twice; join the two rules with ||")
        names.add(rule.stage)
        for field in ("expression", "description"):
            if len(getattr(rule, field)) > _LONGEST:
                raise FieldInvalid(f"{path}.{field}", "too long", limit=str(_LONGEST))


def _check_stage(stage: str, field: str) -> None:
    if not _STAGE.fullmatch(stage):
        raise FieldInvalid(field, "is not lower-case letters, digits and underscores, 64 at most")


def _compiled(n: int, rule: StageRule, registry: Registry) -> Expression:
    field = f"stage_rules.rules[{n}].expression"
    source = rule.expression
    try:
        found = compile(source, registry)
    except ExpressionError as error:
        raise ExpressionInvalid(field, error) from None
    problem = _unfit(found)
    if problem:
        raise ExpressionInvalid(field, ExpressionError(source, 0, len(source), problem, "bool"))
    return found


def _unfit(found: Expression) -> str:
    if not found.is_condition:
        return f"a rule is a yes or no, this is {found.result_type}"
    if STAGE in found.attributes:
        return "a stage cannot follow from the stage"
    if ENGAGEMENT in found.attributes:
        return "a stage follows from the contact alone, and engagement from everybody's"
    if found.segments:
        return "a stage follows from the contact alone, and segments may follow from it"
    return ""
