"""Who is one person, by pure rules: the same evidence in any order gives the same people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from chassis.ids import fingerprint
from services.profile.person.identity import MOST_TOGETHER, means_somebody
from services.profile.person.model import (
    Consent,
    Contact,
    ContactNotFound,
    Document,
    Happening,
    Identity,
    Kind,
    Member,
    Merged,
    Note,
    Split,
)
from services.profile.person.people import (
    MOST_OF_A_KIND,
    Evidence,
    Link,
    Person,
    Standing,
    apart,
    gather,
    link,
    sever,
)
from services.profile.person.picture import Placed, contact, together, unfold
from services.profile.person.placement import Placement


@dataclass
class Memory:
    """What the store does, in dictionaries."""

    homes: dict[Identity, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    """In the order in which they were found."""
    seen: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)
    made: int = 0
    refused: int = 0

    def new_id(self) -> str:
        self.made += 1
        return f"{self.made:04}"

    def record(self, *batch: Happening) -> None:
        fresh = {one.event_id: one for one in batch if one.event_id not in self.seen}
        self.seen |= fresh.keys()
        happenings = list(fresh.values())
        if not happenings:
            return
        placement = Placement(self.homes, self.members, self.new_id, self.made)
        for position, one in enumerate(happenings):
            placement.place(position, one)
        gathered = gather(self.members, placement.made, placement.links.values(), self.standing())
        self.refused += gathered.refused
        self.remember(gathered.links)
        whose = {m.contact_id: p.contact_id for p in gathered.people for m in p.members}
        for person in gathered.people:
            placed = [
                Placed(position, happenings[position], home)
                for position, home in placement.targets.items()
                if whose[home] == person.contact_id
            ]
            self.become(person, placed, placement, placed[0][1] if placed else happenings[0])

    def standing(self) -> Standing:
        first: dict[str, Link] = {}
        told: set[str] = set()
        for one in sorted(self.links.values(), key=lambda each: each.moment):
            if one.evidence != Evidence.SHARED and not one.cut:
                told |= set(one.pair)
            elif not one.cut:
                first.setdefault(one.member_id, one)
        return Standing(self.links, first, frozenset(told))

    def remember(self, links: Sequence[Link]) -> None:
        for one in links:
            old = self.links.get(one.pair)
            if one.evidence == Evidence.TOLD and old is not None and old.cut:
                del self.links[one.pair]
            if (
                old is None
                or one.evidence == Evidence.TOLD
                or (not old.cut and (-one.evidence, one.moment) < (-old.evidence, old.moment))
            ):
                self.links[one.pair] = one

    def become(
        self, person: Person, placed: Sequence[Placed], placement: Placement, cause: Happening
    ) -> None:
        made, homes = placement.made, placement.homes
        self.notes += unfold(person, placed, homes, made, cause, self.made).notes
        survivor = person.contact_id if len(person.members) > 1 else ""
        for member in person.members:
            self.members[member.contact_id] = member._replace(survivor_id=survivor)

    def merge(self, one: Identity, other: Identity) -> None:
        pair = [self.members[self.homes[i]].person_id for i in (one, other)]
        if pair[0] == pair[1]:
            return
        self.made += 1
        cause = happening(f"m{self.made}", time=self.made)
        told = link(*pair, Evidence.TOLD, self.made, str(fingerprint(cause.event_id)))
        gathered = gather(self.members, (), [told], Standing({}, {}, frozenset()))
        self.remember(gathered.links)
        nothing = Placement(self.homes, self.members, self.new_id, 0)
        for person in gathered.people:
            self.become(person, (), nothing, cause)

    def unmerge(self, absorbed_id: str) -> None:
        person_id = self.members[absorbed_id].person_id
        if person_id == absorbed_id:
            return
        members = {i: m for i, m in self.members.items() if m.person_id == person_id}
        standing = self.standing()
        known = [
            one
            for one in self.links.values()
            if not one.cut
            and members.keys() >= set(one.pair)
            and (
                one.evidence != Evidence.SHARED
                or (one.member_id not in standing.pinned and standing.first[one.member_id] is one)
            )
        ]
        gone = sever(members, known, absorbed_id)
        for one in list(self.links.values()):
            if one in gone or (one.member_id == absorbed_id and one.evidence == Evidence.SHARED):
                self.links[one.pair] = one._replace(cut=True)
        nothing = Placement(self.homes, self.members, self.new_id, 0)
        self.made += 1
        for person in apart(members, [one for one in known if one not in gone]):
            self.become(person, (), nothing, happening(f"u{self.made}"))

    def people(self) -> list[Contact]:
        found: dict[str, list[Member]] = {}
        for member in self.members.values():
            found.setdefault(member.person_id, []).append(member)
        return [contact(members) for members in found.values()]

    def who(self) -> list[list[Identity]]:
        """Everybody's identities."""
        return sorted(sorted(one.document.identities) for one in self.people())

    def pictures(self) -> list[object]:
        found: dict[str, list[Document]] = {}
        for member in self.members.values():
            found.setdefault(member.person_id, []).append(member.document)
        return sorted((picture(together(documents)) for documents in found.values()), key=repr)

    def person(self, identity: Identity) -> str:
        return self.members[self.homes[identity]].person_id


def picture(d: Document) -> object:
    return (
        sorted(d.identities.items(), key=lambda item: item[0]),
        sorted((n, f.value, f.time, f.tie) for n, f in d.attributes.items()),
        sorted(d.counts.items()),
        sorted(d.times.items()),
        in_order(msgspec.to_builtins(d.tallies, str_keys=True)),
        sorted((n, c.consent_id, c.granted) for n, c in d.consents.items()),
        d.place,
        d.window,
    )


def in_order(value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [in_order(each) for each in value]
    return sorted((key, in_order(each)) for key, each in value.items())


def wa(n: int) -> Identity:
    return Identity(Kind.WA_ID, "", f"90532123456{n}")


def bsuid(n: int) -> Identity:
    return Identity(Kind.BSUID, "w", f"TR.{n}")


def customer(n: int) -> Identity:
    return Identity(Kind.EXTERNAL_ID, "shop", f"c{n}")


def browser(n: int) -> Identity:
    return Identity(Kind.ANONYMOUS_ID, "shop", f"b{n}")


def email(n: int) -> Identity:
    return Identity(Kind.EMAIL, "", f"{n}@example.com")


def happening(event_id: str, *who: Identity, time: int = 0, **more: object) -> Happening:
    name = more.pop("name", "tracked")
    return Happening(event_id, name, time, 0, "test", identities=who, **more)  # type: ignore[arg-type]


# --- phones and user ids -------------------------------------------------------------------------


def changed(old: Identity, new: Identity, time: int) -> Happening:
    return happening(f"{old}{new}", old, new, time=time, ended=(old,))


def test_a_phone_first_then_its_user_id_is_one_person_and_so_is_the_other_order() -> None:
    alone = [[wa(1)], [bsuid(1)]]
    for first in alone:
        known = Memory()
        known.record(happening("1", *first, time=1))
        known.record(happening("2", wa(1), bsuid(1), time=2))
        known.record(happening("3", wa(1), time=3), happening("4", bsuid(1), time=4))
        assert known.who() == [[wa(1), bsuid(1)]]
        assert len(known.members) == 1


def test_a_phone_and_a_user_id_that_were_two_people_become_one() -> None:
    known = Memory()
    known.record(happening("1", wa(1), time=1), happening("2", bsuid(1), time=2))
    assert len(known.people()) == 2
    known.record(happening("3", wa(1), bsuid(1), time=3))
    assert known.who() == [[wa(1), bsuid(1)]]
    (merged,) = [note for note in known.notes if isinstance(note.body, Merged)]
    assert (merged.contact_id, merged.body) == ("0001", Merged("0002", ("0002",)))


def test_a_parent_user_id_recognises_the_person_in_another_portfolio() -> None:
    parent = Identity(Kind.PARENT_BSUID, "p", "TR.P1")
    other = Identity(Kind.BSUID, "w2", "TR.77")
    known = Memory()
    known.record(happening("1", bsuid(1), parent), happening("2", other, parent))
    assert len(known.people()) == 1


def test_a_changed_number_and_a_changed_user_id_lead_to_the_same_person() -> None:
    known = Memory()
    known.record(happening("1", wa(1), bsuid(1), time=1), changed(wa(1), wa(2), 5))
    known.record(changed(bsuid(1), bsuid(2), 6), happening("2", wa(2), bsuid(2), time=7))
    (person,) = known.people()
    assert [i for i, k in person.document.identities.items() if k.active] == [bsuid(2), wa(2)] or {
        i for i, k in person.document.identities.items() if k.active
    } == {wa(2), bsuid(2)}
    assert person.document.place.phone == wa(2).value


@pytest.mark.parametrize("own", [bsuid(9), customer(9)])
@pytest.mark.parametrize("together", [True, False])
def test_a_recycled_number_is_somebody_elses(own: Identity, together: bool) -> None:
    before = [happening("1", wa(1), bsuid(1), time=1), changed(wa(1), wa(2), 5)]
    after = [happening("2", wa(1), own, time=9), happening("3", wa(1), time=10)]
    known = Memory()
    if together:
        known.record(*before, *after)
    else:
        for one in (*before, *after):
            known.record(one)
    assert known.person(wa(1)) == known.person(own) != known.person(wa(2))
    # What is heard late of the former holder is still the former holder's.
    known.record(happening("4", wa(1), bsuid(1), time=3))
    assert known.person(wa(1)) == known.person(own) != known.person(bsuid(1))
    (former,) = [one for one in known.people() if bsuid(1) in one.document.identities]
    assert not former.document.identities[wa(1)].active


def test_a_number_that_comes_back_to_its_person_is_not_recycled() -> None:
    known = Memory()
    known.record(happening("1", wa(1), bsuid(1), time=1), changed(wa(1), wa(2), 5))
    known.record(happening("2", wa(1), bsuid(1), time=9))
    assert len(known.people()) == 1
    known.record(changed(wa(1), wa(2), 12), happening("3", wa(1), time=15))
    known.record(happening("4", wa(1), bsuid(7), time=16))  # it was used again before
    assert len(known.people()) == 1


# --- browsers ------------------------------------------------------------------------------------


def test_a_visitor_who_says_who_they_are_is_one_person() -> None:
    known = Memory()
    known.record(happening("1", browser(1), time=1, name="page_viewed"))
    known.record(happening("2", browser(1), customer(1), time=2))
    (person,) = known.people()
    assert sorted(person.document.identities) == [customer(1), browser(1)]
    assert person.document.identities[browser(1)].first_time == 1
    assert person.contact_id == known.homes[customer(1)]
    assert person.absorbed == (known.homes[browser(1)],)


def test_a_browser_that_several_people_share_joins_nobody_and_is_the_first_ones() -> None:
    known = Memory()
    known.record(happening("2", browser(1), customer(2), time=2))
    known.record(happening("3", browser(1), customer(3), time=3))
    assert known.person(browser(1)) == known.person(customer(2)) != known.person(customer(3))
    (other,) = [one for one in known.people() if customer(3) in one.document.identities]
    assert browser(1) not in other.document.identities
    known.notes.clear()
    known.record(happening("1", browser(1), customer(1), time=1))  # earlier, and heard later
    assert known.person(browser(1)) == known.person(customer(1)) != known.person(customer(2))
    moved = known.homes[browser(1)]
    bodies = [note.body for note in known.notes if isinstance(note.body, Split | Merged)]
    assert sorted(bodies, key=repr) == [
        Merged(moved, (moved,)),
        Split(known.person(customer(2)), (moved,)),
    ]


def test_what_a_browser_saw_goes_with_it() -> None:
    known = Memory()
    known.record(happening("v", browser(1), time=5, name="order_completed"))
    known.record(happening("2", browser(1), customer(2), time=2))
    known.record(happening("1", browser(1), customer(1), time=1))
    counts = {one.contact_id: one.document.counts for one in known.people()}
    assert counts[known.person(customer(1))] == {"order_count": 1}
    assert counts[known.person(customer(2))] == {}


# --- bounds --------------------------------------------------------------------------------------


def test_an_event_that_names_too_many_is_refused() -> None:
    many = tuple(customer(n) for n in range(MOST_TOGETHER + 1))
    with pytest.raises(FieldInvalid):
        Memory().record(happening("1", *many))


def test_an_identity_that_too_many_share_links_no_more_of_them() -> None:
    known = Memory()
    for n in range(MOST_OF_A_KIND + 3):
        known.record(happening(f"a{n}", customer(n)))
    for n in range(MOST_OF_A_KIND + 3):
        known.record(happening(f"b{n}", customer(n), email(1)))
    sizes = sorted(len(who) for who in known.who())
    assert sizes == [1, 1, 1, MOST_OF_A_KIND + 1]
    assert known.refused == 3
    for n in range(MOST_OF_A_KIND + 3):
        known.record(happening(f"c{n}", customer(n), email(1)))
    assert known.refused == 3  # the same evidence is not looked at again


@pytest.mark.parametrize(
    "value",
    [
        *("null", "NULL", "undefined", "Guest", "anonymous", "unknown", "[object Object]", "NaN"),
        *("0", "-1", "00000000-0000-0000-0000-000000000000", '"null"', "N/A", "none", "(not set)"),
    ],
)
def test_what_programs_send_for_nobody_is_nobody(value: str) -> None:
    for kind in (Kind.EXTERNAL_ID, Kind.ANONYMOUS_ID, Kind.EMAIL):
        assert not means_somebody(Identity(kind, "shop", value))


@pytest.mark.parametrize("value", ["1", "10", "c0", "nullus", "guest-42", "0x1f", "Ünal"])
def test_what_may_be_an_id_is_one(value: str) -> None:
    assert means_somebody(Identity(Kind.EXTERNAL_ID, "shop", value))
    assert means_somebody(Identity(Kind.EMAIL, "", f"{value}@example.com"))
    assert not means_somebody(Identity(Kind.EMAIL, "", "null@example.com"))


# --- merging and unmerging -----------------------------------------------------------------------


def test_an_unmerged_contact_stands_as_before_and_the_same_evidence_links_no_more() -> None:
    known = Memory()
    known.record(happening("1", customer(1), attributes={"city": "Izmir"}, time=1))
    known.record(happening("2", customer(2), attributes={"city": "Ankara"}, time=2))
    before = known.pictures()
    known.record(happening("3", email(1), customer(1)))
    known.record(happening("4", email(1), customer(2), time=4))
    assert len(known.people()) == 1
    known.unmerge(known.homes[customer(2)])
    split = known.notes[-1]
    assert split.contact_id == known.person(customer(2)) != known.person(customer(1))
    assert split.body == Split(known.person(customer(1)), (known.person(customer(2)),))
    cities = [one.document.attributes["city"].value for one in known.people()]
    assert sorted(cities) == ["Ankara", "Izmir"]
    assert len(before) == 2
    known.record(happening("5", email(1), customer(2), time=5))
    assert known.person(customer(2)) != known.person(customer(1))
    known.merge(customer(2), customer(1))
    assert len(known.people()) == 1


def test_those_that_only_the_split_contact_linked_go_with_it() -> None:
    known = Memory()
    for n in range(4):
        known.record(happening(f"{n}", customer(n)))
    known.record(happening("a", customer(2), customer(3)))
    known.merge(customer(0), customer(1))
    known.merge(customer(1), customer(3))
    known.unmerge(known.homes[customer(2)])
    assert known.who() == [[customer(0), customer(1)], [customer(2), customer(3)]]


# --- any order -----------------------------------------------------------------------------------

STRONG = [
    *(wa(n) for n in range(2)),
    *(customer(n) for n in range(4)),
    *(bsuid(n) for n in range(2)),
]
BROWSERS = [browser(n) for n in range(3)]


@st.composite
def histories(draw: st.DrawFn) -> list[Happening]:
    found = []
    for n in range(draw(st.integers(1, 12))):
        who = draw(st.lists(st.sampled_from(STRONG), max_size=2, unique=True))
        least = 0 if who else 1
        who += draw(st.lists(st.sampled_from(BROWSERS), min_size=least, max_size=2, unique=True))
        time = draw(st.integers(0, 5))
        said = (
            (Consent(f"con{n}", time, "marketing", draw(st.booleans())),)
            if draw(st.booleans())
            else ()
        )
        ids = [i for i in who if i.kind == Kind.BSUID]
        found.append(
            happening(
                f"e{n}",
                *who,
                name=draw(
                    st.sampled_from(["order_completed", "message_read", "message_received", "x"])
                ),
                time=time,
                ended=tuple(ids[:1]) if draw(st.integers(0, 3)) == 0 else (),
                attributes=draw(
                    st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, "x"]), max_size=2)
                ),
                amount=draw(st.integers(0, 3)) * 100_000,
                consents=said,
                phone_number_id=draw(st.sampled_from(["", "n1", "n2"])),
            )
        )
    return found


def in_some_order(history: Sequence[Happening], random: Random) -> Memory:
    """Shuffled, with repeats, in batches."""
    shuffled = [*history, *random.choices(history, k=4)]
    random.shuffle(shuffled)
    known = Memory()
    while shuffled:
        size = random.randint(1, 5)
        batch, shuffled = shuffled[:size], shuffled[size:]
        known.record(*batch)
    return known


@settings(max_examples=300, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_duplication_and_batching_gives_the_same_people(
    history: list[Happening], random: Random
) -> None:
    plain = Memory()
    for one in history:
        plain.record(one)
    other = in_some_order(history, random)
    assert other.who() == plain.who()
    assert other.pictures() == plain.pictures()


@settings(max_examples=100, deadline=None)
@given(histories())
def test_joined_pictures_are_as_if_all_events_had_been_ones(history: list[Happening]) -> None:
    apart_, one = Memory(), Memory()
    one.record(happening("all", *STRONG, time=9))
    for each in history:
        apart_.record(each)
        one.record(each)
    apart_.record(happening("all", *STRONG, time=9))
    assert apart_.who() == one.who()
    assert apart_.pictures() == one.pictures()


@settings(max_examples=100, deadline=None)
@given(
    histories(),
    st.lists(st.tuples(st.sampled_from(STRONG), st.sampled_from(STRONG)), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_merges_in_any_order_give_the_same_people(
    history: list[Happening], pairs: list[tuple[Identity, Identity]], random: Random
) -> None:
    def merged(known: Memory, order: Sequence[tuple[Identity, Identity]]) -> Memory:
        for one, other in order:
            if one in known.homes and other in known.homes:
                known.merge(one, other)
        return known

    plain = merged(in_some_order(history, random), pairs)
    other = merged(in_some_order(history, random), random.sample(pairs, len(pairs)))
    assert other.who() == plain.who()
    assert other.pictures() == plain.pictures()


@settings(max_examples=200, deadline=None)
@given(histories(), st.sampled_from(STRONG), st.sampled_from(STRONG))
def test_an_unmerge_undoes_a_merge(
    history: list[Happening], one: Identity, other: Identity
) -> None:
    known = Memory()
    for each in history:
        known.record(each)
    if one not in known.homes or other not in known.homes:
        return
    ids = {known.person(one), known.person(other)}
    before = known.who(), known.pictures()
    known.merge(one, other)
    (absorbed,) = ids - {known.person(one)} or ids
    known.unmerge(absorbed)
    assert (known.who(), known.pictures()) == before


@settings(max_examples=100, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_who_follows_what_is_said_knows_who_is_who(
    history: list[Happening], random: Random
) -> None:
    """A reader who keeps the pointers of `ContactMerged` and `ContactSplit` agrees."""
    known = in_some_order(history, random)
    merged = [i for i, m in known.members.items() if m.person_id != i]
    for absorbed in merged[:2]:
        known.unmerge(absorbed)
    stands: dict[str, str] = {}
    for note in known.notes:
        if isinstance(note.body, Merged | Split):
            stands |= dict.fromkeys(note.body.member_ids, note.contact_id)
    told = {member.contact_id for member in known.members.values()}
    published = {n.contact_id for n in known.notes}
    for contact_id in told & published:
        assert stands.get(contact_id, contact_id) == known.members[contact_id].person_id


def test_a_contact_that_does_not_exist_is_not_made() -> None:
    known = Memory()
    for bad in (happening("1", contact_id="gone"), happening("2", wa(1), create=False)):
        with pytest.raises(ContactNotFound):
            known.record(bad)


def test_pictures_join_in_any_order_and_grouping() -> None:
    known = Memory()
    for n in range(3):
        known.record(
            happening(f"{n}", customer(n), time=n, attributes={"a": n}, name="order_completed")
        )
    documents = [member.document for member in known.members.values()]
    together_all = picture(together(documents))
    for first, second in pairwise((*documents, documents[0])):
        (third,) = [d for d in documents if d is not first and d is not second]
        assert picture(together([third, together([second, first])])) == together_all
