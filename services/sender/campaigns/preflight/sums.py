"""What a preflight found so far: sums that fit into a cursor, whatever the size of the audience.
Pure."""

import base64
import binascii
import zlib
from typing import Final, NamedTuple, TypeVar

import msgspec

K = TypeVar("K")

_SAMPLES: Final = 10
_LARGEST: Final = 4 * 1024 * 1024
_MINUTE_MS: Final = 60_000


class Place(NamedTuple):
    """What a message costs depends on this."""

    phone_number_id: str
    market: str
    category: str


class Lacking(NamedTuple):
    """A variable that has no value for some."""

    variant: str
    variable: str


class Sums(msgspec.Struct):
    """Everybody who was looked at, added up."""

    version: int
    """Of the campaign: of another nothing is added to these."""
    asked_time: int
    """When it began (ms)."""
    cursor: str = ""
    """Where in the audience it is."""
    checked: int = 0
    total: int = 0
    """As far as anybody can say."""
    recipients: int = 0
    reachable: int = 0
    held_out: int = 0
    unresolved: int = 0
    excluded: dict[str, int] = {}
    delayed: dict[str, int] = {}
    places: dict[Place, int] = {}
    """Reachable."""
    openings: dict[str, int] = {}
    """Of these, by business number, those outside a window: they count for the messaging limit."""
    minutes: dict[str, dict[int, int]] = {}
    """Of these, by business number and minute since 1970, those who may be sent to from then on."""
    variants: dict[tuple[str, str], int] = {}
    """Of these, by variant and language."""
    fallbacks: dict[Lacking, int] = {}
    skipped: dict[Lacking, int] = {}
    failing: dict[Lacking, int] = {}
    samples: dict[Lacking, list[str]] = {}

    def lacking(self, where: Lacking, missing: str, contact_id: str) -> None:
        """Somebody lacks a variable, of which the binding says `missing`."""
        counts = {"fallback": self.fallbacks, "fail": self.failing}.get(missing, self.skipped)
        counts[where] = counts.get(where, 0) + 1
        samples = self.samples.setdefault(where, [])
        if len(samples) < _SAMPLES:
            samples.append(contact_id)

    def reaches(self, place: Place, variant: tuple[str, str], time: int, *, opening: bool) -> None:
        """Somebody is reachable from a moment (ms) on; 0 when nobody can say from when."""
        self.reachable += 1
        _add(self.places, place)
        _add(self.variants, variant)
        if opening:
            _add(self.openings, place.phone_number_id)
        if time:
            _add(self.minutes.setdefault(place.phone_number_id, {}), time // _MINUTE_MS)

    def excludes(self, gate: str) -> None:
        """Somebody is never reached."""
        _add(self.excluded, gate)

    def delays(self, gate: str) -> None:
        """Somebody is reached later."""
        _add(self.delayed, gate)

    def packed(self) -> str:
        """As a part of a cursor."""
        return base64.b85encode(zlib.compress(msgspec.msgpack.encode(self), 1)).decode()


def _add(counts: dict[K, int], key: K) -> None:
    counts[key] = counts.get(key, 0) + 1


def unpacked(text: str) -> Sums | None:
    """From a part of a cursor; None for what is none."""
    try:
        inflating = zlib.decompressobj()
        plain = inflating.decompress(base64.b85decode(text), _LARGEST)
        return msgspec.msgpack.decode(plain, type=Sums)
    except (ValueError, binascii.Error, zlib.error, msgspec.MsgspecError):
        return None
