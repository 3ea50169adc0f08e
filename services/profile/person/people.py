"""Which members are one person. Pure.

Members that a certain link joins are one person. An anonymous member, a browser or device that
several people may share, joins nobody: it belongs to the person it was seen with first, by event
time. So any order of the same evidence gives the same people.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from services.profile.person.model import Member

MOST_IDENTITIES: Final = 300
"""Of one person. Evidence that would give somebody more is about something that many share."""
MOST_OF_A_KIND: Final = 100


class Evidence(IntEnum):
    """Why two members are one person; of two reasons the greater counts."""

    SHARED = 1
    """An event named a person and a browser or device."""
    SEEN = 2
    """An event named both, by what is one person's alone."""
    TOLD = 3
    """Somebody said so."""


class Link(NamedTuple):
    """Evidence that two members are one person."""

    member_id: str
    """The anonymous one, if the evidence is `SHARED`; else the smaller id."""
    other_id: str
    evidence: Evidence
    time: int
    """When they were first seen together."""
    event: str
    """Tells events of the same time apart."""
    cut: bool = False
    """It does not count, and the same evidence will not make it count."""

    @property
    def pair(self) -> tuple[str, str]:
        """Two members have one link."""
        return self.member_id, self.other_id

    @property
    def moment(self) -> tuple[int, str]:
        """Orders links by when they were seen."""
        return self.time, self.event


def link(one: str, other: str, evidence: Evidence, time: int, event: str) -> Link:
    """A link of two members, of which `one` is the anonymous one if the evidence is `SHARED`."""
    if evidence != Evidence.SHARED and other < one:
        one, other = other, one
    return Link(one, other, evidence, time, event)


class Part(NamedTuple):
    """What of a person was a person before."""

    contact_id: str
    member_ids: tuple[str, ...]
    left_id: str = ""
    """The person that it was part of, if it is no more."""


class Person(msgspec.Struct):
    """Members that are one person now."""

    contact_id: str
    """The one that stands for it: the oldest, an anonymous one only if all are."""
    members: list[Member]
    """In the order of their ids."""
    parts: list[Part]
    """The persons they were before, the one of the same id first; new members are of none."""


class Standing(NamedTuple):
    """What is known of the links that new evidence is about."""

    links: Mapping[tuple[str, str], Link]
    """By pair."""
    first: Mapping[str, Link]
    """Anonymous member → the first of its `SHARED` links that are not cut."""
    pinned: frozenset[str]
    """Anonymous members that belong to somebody by more than being seen together."""


class Gathered(NamedTuple):
    """The people that evidence makes of members."""

    people: list[Person]
    links: list[Link]
    """What is to be remembered of the evidence."""
    refused: int
    """How much of it would have made one person of too many."""


class _Groups:
    """Members as they are found to be one person."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._people = {contact_id: [member] for contact_id, member in members.items()}

    def of(self, member_id: str) -> list[Member]:
        """All that are one person with a member."""
        return self._people[member_id]

    def join(self, one: str, other: str) -> None:
        first, second = self._people[one], self._people[other]
        if first is not second:
            first += second
            self._people |= dict.fromkeys((member.contact_id for member in second), first)

    def fit(self, one: str, other: str) -> bool:
        """Whether they are one, or have together no more identities than a person has."""
        first, second = self._people[one], self._people[other]
        kinds = Counter(
            identity.kind for member in (*first, *second) for identity in member.document.identities
        )
        few = kinds.total() <= MOST_IDENTITIES and max(kinds.values()) <= MOST_OF_A_KIND
        return first is second or few

    def people(self, made: Collection[str]) -> list[Person]:
        """Everybody, each once."""
        each = {id(members): members for members in self._people.values()}
        return [_person(members, made) for members in each.values()]


def gather(
    members: Mapping[str, Member],
    made: Collection[str],
    seen: Iterable[Link],
    standing: Standing,
) -> Gathered:
    """Who is one person, after new evidence.

    `members`: all of every person it concerns; `made`: those that are new.
    """
    fresh = sorted(
        (one for one in seen if _counts(standing.links.get(one.pair), one)),
        key=lambda one: (one.moment, one.pair),
    )
    certain = [one for one in fresh if one.evidence != Evidence.SHARED]
    shared = [one for one in fresh if one.evidence == Evidence.SHARED]
    pinned = standing.pinned.union(*(one.pair for one in certain))
    # Anonymous members that may change hands, each with the link by which somebody has it.
    loose = {
        one.member_id: standing.first.get(one.member_id)
        for one in shared
        if one.member_id not in pinned
    }
    groups = _Groups(members)
    for member in members.values():
        if member.contact_id not in loose:
            groups.join(member.person_id, member.contact_id)
    links: list[Link] = []
    for one in certain:
        if one.evidence == Evidence.TOLD or groups.fit(*one.pair):
            groups.join(*one.pair)
            links.append(one)
        else:
            links.append(one._replace(cut=True))
    for one in shared:
        held = loose.get(one.member_id)
        if one.member_id not in loose or (held is not None and held.moment <= one.moment):
            links.append(one)
        elif groups.fit(one.other_id, one.member_id):
            loose[one.member_id] = one
            links.append(one)
        else:
            links.append(one._replace(cut=True))
    for member_id, held in loose.items():
        if held is not None and held.other_id in members:
            groups.join(held.other_id, member_id)
    return Gathered(groups.people(made), links, sum(one.cut for one in links))


def _counts(known: Link | None, seen: Link) -> bool:
    return known is None or not known.cut or seen.evidence == Evidence.TOLD


def sever(members: Mapping[str, Member], links: Iterable[Link], absorbed_id: str) -> list[Link]:
    """The links to cut so that a member of a person is apart from whoever absorbed it first, and
    from whoever stands for the person now.

    `links`: all that count among the members, in the order in which they were found.
    """
    ordered = list(links)
    absorbers = {members[absorbed_id].person_id}
    stood = _Groups(members)
    for one in ordered:
        stood.join(*one.pair)
        first = stands(stood.of(absorbed_id)).contact_id
        if first != absorbed_id:
            absorbers.add(first)
            break
    groups = _Groups(members)
    cut: list[Link] = []
    for one in ordered:
        sides = [groups.of(member_id) for member_id in one.pair]
        theirs = [groups.of(absorber) for absorber in absorbers]
        own = any(side is groups.of(absorbed_id) for side in sides)
        if own and any(side is their for side in sides for their in theirs):
            cut.append(one)
        else:
            groups.join(*one.pair)
    return cut


def apart(members: Mapping[str, Member], links: Iterable[Link]) -> list[Person]:
    """The people that the members of a person are by these links alone."""
    groups = _Groups(members)
    for one in links:
        groups.join(*one.pair)
    return groups.people(())


def stands(members: Iterable[Member]) -> Member:
    """Of members that are one person, the one that stands for it."""
    return min(members, key=lambda one: (one.anonymous, one.create_time, one.contact_id))


def _person(members: list[Member], made: Collection[str]) -> Person:
    if len(members) == 1 and not members[0].survivor_id:  # nearly always
        contact_id = members[0].contact_id
        parts = [] if contact_id in made else [Part(contact_id, (contact_id,))]
        return Person(contact_id, members, parts)
    members.sort(key=lambda member: member.contact_id)
    contact_id = stands(members).contact_id
    here = {member.contact_id for member in members}
    former: dict[str, list[Member]] = {}
    for member in members:
        if member.contact_id not in made:
            former.setdefault(member.person_id, []).append(member)
    parts = [
        Part(
            was if was in here else stands(some).contact_id,
            tuple(member.contact_id for member in some),
            "" if was in here else was,
        )
        for was, some in former.items()
    ]
    parts.sort(key=lambda part: (part.contact_id != contact_id, part.contact_id))
    return Person(contact_id, members, parts)
