"""Identities: their one written form, and which of them are one person."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from chassis.failures import FieldInvalid
from services.profile import phone
from services.profile.model import Happening, Identity, Kind

MOST_IDENTITIES: Final = 1_000  # of one contact
_LONGEST: Final = 512
_KINDS: Final = frozenset(Kind)


def key(identity: Identity) -> bytes:
    """128 bits by which an identity is looked up."""
    kind, scope, value = identity
    return blake2b(f"{kind}\x1f{scope}\x1f{value}".encode(), digest_size=16).digest()


def normalised(kind: int, scope: str, value: str, default_region: str | None = None) -> Identity:
    """An identity in its one written form.

    With a `default_region` phone numbers may have any usual form; without, they are digits as
    WhatsApp writes them. Raises `FieldInvalid` for what cannot be one.
    """
    value = value.strip()
    if kind not in _KINDS:
        raise _invalid("kind", "unknown; use one of the contract's kinds")
    if not value or len(value) > _LONGEST or len(scope) > _LONGEST:
        raise _invalid("value", f"1 to {_LONGEST} characters are needed")
    if kind == Kind.WA_ID:
        if default_region is not None:
            return Identity(kind, "", phone.parse(value, default_region))
        value = value.removeprefix("+")
        if not phone.plausible(value):
            raise _invalid("value", "not the digits of a phone number")
        return Identity(kind, "", phone.canonical(value))
    if kind == Kind.EMAIL:
        return Identity(kind, "", value.lower())
    return Identity(kind, scope, value)


def _invalid(field: str, problem: str) -> FieldInvalid:
    return FieldInvalid(f"identities.{field}", problem)


def contact_id(text: str) -> str:
    """A contact's id in its one written form; empty when it cannot be one."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""


class Person(msgspec.Struct):
    """Happenings of one person, and the contacts that person has been until now."""

    positions: list[int]
    contact_ids: set[str]


def persons(
    happenings: Sequence[Happening],
    positions: Iterable[int],
    known: Mapping[Identity, str],
    survivors: Mapping[str, str],
) -> list[Person]:
    """Who is one person: all that any happening links, directly or by way of others.

    Links have no order, so any order of the same happenings gives the same people. `known`:
    identity → contact; `survivors`: contact that was merged → the one that stayed.
    """
    parents: dict[str | Identity, str | Identity] = {}

    def root(node: str | Identity) -> str | Identity:
        while (parent := parents.setdefault(node, node)) != node:
            parents[node] = node = parents[parent]
        return node

    firsts: list[tuple[int, str | Identity]] = []
    for position in positions:
        happening = happenings[position]
        nodes: list[str | Identity] = [known.get(i, i) for i in happening.identities]
        if named := happening.contact_id:
            nodes.append(survivors.get(named, named))
        first = root(nodes[0])
        for node in nodes[1:]:
            other = root(node)
            if other != first:
                parents[other] = first
        firsts.append((position, first))
    found: dict[str | Identity, Person] = {}
    for node in parents:
        person = found.setdefault(root(node), Person([], set()))
        if isinstance(node, str):
            person.contact_ids.add(node)
    for position, node in firsts:
        found[root(node)].positions.append(position)
    return list(found.values())
