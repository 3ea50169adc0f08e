"""A document decoded in part, for who looks at little of it.

Most of a document is what traits follow from. Decoding that, and letting go of it, is half of what
a read of many contacts costs; skipped it costs next to nothing.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from services.profile.person.model import (
    Consent,
    Document,
    Fact,
    Identity,
    Known,
    Place,
    Restriction,
    Window,
)
from services.profile.person.tallies import Fading, Latest, Tallies

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


def decoder(part: Part) -> Callable[[bytes], Document]:
    """What decodes a part of documents."""
    every = part.attributes is None
    some = sorted({*(part.attributes or ()), *_INFERRING})

    def decode(encoded: bytes) -> Document:
        found = _DOCUMENT.decode(encoded)
        known, tallied = found.attributes, found.tallies
        facts = {}
        if known:
            facts = {n: _FACT.decode(known[n]) for n in (known if every else some) if n in known}
        latest = tallied.latest
        tallies = Tallies()
        if latest:
            tallies.latest = {n: _LATEST.decode(latest[n]) for n in _OBSERVED if n in latest}
        if "tongue" in latest:
            sums = _SUMS.decode(tallied.fading)
            tallies.fading = {_TONGUES: _FADING.decode(sums[_TONGUES])} if _TONGUES in sums else {}
        if part.newest and bytes(tallied.newest):
            things = _SUMS.decode(tallied.newest)
            tallies.newest = {n: _THINGS.decode(things[n]) for n in part.newest if n in things}
        return Document(
            found.create_time,
            found.identities,
            facts,
            {},
            {},
            found.consents,
            found.place,
            found.window,
            found.guests,
            found.revision,
            found.stamp,
            tallies,
            found.restriction,
        )

    return decode
