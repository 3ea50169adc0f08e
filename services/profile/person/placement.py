"""Whose an event is: the member it goes to, and what it says of who is who. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from chassis.failures import FieldInvalid
from chassis.ids import fingerprint
from services.profile.person.identity import MOST_TOGETHER, strength
from services.profile.person.model import (
    UNSEEN,
    ContactNotFound,
    Document,
    Happening,
    Identity,
    Kind,
    Known,
    Member,
)
from services.profile.person.people import Evidence, Link, link

_OWN: Final = frozenset({Kind.BSUID, Kind.PARENT_BSUID, Kind.EXTERNAL_ID})
"""Kinds that nobody is given after somebody else, as phone numbers are."""
_ANONYMOUS: Final = Kind.ANONYMOUS_ID
_NUMBER: Final = Kind.WA_ID


class Placement:
    """Places one event after the other: it goes to the home of its strongest identity.

    New identities make their home there; an anonymous one always makes one of its own, since it
    may turn out to be somebody else's.
    """

    def __init__(
        self,
        homes: dict[Identity, str],
        members: dict[str, Member],
        new_id: Callable[[], str],
        now: int,
    ) -> None:
        """`homes`: of the identities that are known. `members`: all whom the events may concern."""
        self.homes = homes
        self.members = members
        self.targets: dict[int, str] = {}
        """Position of an event → the member it goes to."""
        self.made: set[str] = set()
        """Members that are new."""
        self.found: dict[Identity, str] = {}
        """Homes of identities that had none."""
        self.moved: dict[Identity, str] = {}
        """New homes of numbers that are somebody else's now."""
        self.links: dict[tuple[str, str], Link] = {}
        """New evidence, by pair."""
        self._numbers: dict[Identity, Known] = {}
        self._new_id = new_id
        self._now = now

    def place(self, position: int, happening: Happening) -> None:
        """Place an event. Raises `ContactNotFound` and `FieldInvalid`; then nothing is changed."""
        if len(happening.identities) > MOST_TOGETHER:
            raise FieldInvalid(
                "identities",
                f"one event names at most {MOST_TOGETHER}; send those of one person",
                limit=str(MOST_TOGETHER),
            )
        shared = [i for i in happening.identities if i.kind == _ANONYMOUS]
        strong = [i for i in happening.identities if i.kind != _ANONYMOUS]
        if len(happening.identities) > 1:
            shared.sort()
            strong.sort(key=strength)
        homes = self._homes(happening, strong)
        target = self.targets[position] = self._target(happening, shared, homes)
        for identity in strong:
            home = homes.get(identity)
            if home is None:
                self._settle(identity, self._holder(target, homes, happening))
            elif home != target and identity not in self.members[target].document.guests:
                self._see(link(target, home, Evidence.SEEN, *_moment(happening)))
        for identity in shared:
            home = self.homes.get(identity)
            if home is None:
                alone = strong or happening.contact_id or identity != shared[0]
                home = self._settle(identity, self._make() if alone else target)
            whose = self.members[target]
            guest = whose.document.guests.get(identity)
            known = guest is not None and guest.first_time < happening.time
            if home != target and not known and not whose.anonymous:
                self._see(link(home, target, Evidence.SHARED, *_moment(happening)))

    def _target(
        self, happening: Happening, shared: list[Identity], homes: Mapping[Identity, str]
    ) -> str:
        named = happening.contact_id
        if named:
            if named not in self.members:
                raise ContactNotFound(
                    "nobody is that contact; look it up by an identity", contact_id=named
                )
            return named
        home = next(iter(homes.values()), None)
        if home is None and len(shared) == len(happening.identities):
            home = self.homes.get(shared[0])
        if home is None and not happening.create:
            raise ContactNotFound("nobody has these identities; upsert the contact first")
        return home or self._make()

    def _homes(self, happening: Happening, strong: Iterable[Identity]) -> dict[Identity, str]:
        """Where those identities lead that lead to somebody, the strongest first."""
        homes = {i: home for i in strong if (home := self.homes.get(i))}
        for number in [i for i in homes if i.kind == _NUMBER]:
            home = homes[number]
            others = [
                h
                for h in homes.values()
                if h != home and number in self.members[h].document.identities
            ]
            known = self._numbers.get(number) or self.members[home].document.identities[number]
            if others:  # somebody else has it now; this is of one who had it before
                homes[number] = others[0]
            elif self._given_away(number, known, happening, homes):
                del homes[number]
            elif known.end_time or number in happening.ended:
                self._numbers[number] = known.joined(seen(number, happening))
        return homes

    def _given_away(
        self, number: Identity, known: Known, happening: Happening, homes: Mapping[Identity, str]
    ) -> bool:
        """Whether a number that led to a person is now with somebody else.

        Networks give abandoned numbers to new customers. Who has changed to another number, and is
        not the one whose own ids come with the old one now, has lost it.
        """
        if known.active or happening.time <= known.end_time or number in happening.ended:
            return False
        own = [i for i in happening.identities if i.kind in _OWN]
        person = self.members[homes[number]].person_id
        return bool(own) and not any(
            self.members[homes[i]].person_id == person for i in own if i in homes
        )

    def _holder(self, target: str, homes: Mapping[Identity, str], happening: Happening) -> str:
        """Where new identities make their home: not with a browser that the event named."""
        whose = self.members[target]
        if not whose.anonymous or not whose.document.identities:
            return target
        if whose.survivor_id and not self.members[whose.survivor_id].anonymous:
            return whose.survivor_id
        home = next(iter(homes.values()), "") or self._make()
        self._see(link(target, home, Evidence.SEEN, *_moment(happening)))
        return home

    def _settle(self, identity: Identity, home: str) -> str:
        if identity in self.homes:
            self.moved[identity] = home
            self._numbers.pop(identity, None)
        else:
            self.found[identity] = home
        self.homes[identity] = home
        self.members[home].document.identities.setdefault(identity, UNSEEN)
        return home

    def _make(self) -> str:
        made = self._new_id()
        self.members[made] = Member(made, self._now, self._now, Document(self._now, revision=1))
        self.made.add(made)
        return made

    def _see(self, one: Link) -> None:
        known = self.links.get(one.pair)
        if known is None or (-one.evidence, one.moment) < (-known.evidence, known.moment):
            self.links[one.pair] = one


def seen(identity: Identity, happening: Happening) -> Known:
    """What one event says of an identity."""
    time = happening.time
    return Known(happening.source, time, time, time if identity in happening.ended else 0)


def _moment(happening: Happening) -> tuple[int, str]:
    return happening.time, str(fingerprint(happening.event_id))
