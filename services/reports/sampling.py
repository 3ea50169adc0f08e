"""People are looked at in a part of them where there are too many to find each. Pure.

Which part follows from their ids, so it is always the same people, and of a smaller part all are in
the larger.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

PEOPLE_AT_ONCE: Final = 50_000
"""So many messages are gone through one by one for the people they were for."""
SAMPLED_AT_ONCE: Final = 25_000
"""Of more, so many at most."""
PEOPLE_IN: Final = 64
"""Of more, those of one contact in so many at least: they are kept a second time, in
`sampled_facts`."""
LOADS_AT_ONCE: Final = 10_000
"""For so many messages it is found which in a week they were to their person."""
LETTERS_AT_ONCE: Final = 500
"""For so many messages of people it is found how long each waited."""
_FACTS_IN: Final = (4, 16)
"""Of `sampled_facts` there are indexes of those of one contact of theirs in so many."""
_LETTERS_IN: Final = (8, 64, 512)
"""There are indexes of letters of one contact in so many."""


def sampled(contact_id: str) -> bool:
    """Whether a contact is the one in `PEOPLE_IN`."""
    return sha256(contact_id.encode()).digest()[0] % PEOPLE_IN == 0


def people_in(many: int, at_once: int = SAMPLED_AT_ONCE) -> int:
    """Of how many contacts one is counted where there are so many messages."""
    return 1 if many <= PEOPLE_AT_ONCE else max(one_in(many, at_once, PEOPLE_IN), PEOPLE_IN)


def one_in(many: int, at_once: int, least: int = 2) -> int:
    """Of how many contacts one is looked at: of each, or of `least` or a multiple of it by powers
    of two, so that of `many` there are no more than `at_once`."""
    part = 1 if many <= at_once else least
    while many > at_once * part:
        part *= 2
    return part


def facts(one_in: int) -> tuple[str, list[str]]:
    """The table of the facts of one contact in so many, and what has to hold of them (`f`)."""
    if one_in == 1:
        return "message_facts AS f", []
    return "sampled_facts AS f", _parts("f.contact_id", one_in // PEOPLE_IN, _FACTS_IN)


def letters(one_in: int) -> list[str]:
    """What has to hold of letters `l` of one contact in so many."""
    return _parts("l.contact_id", one_in, _LETTERS_IN)


def _parts(contact: str, one_in: int, indexed: Iterable[int]) -> list[str]:
    """Also of larger parts there are indexes of, in the words of those."""
    parts = [*(part for part in indexed if part < one_in), *([one_in] if one_in > 1 else [])]
    return [f"hashtext({contact}) & {part - 1} = 0" for part in parts]
