"""An audience, as it comes: who, with the row that names them, and where to go on. Pure."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple

NO_ROW: Final[Mapping[str, str]] = {}


class Person(NamedTuple):
    """Somebody of an audience."""

    contact_id: str
    row: Mapping[str, str] = NO_ROW
    """By column, where a file names them."""


class Members(NamedTuple):
    """A part of an audience."""

    people: Sequence[Person]
    cursor: str
    """Goes on after them."""
    unresolved: int = 0
    """Rows, or people named, of whom nobody knows who that is."""
    total: int = 0
    """Of the whole audience, as far as anybody can say; 0 when nobody can."""


async def batches(
    source: AsyncIterator[Members], first: int, most: int
) -> AsyncGenerator[Members, None]:
    """The same in larger parts: the first one small, so that something comes soon."""
    people: list[Person] = []
    cursor, unresolved, total, size = "", 0, 0, first
    async for members in source:
        people += members.people
        cursor, total = members.cursor, members.total
        unresolved += members.unresolved
        if len(people) >= size:
            yield Members(people, cursor, unresolved, total)
            people, unresolved, size = [], 0, most
    if people or unresolved:
        yield Members(people, cursor, unresolved, total)
