"""A document decoded in part, for who looks at little of it.

Most of a document is what traits follow from. Decoding that, and letting go of it, is half of what
a read of many contacts costs; skipped it costs next to nothing.
"""

from typing import Final, NamedTuple

import msgspec

from services.profile.model import (
    Consent,
    Document,
    Fact,
    Identity,
    Known,
    Place,
    Restriction,
    Window,
)
from services.profile.tallies import Fading, Latest, Tallies

_INFERRING: Final = ("zone", "language", "country")
"""Attributes that zone and language follow from, in any part."""
_OBSERVED: Final = ("device_zone", "locale", "tongue")
"""And what of the tallies they follow from."""
_TONGUES: Final = "tongues"


class Part(NamedTuple):
    """What of documents is looked at: all but what traits follow from."""

    attributes: frozenset[str] | None = None
    """Only these, with those that zone and language follow from; None is all."""
    newest: frozenset[str] = frozenset()
    """Besides, these of the tallies' newest values of many things."""


class _Tallies(msgspec.Struct, array_like=True, gc=False):
    latest: dict[str, msgspec.Raw] = {}
    newest: msgspec.Raw = msgspec.Raw(b"")
    fading: msgspec.Raw = msgspec.Raw(b"")


class _Document(msgspec.Struct, array_like=True, gc=False):
    """`Document`, field for field."""

    create_time: int
    identities: dict[Identity, Known] = {}
    attributes: dict[str, msgspec.Raw] = {}
    counts: msgspec.Raw = msgspec.Raw(b"")
    times: msgspec.Raw = msgspec.Raw(b"")
    consents: dict[str, Consent] = {}
    place: Place = Place()
    window: Window = Window()
    guests: dict[Identity, Known] = {}
    revision: int = 0
    stamp: int = 0
    tallies: _Tallies = msgspec.field(default_factory=_Tallies)
    restriction: Restriction = Restriction()


_DOCUMENT: Final = msgspec.msgpack.Decoder(_Document)
_FACT: Final = msgspec.msgpack.Decoder(Fact)
_LATEST: Final = msgspec.msgpack.Decoder(Latest)
_SUMS: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_FADING: Final = msgspec.msgpack.Decoder(Fading)
_THINGS: Final = msgspec.msgpack.Decoder(dict[str, Latest])


def decoded(encoded: bytes, part: Part) -> Document:
    """A part of a document."""
    found = _DOCUMENT.decode(encoded)
    facts, latest = found.attributes, found.tallies.latest
    names = facts if part.attributes is None else {*part.attributes, *_INFERRING}
    observed: dict[str, Latest] = {
        name: _LATEST.decode(latest[name]) for name in _OBSERVED if name in latest
    }
    tallies = Tallies(observed)
    if part.newest and bytes(found.tallies.newest):
        things = _SUMS.decode(found.tallies.newest)
        tallies.newest = {n: _THINGS.decode(things[n]) for n in part.newest if n in things}
    if "tongue" in observed:
        sums = _SUMS.decode(found.tallies.fading)
        tallies.fading = {_TONGUES: _FADING.decode(sums[_TONGUES])} if _TONGUES in sums else {}
    return Document(
        found.create_time,
        found.identities,
        {name: _FACT.decode(facts[name]) for name in names if name in facts} if facts else {},
        consents=found.consents,
        place=found.place,
        window=found.window,
        guests=found.guests,
        revision=found.revision,
        stamp=found.stamp,
        tallies=tallies,
        restriction=found.restriction,
    )
