"""What can be known of people at all: attributes with their types, and the rules of stages. Pure.

An attribute is built in, registered by the business, or seen in what trackers send: then its type
is what its values were so far. What the business registered, and what is built in, is checked; a
value of another type is refused when a caller says it, and left out when a tracker does.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import orjson

from chassis.failures import FieldInvalid, Invalid, NotFound, Refused
from expressions.schema import normalise, type_of
from services.profile.person import attributes
from services.profile.person.model import Fact, Happening, ValueInvalid, ValueType
from services.profile.person.standing import Borders, Rules, StageRules
from services.profile.person.vocabulary import ATTRIBUTES, SPECS, AttributeType, inferred

MOST_ATTRIBUTES: Final = 10_000
_TYPES: Final = {kind: type_of(spec) for kind, spec in SPECS.items()}
_WIDER: Final = {(ValueType.INTEGER, ValueType.NUMBER), (ValueType.NUMBER, ValueType.INTEGER)}


class UnknownAttribute(Invalid):
    """No such attribute is registered."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        near = get_close_matches(name, list(known), n=1)
        super().__init__(
            f"no attribute {name!r} is registered: register it, or mind its spelling",
            name=name,
            suggestion=near[0] if near else "",
        )


class TypeInUse(Refused):
    """Values of the former type are held."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(
            f"values of {name!r} are held, of type {kind}: register another name",
            name=name,
            type=kind,
        )


class StageRulesNotFound(NotFound):
    """The rules never had that version."""

    def __init__(self, version: int) -> None:
        super().__init__("the rules never had that version", version=str(version))


class Registry:
    """All that is registered, as of one generation."""

    def __init__(
        self,
        generation: int,
        registered: Mapping[str, AttributeType],
        told: Mapping[str, ValueType],
        stages: StageRules,
        version: int,
        borders: Borders | None,
    ) -> None:
        """`registered`: by the business. `told`: of attributes that anything was ever told of."""
        self.generation = generation
        self.told = told
        known = ATTRIBUTES.keys() | registered.keys()
        self.seen = {name: kind for name, kind in told.items() if name not in known}
        self.version = version
        self.attributes: Final[Mapping[str, AttributeType]] = {
            # Nobody said that they are not personal, so they are.
            **{name: AttributeType(name, kind, personal=True) for name, kind in self.seen.items()},
            **ATTRIBUTES,
            **registered,
        }
        self.rules: Final = Rules(stages, self.attributes.values(), borders, version)

    def personal(self, name: str) -> bool:
        """Whether an attribute or trait, by its full name, is personal; what is unknown is."""
        kind = self.attributes.get(name)
        return kind is None or kind.personal

    def check(self, told: Mapping[str, Any]) -> None:
        """Raises `UnknownAttribute` or `ValueInvalid` for what a caller says of a contact."""
        for name, value in told.items():
            kind = self.attributes.get(name)
            if kind is None:
                if attributes.well_named(name):
                    raise UnknownAttribute(name, self.attributes)
                continue  # refused for its name, where it is told
            if kind.computed:
                raise FieldInvalid("attributes.name", f"{name} is computed and cannot be set")
            if value is None or name in self.seen:
                continue
            if not fits(kind, value):
                expected = expectation(kind)
                raise ValueInvalid(f"{name} is not {expected}", name=name, expected=expected)

    def admit(self, happenings: Iterable[Happening]) -> tuple[dict[str, ValueType], set[str]]:
        """Take out of happenings the values that are not of their attributes' types.

        Returns types of attributes that something is told of for the first time, or that have
        become wider, and the names of attributes of which values were left out.
        """
        new: dict[str, ValueType] = {}
        left_out: set[str] = set()
        for happening in happenings:
            if not happening.attributes:
                continue
            kept: dict[str, Any] = {}
            for name, value in happening.attributes.items():
                kind = self.attributes.get(name)
                if kind is None or name in self.seen:
                    if value is not None and attributes.well_named(name):
                        self._widen(new, name, value)
                elif value is not None and (kind.computed or not fits(kind, value)):
                    left_out.add(name)
                    continue
                elif value is not None and name not in self.told:
                    new[name] = kind.type
                kept[name] = value
            happening.attributes = kept
        return new, left_out

    def _widen(self, new: dict[str, ValueType], name: str, value: Any) -> None:
        known = new.get(name) or self.seen.get(name)
        wider = widened(known, inferred(value))
        if wider != known and len(self.attributes) + len(new) < MOST_ATTRIBUTES:
            new[name] = wider

    def freshen(self, facts: dict[str, Fact], now: int) -> None:
        """Leave out attributes whose value is too old to count."""
        for name, age in self.rules.max_ages.items():
            if name in facts and facts[name].time + age <= now:
                del facts[name]


def fits(kind: AttributeType, value: Any) -> bool:
    """Whether a value is of an attribute's type, and one that is allowed."""
    if kind.allowed and orjson.dumps(value) not in kind.allowed:
        return False
    if kind.type == ValueType.NUMBER_MAP:
        return isinstance(value, dict) and all(_is_number(one) for one in value.values())
    if kind.type == ValueType.LOCATION:
        return isinstance(value, dict) and all(
            _is_number(value.get(name)) for name in ("latitude", "longitude")
        )
    found = normalise(_TYPES[kind.type], value)
    return None not in found if isinstance(found, list) else found is not None


def widened(known: ValueType | None, value: ValueType) -> ValueType:
    """The type of values of which some were of one type and one is of another."""
    if known is None or known == value:
        return value
    return ValueType.NUMBER if (known, value) in _WIDER else ValueType.JSON


def expectation(kind: AttributeType) -> str:
    """What a value must be, in words."""
    if kind.allowed:
        return "one of " + b", ".join(kind.allowed[:20]).decode()
    return f"of type {kind.type.name}"


def changed(former: AttributeType | None, new: AttributeType, used: bool) -> AttributeType:
    """A registration in place of a former one. Raises `FieldInvalid` and `TypeInUse`."""
    name = new.name
    if not attributes.well_named(name.removeprefix("traits.")):
        raise FieldInvalid(
            "attribute_type.name", "is not lower-case letters, digits and underscores"
        )
    if former is not None and former.computed:
        if new.type != former.type or new.max_age or new.allowed:
            raise TypeInUse(name, former.type.name)
        new = new._replace(computed=True)
    elif name.startswith("traits."):
        raise FieldInvalid("attribute_type.name", "traits are computed; none has that name")
    if former is not None and used and new.type != former.type:
        raise TypeInUse(name, former.type.name)
    bare = new._replace(allowed=())
    for value in new.allowed:
        if not fits(bare, _parsed(value)):
            raise FieldInvalid("attribute_type.allowed_values", f"not {expectation(bare)}")
    canonical = tuple(orjson.dumps(_parsed(value)) for value in new.allowed)
    return new._replace(allowed=canonical)


def _parsed(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise FieldInvalid("attribute_type.allowed_values", "not JSON") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
