"""The shape of an expression as written: CEL's syntax tree without its noise.

Every node knows where it stands in the source: `start` and `end` are character offsets.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    start: int
    end: int
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    start: int
    end: int
    operand: "Node"
    field: str
    field_start: int


@dataclass(frozen=True, slots=True)
class Index:
    start: int
    end: int
    operand: "Node"
    key: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """`name(args)`, or `receiver.name(args)`."""

    start: int
    end: int
    receiver: "Node | None"
    name: str
    name_start: int
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    start: int
    end: int
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!` or `-`."""

    start: int
    end: int
    operator: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, comparison or `in`."""

    start: int
    end: int
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class AllOf:
    """`a && b && …`, flat."""

    start: int
    end: int
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`a || b || …`, flat."""

    start: int
    end: int
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? then : otherwise`."""

    start: int
    end: int
    condition: "Node"
    then: "Node"
    otherwise: "Node"


Node: TypeAlias = (
    Literal | Name | Select | Index | Call | ListOf | Unary | Binary | AllOf | AnyOf | Conditional
)
