"""What is to be done so that there is what files declare. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, NamedTuple

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from cli.apply.files import Declared
from cli.apply.kinds import KINDS, Kind

Verb = Literal["make", "change", "archive", "leave"]


class Change(NamedTuple):
    """A value that becomes another; None is none."""

    path: str
    before: Any
    after: Any


@dataclass(slots=True)
class Step:
    """What is to be done about one thing."""

    verb: Verb
    kind: Kind
    name: str
    declared: Declared | None = None
    """None of what is archived."""
    standing: Message | None = None
    """As it is; None of what is made."""
    changes: Sequence[Change] = ()
    fields: Sequence[str] = ()
    """The fields that change."""
    waits_for: list[str] = field(default_factory=list)
    """What is not there yet: only when it is made can this be checked."""


def differences(kind: Kind, before: Message, after: Message) -> dict[str, list[Change]]:
    """Field by field, and within a field value by value."""
    found: dict[str, list[Change]] = {}
    for name in sorted({*kind.settable(before), *kind.settable(after)}, key=kind.fields.index):
        one, other = _flat(before, name), _flat(after, name)
        changes = [
            Change(path, one.get(path), other.get(path))
            for path in {**one, **other}
            if one.get(path) != other.get(path)
        ]
        if changes:
            found[name] = changes
    return found


def described(kind: Kind, message: Message) -> list[Change]:
    """All that is said of something new."""
    return [
        Change(path, None, value)
        for name in kind.settable(message)
        for path, value in _flat(message, name).items()
    ]


def ordered(declared: Iterable[Declared]) -> list[Declared]:
    """Each after what it needs; what needs each other, by name."""
    found: list[Declared] = []
    every = list(declared)
    for kind in KINDS:
        own = {one.name: one for one in every if one.kind is kind}
        needs = {n: sorted(one.names(kind.name) & own.keys() - {n}) for n, one in own.items()}
        try:
            order = list(TopologicalSorter(dict(sorted(needs.items()))).static_order())
        except CycleError:  # the service says what is wrong with it
            order = sorted(own)
        found += [own[name] for name in order]
    return found


def _flat(message: Message, name: str) -> dict[str, Any]:
    """The values of a field by their paths; none when it is empty."""
    told = MessageToDict(message, preserving_proto_field_name=True)
    return dict(_leaves(name, told[name])) if name in told else {}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        for at, inner in enumerate(value):
            yield from _leaves(f"{path}[{at}]", inner)
    else:
        yield path, value
