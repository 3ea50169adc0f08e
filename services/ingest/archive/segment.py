"""A segment: many webhooks in one row, their heads and their bodies compressed together. Pure.

A webhook's id is made when it is received and sorts by that moment, and a segment spans a minute of
ids at most: so the segments of a period lie between two ids, whichever replica wrote them.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final
from uuid import UUID

import msgspec
import zstandard

from services.ingest.model import RawWebhook

SPAN_MS: Final = 60_000
"""What the ids of one segment span at most; also how far an id is from its moment of receipt."""
_MOST: Final = 1_000  # webhooks of a segment
_MOST_BYTES: Final = 4 * 1024 * 1024  # of their bodies, unless one alone is larger
_LEVEL: Final = 1  # higher ones take twice the time for a tenth of the room
_ID: Final = re.compile(r"wh_[0-9a-f]{32}")
_KEY_BYTES: Final = 32
_BLIND_BYTES: Final = 8
_WORD: Final = re.compile(rb"[\w.-]{5,128}")
_DIGIT: Final = re.compile(rb"\d")
_BY_ID: Final = attrgetter("webhook_id")


class Head(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One archived webhook without its body."""

    webhook_id: str
    received_ms: int
    app: str
    reason: str
    """Why nothing of it could be read."""
    item_count: int
    unrecognised_count: int
    refused_count: int
    fields: tuple[str, ...]
    waba_ids: tuple[str, ...]
    phone_number_ids: tuple[str, ...]
    blind_indexes: tuple[int, ...]
    size_bytes: int
    redacted_ms: int = 0
    """When somebody in it was erased last."""

    @property
    def state(self) -> str:
        """`normalised`, `partial` or `broken`."""
        return _state(self.reason, self.unrecognised_count, self.refused_count)


def _state(reason: str, unrecognised: int, refused: int) -> str:
    if reason:
        return "broken"
    return "partial" if unrecognised or refused else "normalised"


class ArchivedWebhook(msgspec.Struct, frozen=True):
    """One archived webhook."""

    head: Head
    body: bytes
    """As posted; without the items of people who were erased, empty when there was nobody else."""


class ArchiveQuery(msgspec.Struct, frozen=True):
    """Chooses archived webhooks; what is empty chooses all."""

    start_ms: int = 0
    end_ms: int = 0
    fields: Sequence[str] = ()
    waba_ids: Sequence[str] = ()
    phone_number_ids: Sequence[str] = ()
    apps: Sequence[str] = ()
    states: Sequence[str] = ()
    """`normalised`, `partial`, `broken`."""
    identities: Sequence[str] = ()


class Summary(msgspec.Struct, frozen=True):
    """What a segment is chosen by: everything that is said in any of its heads."""

    first_webhook_id: str
    last_webhook_id: str
    first_received_ms: int
    last_received_ms: int
    fields: list[str]
    waba_ids: list[str]
    phone_number_ids: list[str]
    apps: list[str]
    states: list[str]
    blind_indexes: list[int]


class BlindIndex:
    """Tells people apart without saying who they are: nobody can without the key."""

    def __init__(self, key: bytes) -> None:
        derived = hashlib.blake2b(key, digest_size=_KEY_BYTES).digest()
        self._keyed = hashlib.blake2b(key=derived, digest_size=_BLIND_BYTES)

    def of(self, value: str) -> int:
        """64 bits of a keyed hash: enough to choose by, and what is chosen is looked at again
        before anything of it is erased."""
        mac = self._keyed.copy()
        mac.update(value.encode())
        return int.from_bytes(mac.digest(), "big", signed=True)


def cut(webhooks: Iterable[RawWebhook]) -> Iterator[list[RawWebhook]]:
    """Webhooks as segments take them: each once, by id, not too many, too large or too far apart.

    Raises `ValueError` for an id that is not one.
    """
    piece: list[RawWebhook] = []
    size, last, until = 0, "", ""
    for one in sorted(webhooks, key=_BY_ID):
        if one.webhook_id == last:
            continue
        last = one.webhook_id
        size += len(one.body)
        if piece and (len(piece) == _MOST or size > _MOST_BYTES or last >= until):
            yield piece
            piece, size = [], len(one.body)
        if not piece:
            until = least_id(_moment(last) + SPAN_MS)
        piece.append(one)
    if piece:
        yield piece


def heads_of(webhooks: Sequence[RawWebhook], index: BlindIndex) -> list[Head]:
    """The heads of webhooks; whoever is in several of them is hashed once."""
    blind: dict[str, int] = {}
    heads: list[Head] = []
    for one in webhooks:
        people: Iterable[str] = one.identities
        if not people or one.unrecognised_count or one.refused_count:
            people = {*people, *words(one.body)}
        found: list[int] = []
        for value in people:
            number = blind.get(value)
            if number is None:
                number = blind[value] = index.of(value)
            found.append(number)
        heads.append(
            Head(
                one.webhook_id, one.received_ms, one.app, one.reason, one.item_count,
                one.unrecognised_count, one.refused_count, one.fields, one.waba_ids,
                one.phone_number_ids, tuple(found), len(one.body),
            )
        )  # fmt: skip
    return heads


def words(body: bytes) -> set[str]:
    """Whatever in a body could name a person: for what nobody could read, or read in full."""
    return {
        word.decode(errors="replace").strip(".-")
        for word in _WORD.findall(body)
        if _DIGIT.search(word)
    }


def summary(heads: Sequence[Head]) -> Summary:
    """What a segment of these heads, which are ordered by id, is chosen by."""
    kinds = {
        (
            head.app, head.fields, head.waba_ids, head.phone_number_ids,
            head.reason, head.unrecognised_count, head.refused_count,
        )
        for head in heads
    }  # fmt: skip
    received = [head.received_ms for head in heads]
    return Summary(
        first_webhook_id=heads[0].webhook_id,
        last_webhook_id=heads[-1].webhook_id,
        first_received_ms=min(received),
        last_received_ms=max(received),
        apps=_column(kind[0] for kind in kinds),
        fields=_column(value for kind in kinds for value in kind[1]),
        waba_ids=_column(value for kind in kinds for value in kind[2]),
        phone_number_ids=_column(value for kind in kinds for value in kind[3]),
        states=_column(_state(*kind[4:]) for kind in kinds),
        blind_indexes=list({number for head in heads for number in head.blind_indexes}),
    )


def _column(values: Iterable[str]) -> list[str]:
    return sorted(map(as_text, set(values)))


def as_text(value: str) -> str:
    """As a column of texts takes it; a zero is the one character that it refuses."""
    return value.replace("\0", "")


def segment_id(heads: Sequence[Head]) -> UUID:
    """Follows from the webhooks inside: the same batch written twice is one segment."""
    said = "".join([head.webhook_id for head in heads]).encode()
    return UUID(bytes=hashlib.blake2b(said, digest_size=16).digest())


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Head])


def packed(heads: Sequence[Head], bodies: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Heads and bodies as they are kept."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return compressor.compress(_encoder.encode(heads)), compressor.compress(b"".join(bodies))


def unpacked_heads(kept: bytes) -> list[Head]:
    """Heads, ordered by id."""
    return _decoder.decode(zstandard.ZstdDecompressor().decompress(kept))


def unpacked_bodies(kept: bytes, heads: Sequence[Head]) -> list[bytes]:
    """The bodies behind the heads of the same segment."""
    joined = zstandard.ZstdDecompressor().decompress(kept)
    bodies: list[bytes] = []
    end = 0
    for head in heads:
        start, end = end, end + head.size_bytes
        bodies.append(joined[start:end])
    return bodies


def chooser(query: ArchiveQuery, blind_indexes: Iterable[int]) -> Callable[[Head], bool]:
    """Whether a head is what a query chooses; `blind_indexes` are those of its identities."""
    fields, wabas = frozenset(query.fields), frozenset(query.waba_ids)
    phones, apps = frozenset(query.phone_number_ids), frozenset(query.apps)
    states, people = frozenset(query.states), frozenset(blind_indexes)

    def chosen(head: Head) -> bool:
        return (
            head.received_ms >= query.start_ms
            and (not query.end_ms or head.received_ms < query.end_ms)
            and (not fields or not fields.isdisjoint(head.fields))
            and (not wabas or not wabas.isdisjoint(head.waba_ids))
            and (not phones or not phones.isdisjoint(head.phone_number_ids))
            and (not apps or head.app in apps)
            and (not states or head.state in states)
            and (not people or not people.isdisjoint(head.blind_indexes))
        )

    return chosen


def valid(webhook_id: str) -> bool:
    """Whether it can be an id of a webhook."""
    return _ID.fullmatch(webhook_id) is not None


def least_id(at_ms: int) -> str:
    """No webhook's id of that moment or after is less."""
    return f"wh_{max(at_ms, 0):012x}"


def from_id(webhook_id: str) -> str:
    """No segment that holds the webhook, or one after it, begins before this."""
    return least_id(_moment(webhook_id) - SPAN_MS) if webhook_id else ""


def until_id(webhook_id: str) -> str:
    """Every segment that holds the webhook, or one before it, ends before this."""
    return least_id(_moment(webhook_id) + SPAN_MS + 1)


def _moment(webhook_id: str) -> int:
    return int(webhook_id[3:15], 16)
