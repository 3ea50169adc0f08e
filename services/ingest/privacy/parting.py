"""A webhook parted: what is one person's, and what is left without it. Pure.

An item is a person's when it was read as theirs, or when it cannot be read and names them. Where
they are named besides (in a group's list, in somebody's list of contacts), the name alone goes.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from services.ingest import payload
from services.ingest.archive.segment import Head, words
from services.ingest.item import Item
from services.ingest.model import RawWebhook

_ERASED: Final = "erased"
_NAMES: Final = ("wa_id", "user_id", "parent_user_id")

Chosen = Callable[[Any], bool]


class Parted(NamedTuple):
    """Two webhooks of one; each is empty when nothing is in it."""

    theirs: bytes
    rest: bytes


def part(body: bytes, received_ms: int, people: frozenset[str]) -> Parted | None:
    """Part a body by a person's identifiers; None when it does not tell of them."""
    try:
        found = payload.webhook(body)
    except payload.Unreadable:
        return None if people.isdisjoint(words(body)) else Parted(body, b"")
    theirs: set[int] = set()
    known = set(people)
    for item in payload.items(found, received_ms):
        if not isinstance(item, Item):
            continue
        who = _who(item)
        mine = _names(item.body, people) if who is None else not people.isdisjoint(who)
        if mine:
            theirs.add(id(item.body))
            known |= who or set()

    def is_theirs(body: Any) -> bool:
        return id(body) in theirs

    def names_them(contact: Any) -> bool:
        return isinstance(contact, dict) and any(
            _named(contact.get(name)) in known for name in _NAMES
        )

    own = _only(found, is_theirs, names_them)
    rest = _only(found, _not(is_theirs), _not(names_them))
    rest = _scrubbed(rest, people)
    if rest == found:
        return None
    return Parted(orjson.dumps(own) if own else b"", orjson.dumps(rest) if rest else b"")


def left_over(head: Head, body: bytes) -> RawWebhook:
    """What is left of an archived webhook, described by what is in it now."""
    identities: set[str] = set()
    fields: set[str] = set()
    wabas: set[str] = set()
    phones: set[str] = set()
    count = unrecognised = refused = 0
    reason = head.reason
    if body and not reason:
        found = payload.webhook(body)
        for item in payload.items(found, head.received_ms):
            count += 1
            if isinstance(item, Item):
                fields.add(item.change.field)
                wabas.add(item.change.waba_id)
                phones.add(item.change.phone_number_id)
            try:
                occurrence = payload.read(item)
            except Exception:  # noqa: BLE001 - it could not be read when it came
                refused += 1
            else:
                unrecognised += occurrence.unrecognised
                identities.update(one.value for one in occurrence.identities)
    phones.discard("")
    return RawWebhook(
        head.webhook_id, head.received_ms, head.app, body, reason, count, unrecognised, refused,
        tuple(fields), tuple(wabas), tuple(phones), tuple(identities),
    )  # fmt: skip


def _who(item: Item) -> set[str] | None:
    """Whom an item is about; None when it cannot be read."""
    try:
        return {one.value for one in payload.read(item).identities}
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is looked at as it is
        return None


def _only(found: dict[str, Any], keep: Chosen, contact: Chosen) -> dict[str, Any] | None:
    """The webhook with the items to keep; None when there are none."""
    entries: list[Any] = []
    for entry in found["entry"]:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if not isinstance(changes, list):
            if keep(entry):
                entries.append(entry)
            continue
        kept = [_change(change, keep, contact) for change in changes]
        kept = [change for change in kept if change is not None]
        if kept or (not changes and keep(entry)):
            entries.append({**entry, "changes": kept})
    return {**found, "entry": entries} if entries else None


def _change(change: Any, keep: Chosen, contact: Chosen) -> Any:
    value = change.get("value") if isinstance(change, dict) else None
    if not isinstance(value, dict):
        return change if keep(change) else None
    field = change.get("field")
    parts = payload.PARTS.get(field, {}) if isinstance(field, str) else {}
    listed = [part for part in parts if isinstance(value.get(part), list) and value[part]]
    if not listed:
        return change if keep(value) else None
    rest: dict[str, Any] = {}
    some = False
    for name, inside in value.items():
        if name in listed:
            kept = [_item(name, body, keep) for body in inside]
            kept = [body for body in kept if body is not None]
            some = some or bool(kept)
        elif name == "contacts" and isinstance(inside, list):
            kept = [one for one in inside if contact(one)]
        else:
            rest[name] = inside
            continue
        if kept or not inside:
            rest[name] = kept
    return {**change, "value": rest} if some else None


def _item(part: str, body: Any, keep: Chosen) -> Any:
    threads = body.get("threads") if part == "history" and isinstance(body, dict) else None
    if not isinstance(threads, list) or not threads:
        return body if keep(body) else None
    kept = [_thread(thread, body, keep) for thread in threads]
    kept = [thread for thread in kept if thread is not None]
    return {**body, "threads": kept} if kept else None


def _thread(thread: Any, chunk: Any, keep: Chosen) -> Any:
    messages = thread.get("messages") if isinstance(thread, dict) else None
    if not isinstance(messages, list):
        return thread if keep(chunk) else None
    kept = [message for message in messages if keep(message)]
    return {**thread, "messages": kept} if kept or (not messages and keep(chunk)) else None


def _names(node: Any, people: frozenset[str]) -> bool:
    if isinstance(node, dict):
        return any(_names(one, people) for pair in node.items() for one in pair)
    if isinstance(node, list):
        return any(_names(one, people) for one in node)
    return _named(node) in people


def _scrubbed(node: Any, people: frozenset[str]) -> Any:
    if isinstance(node, dict):
        return {_scrubbed(key, people): _scrubbed(one, people) for key, one in node.items()}
    if isinstance(node, list):
        return [_scrubbed(one, people) for one in node]
    return _ERASED if _named(node) in people else node


def _named(value: Any) -> str:
    """A value as an identifier: numbers come as text and as numbers, with and without `+`."""
    return str(value).removeprefix("+") if isinstance(value, str | int) else ""


def _not(chosen: Chosen) -> Chosen:
    return lambda value: not chosen(value)
