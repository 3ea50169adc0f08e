"""Bodies as nobody should post them, made from those that people do."""

import json
import string
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"
WILD = Path(__file__).parents[4] / "shared" / "webhooks"
FIELDS = (
    *("messages", "account_update", "calls", "history", "user_preferences", "user_id_update"),
    *("message_template_status_update", "smb_message_echoes", "group_status_update", "flows"),
    *("business_capability_update", "security", "messaging_handovers", "unheard_of"),
)
KINDS = ("field", "type", "event", "status")


class Raw(str):
    """JSON as it stands, right or wrong."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object, in which a key may stand twice."""


HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, "", " ", "\0", "a\0b", "é" * 300, "٣٤٥", "x" * 70_000),
    *(Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e400"), Raw("-0"), Raw("1E+2")),
    *(Raw("9" * 400), Raw("-" + "9" * 30), Raw("18446744073709551616"), Raw("9223372036854775808")),
    *(Raw("1e308"), Raw("0.1e-400"), Raw("01"), Raw("+1"), Raw(".5"), Raw("0x10"), Raw("'x'")),
    *(Raw(r'"\ud800"'), Raw(r'"\udc00\ud800"'), Raw(r'"\ud83d\ude00"'), Raw(r'"\u0000"')),
    *(Raw('"\\x"'), Raw('"\t"'), Raw('"\x7f"'), Raw(r'"\uFFFF"'), Raw("undefined"), Raw("")),
    *([], [[]], [None], [1, "x", {}], Pairs(), Pairs([("", "")]), Pairs([("id", Pairs())])),
    *(Raw("[" * 300 + "]" * 300), Raw("[" * 900 + "]" * 900), Raw("[" * 5000 + "]" * 5000)),
    *(Raw('{"a":' * 900 + "1" + "}" * 900), "9" * 400, "1e9", "-5", "99999999999999999999"),
    *("253402300800", "TIER_∞", "2026-13-45T99:00Z"),
)  # fmt: skip


def read(text: str) -> Any:
    """JSON, its objects as `Pairs`."""
    return json.loads(text, object_pairs_hook=Pairs)


def written(value: Any) -> str:
    """The tree as JSON, what is raw in it as it stands."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def spots(value: Any) -> list[tuple[Any, int]]:
    """Every place in a tree: what holds it, and where there."""
    found: list[tuple[Any, int]] = []
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found.append((value, index))
            found += spots(inner[1] if isinstance(value, Pairs) else inner)
    return found


def mutated(tree: Any, chance: Random) -> Any:
    """The tree with one thing wrong in it. Trees are changed in place."""
    places = spots(tree)
    if not places:
        return hostile(chance)
    holder, index = chance.choice(places)
    key, inner = holder[index] if isinstance(holder, Pairs) else ("", holder[index])

    def put(new: Any, new_key: str = key) -> None:
        holder[index] = (new_key, new) if isinstance(holder, Pairs) else new

    def twice() -> None:
        holder.insert(chance.randint(0, len(holder)), holder[index])
        put(hostile(chance))

    def elsewhere() -> None:
        other, there = chance.choice(places)
        if there < len(other):
            taken = other[there][1] if isinstance(other, Pairs) else other[there]
            put(read(written(taken)) if not has_raw(taken) else hostile(chance))

    kinds: list[Callable[[], None]] = [
        *[lambda: put(hostile(chance))] * 4,
        *[lambda: holder.pop(index)] * 2,
        twice,
        elsewhere,
        lambda: put([inner]),
        lambda: put([deepcopy(inner) for _ in range(chance.choice((0, 2, 300)))]),
        lambda: put(inner, "".join(chance.choices(string.printable, k=chance.randint(0, 9)))),
        lambda: put(str(inner) if isinstance(inner, int) else inner),
        lambda: put(chance.choice(FIELDS) if key in KINDS else inner),
    ]
    chance.choice(kinds)()
    return tree


def hostile(chance: Random) -> Any:
    return deepcopy(chance.choice(HOSTILE))


def has_raw(value: Any) -> bool:
    if isinstance(value, Pairs):
        return any(has_raw(inner) for _, inner in value)
    if isinstance(value, list):
        return any(map(has_raw, value))
    return isinstance(value, Raw)


def body(text: str, chance: Random) -> bytes:
    """A body with a few things wrong in it."""
    tree = read(text)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        tree = mutated(tree, chance)
    raw = written(tree).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        at = chance.randrange(len(raw) + 1)
        raw = chance.choice((raw[:at], raw[:at] + b"\xff\xc0\x00" + raw[at:], raw + raw[:at]))
    return raw
