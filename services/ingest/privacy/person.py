"""Whom an erasure or an export is about, and whether a record tells of them. Pure.

Short values say little by themselves ("42" is somebody's id and everybody's quantity), so they
count only where it stands that they are an identifier.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final

import orjson

from services.ingest.model import Identity, Kind

_ON_WHATSAPP: Final = (Kind.WA_ID, Kind.BSUID, Kind.PARENT_BSUID)
_TELLING: Final = 5  # characters from which on a value stands for itself
_NATIONAL: Final = 10  # digits of a number without what leads it
_GAP: Final = rb"[\s().-]*"
_KEYS: Final = frozenset({"userId", "anonymousId", "previousId", "email", "phone"})


class Person:
    """Somebody, by everything they are known by."""

    def __init__(
        self, contact_id: str, identities: frozenset[Identity], members: Iterable[str] = ()
    ) -> None:
        """`members`: other ids that stand, or stood, for them."""
        self.contact_id = contact_id
        self.contact_ids = frozenset({contact_id, *members} - {""})
        self.identities = identities

    @cached_property
    def on_whatsapp(self) -> frozenset[str]:
        """Values by which Meta knows them."""
        return frozenset(one.value for one in self.identities if one.kind in _ON_WHATSAPP)

    def is_known_as(self, kind: int, scope: str, value: str) -> bool:
        """Whether this is one of their identities."""
        return (kind, scope, value) in self._known

    @cached_property
    def _known(self) -> frozenset[tuple[int, str, str]]:
        return frozenset((int(kind), scope, value) for kind, scope, value in self.identities)

    @cached_property
    def _values(self) -> frozenset[str]:
        return frozenset(one.value for one in self.identities)

    @cached_property
    def _needles(self) -> list[bytes]:
        return [value.encode() for value in self.contact_ids | self._values if value]

    @cached_property
    def _rows(self) -> list[tuple[bool, re.Pattern[bytes]]]:
        return [(len(one.value) >= _TELLING, _pattern(one)) for one in self.identities]

    def may_be_in(self, record: bytes) -> bool:
        """False when a serialised event cannot tell of them; cheap."""
        return any(needle in record for needle in self._needles)

    def is_told_in(self, record: bytes) -> bool:
        """Whether a record that nobody can decode holds a telling value of theirs."""
        return any(len(needle) >= _TELLING and needle in record for needle in self._needles)

    def called(self, body: bytes) -> bool:
        """Whether tracking calls, which could not be read, are theirs."""
        try:
            calls = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self.is_told_in(body)
        return any(
            value in self._values
            or value.strip().lower() in self._values
            or _digits(value) in self.on_whatsapp
            for value in _identifiers(calls)
        )

    def in_row(self, row: bytes, surely: bool = False) -> bool:
        """Whether a row of a file has a cell that is one of their identifiers; `surely`: and one
        that is not likely to be anything else."""
        return any(
            pattern.search(row) is not None
            for telling, pattern in self._rows
            if telling or not surely
        )


def _pattern(identity: Identity) -> re.Pattern[bytes]:
    """Finds an identity in a row. Numbers may be written in groups, and without their country."""
    value = identity.value
    if identity.kind is Kind.WA_ID and value.isdecimal() and len(value) >= _NATIONAL:
        national = _GAP.join(re.escape(digit.encode()) for digit in value[-_NATIONAL:])
        return re.compile(rb"(?<!\d)\d{0,3}" + _GAP + national + rb"(?!\d)")
    exact = re.escape(value.encode())
    return re.compile(rb"(?<![\w.@+-])\+?" + exact + rb"(?![\w@-])", re.IGNORECASE)


def _identifiers(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, one in node.items():
            if key in _KEYS and isinstance(one, str | int):
                yield str(one)
            else:
                yield from _identifiers(one)
    elif isinstance(node, list):
        for one in node:
            yield from _identifiers(one)


def _digits(value: str) -> str:
    return re.sub(r"\D", "", value)
