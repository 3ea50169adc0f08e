"""Messages of any contract with anything in their fields: what fits, what nearly does, what never
could."""

from random import Random
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from chassis.ids import fresh_id
from chassis.malformed import malformed

_DEEPEST: Final = 5
_REMEMBERED: Final = 400
_LONG: Final = "x" * 70_000

HOSTILE: Final = (
    *("", " ", "a", "\0", "a\0b", "\n", "\x1b[2J", "\u202e", "\ufeff", "é" * 300, "٣٤٥", "İ"),
    *("' OR 1=1; --", "%", "_", "\\", '"', "$1", "{}", "{0.__class__}", "{{name}}", "${x}"),
    *("[1,", "{", "null", "true", "[]", '{"a":' * 400, "0", "-1", "1e400", "NaN", "9" * 400),
    *("https://a.example/x", "http://127.0.0.1/", "http://[::1", "javascript:alert(1)", "//a"),
    *("+905321234567", "905321234567", "a@b.example", "TR", "tr", "tr_TR", "TRY", "XXX", _LONG),
    *("Europe/Istanbul", "UTC", "../etc/passwd", "Mars/Olympus"),
    *("0 9 * * *", "* * * * * *", "60 * * * *", "1,2,3 */5 1-5 jan mon-fri"),
    *("2026-11-22", "2026-13-45", "2026-11-22T09:00:00Z", "09:00", "25:61", "1d", "-1h"),
    *("profile.city == 'İzmir'", 'events("x").within("24h").count() >= 2', "1 +", "(" * 2_000),
    *("a.b", "vip", "marketing", "external_id", "messages.sent", "2026"),
    "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
"""Texts that have ever been trouble somewhere, and the forms that fields ask for."""

_BYTES: Final = (b"", b"\0", b"\xff" * 20, b"x" * 70_000, b"a,b\n1,2\n", b'{"a":1}\n', b"%PDF-1.7")
_NUMBERS: Final = (0, 1, 2, 7, 100, 10**6)
_REALS: Final = (0.0, 1.0, 0.5, -1.0, 1e308, -1e308, 5e-324, *map(float, ("nan", "inf", "-inf")))
_SECONDS: Final = (0, 1, -1, 1_795_000_000, 253_402_300_799, 253_402_300_800, -(2**62), 2**62)
_NANOS: Final = (0, 1, 999_999_999, 10**9, -1, -(2**31))
_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Anything:
    """Draws messages. What answers told is drawn as well, so that requests find what there is.

    `formed`: nothing in them that `chassis.malformed` tells of.
    """

    def __init__(self, chance: Random, *, formed: bool) -> None:
        self._chance = chance
        self._formed = formed
        self._told: list[str] = []

    def request(self, kind: Descriptor) -> Any:
        """A message of the kind. Some are nearly empty, some have every field."""
        message = GetMessageClass(kind)()
        self._fill(message, self._chance.choice((0.1, 0.5, 0.9)), 0)
        return message

    def learn(self, answer: Message) -> None:
        """Ids, names, tokens and tags that were answered are asked for later."""
        for field, value in answer.ListFields():
            if field.message_type is not None and not field.message_type.GetOptions().map_entry:
                for inner in list(value)[:20] if field.is_repeated else [value]:
                    self.learn(inner)
            elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
                if len(self._told) < _REMEMBERED:
                    self._told.append(value)
                else:
                    self._told[self._chance.randrange(_REMEMBERED)] = value

    def _fill(self, message: Any, share: float, depth: int) -> None:
        kind = message.DESCRIPTOR
        if kind.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
            while True:
                message.seconds = self._chance.choice(_SECONDS)
                message.nanos = self._chance.choice(_NANOS)
                if not self._formed or malformed(message) is None:
                    return
        for field in kind.fields:
            if self._chance.random() > share:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._fill_map(getattr(message, field.name), field, share, depth)
            elif field.is_repeated:
                self._fill_list(getattr(message, field.name), field, share, depth)
            elif field.message_type is not None:
                inner = getattr(message, field.name)
                inner.SetInParent()
                if depth < _DEEPEST:
                    self._fill(inner, share, depth + 1)
            else:
                setattr(message, field.name, self._scalar(field))

    def _fill_list(self, into: Any, field: FieldDescriptor, share: float, depth: int) -> None:
        for _ in range(self._chance.choice((1, 1, 2, 3, 30) if depth < 2 else (1, 1, 2))):
            if field.message_type is None:
                into.append(self._scalar(field))
            elif depth < _DEEPEST:
                self._fill(into.add(), share, depth + 1)

    def _fill_map(self, into: Any, field: FieldDescriptor, share: float, depth: int) -> None:
        names = field.message_type.fields_by_name
        for _ in range(self._chance.choice((1, 2))):
            key = self._scalar(names["key"])
            if names["value"].message_type is None:
                into[key] = self._scalar(names["value"])
            elif depth < _DEEPEST:
                self._fill(into[key], share, depth + 1)

    def _scalar(self, field: FieldDescriptor) -> Any:
        chance = self._chance
        if field.enum_type is not None:
            known = [one.number for one in field.enum_type.values]
            return chance.choice(known if self._formed else [*known, 9_999])
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.choice(_BYTES)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._text(field.name)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if field.cpp_type in _RANGES:
            return chance.choice((*_NUMBERS, *_RANGES[field.cpp_type]))
        return chance.choice(_REALS)

    def _text(self, name: str) -> str:
        chance = self._chance
        if name == "request_id" and chance.random() < 0.9:
            return fresh_id("request")
        if self._told and chance.random() < 0.3:
            return chance.choice(self._told)
        text = chance.choice(HOSTILE)
        return text.replace("\0", "") if self._formed else text
