"""A message of the contracts, filled from what a file says: fields by their names there.

Texts are taken as they are written, so that `10:00` is a time of day and not a number. Besides,
people may write less than programs send: `2h` for a duration, `march_1` for a value of an enum,
plain YAML for a field of JSON, a name for an id (`journey: welcome` for `journey_id`), and for a
message its first field alone (`event: order_completed`).
"""

from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import Any, Final

import orjson
import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cli.apply.kinds import Reference
from expressions.values import parse_duration

Field = Any  # a descriptor; protobuf has two classes of them, of which only one is loaded
_REFERRED: Final = ("segment", "journey", "campaign")
_JSON: Final = "_json"
_WHOLE: Final = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}


class Wrong(Exception):
    """What a node says cannot be."""

    def __init__(self, node: yaml.Node, said: str) -> None:
        super().__init__(said)
        self.said = said
        self.line: int = node.start_mark.line + 1


def scalar(node: yaml.Node) -> str:
    """A text as it is written. Raises `Wrong`."""
    if not isinstance(node, yaml.ScalarNode):
        raise Wrong(node, "write one value here, no list and no fields")
    return str(node.value)


def filled(
    message: Message,
    node: yaml.Node,
    references: list[Reference],
    allowed: Collection[str] | None = None,
) -> None:
    """Fill a message; names whose ids are to be found are added to `references`. `allowed`: only
    these fields. Raises `Wrong`."""
    kind = message.DESCRIPTOR
    if isinstance(node, yaml.ScalarNode):
        _first(message, node, references)
        return
    if not isinstance(node, yaml.MappingNode):
        raise Wrong(node, f"write the fields of {kind.name} here, no list")
    said: set[str] = set()
    for key, value in node.value:
        name = scalar(key)
        if name in said:
            raise Wrong(key, f"{name} stands here twice")
        said.add(name)
        known = kind.fields_by_name.get(name)
        if known is None and name in _REFERRED and f"{name}_id" in kind.fields_by_name:
            references.append(Reference(message, f"{name}_id", name, scalar(value), _line(value)))
            continue
        if known is None or (allowed is not None and name not in allowed):
            raise Wrong(key, _unknown(kind, name, allowed))
        group = known.containing_oneof
        if group is not None and (other := message.WhichOneof(group.name)) not in (None, name):
            raise Wrong(key, f"{other} is said already; only one of both can be")
        try:
            _fill(message, known, value, references)
        except ValueError as error:  # a number beyond what the field can hold, half a character
            raise Wrong(value, f"{name} cannot be that: {error}") from None


def _first(message: Message, node: yaml.ScalarNode, references: list[Reference]) -> None:
    """The first field alone."""
    kind = message.DESCRIPTOR
    known = kind.fields_by_number.get(1)
    if known is None or known.cpp_type != FieldDescriptor.CPPTYPE_STRING or known.is_repeated:
        raise Wrong(node, f"write the fields of {kind.name} here")
    referred = known.name.removesuffix("_id")
    if referred in _REFERRED:
        references.append(Reference(message, known.name, referred, scalar(node), _line(node)))
    else:
        setattr(message, known.name, scalar(node))


def _fill(message: Message, known: Field, node: yaml.Node, references: list[Reference]) -> None:
    if known.message_type is not None and known.message_type.GetOptions().map_entry:
        if not isinstance(node, yaml.MappingNode):
            raise Wrong(node, f"write names and values of {known.name} here")
        entries = getattr(message, known.name)
        for key, value in node.value:
            entries[scalar(key)] = _value(known.message_type.fields_by_name["value"], value)
    elif known.is_repeated:
        if not isinstance(node, yaml.SequenceNode):
            raise Wrong(node, f"{known.name} is a list: begin each with `- `")
        entries = getattr(message, known.name)
        for one in node.value:
            if known.message_type is not None:
                filled(entries.add(), one, references)
            else:
                entries.append(_value(known, one))
    elif known.message_type is Duration.DESCRIPTOR:
        getattr(message, known.name).FromMilliseconds(_read(node, parse_duration))
    elif known.message_type is Timestamp.DESCRIPTOR:
        getattr(message, known.name).CopyFrom(_read(node, _moment))
    elif known.message_type is not None:
        inner = getattr(message, known.name)
        inner.SetInParent()
        filled(inner, node, references)
    else:
        setattr(message, known.name, _value(known, node))


def _value(known: Field, node: yaml.Node) -> Any:
    match known.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if known.name.endswith(_JSON):
            loader = yaml.SafeLoader("")
            try:
                return orjson.dumps(loader.construct_document(node))
            except (yaml.YAMLError, orjson.JSONEncodeError):
                raise Wrong(node, f"{known.name} cannot be written as JSON") from None
        case FieldDescriptor.CPPTYPE_STRING:
            return scalar(node)
        case FieldDescriptor.CPPTYPE_BOOL:
            if scalar(node) not in ("true", "false"):
                raise Wrong(node, f"{known.name} is true or false")
            return scalar(node) == "true"
        case FieldDescriptor.CPPTYPE_ENUM:
            return _enum(known, node)
        case kind if kind in _WHOLE:
            return _read(node, int)
        case _:
            return _read(node, float)


def _enum(known: Field, node: yaml.Node) -> int:
    """A value by its name, which may leave out what all have in common."""
    values = known.enum_type.values_by_name
    common = known.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    name = scalar(node).upper()
    found = values.get(name) or values.get(common + name)
    if found is None or not found.number:
        choice = (one.removeprefix(common).lower() for one in values)
        named = ", ".join(one for one in choice if one != "unspecified")
        raise Wrong(node, f"{known.name} is one of {named}")
    return int(found.number)


def _read(node: yaml.Node, read: Callable[[str], Any]) -> Any:
    try:
        return read(scalar(node))
    except ValueError as error:
        said = str(error) if read is parse_duration else "not a number"
        if read is _moment:
            said = "not a moment, such as 2026-12-01T18:00:00Z"
        raise Wrong(node, f"{scalar(node)}: {said}") from None


def _moment(text: str) -> Timestamp:
    found = Timestamp()
    found.FromJsonString(text)
    return found


def _unknown(kind: Any, name: str, allowed: Collection[str] | None) -> str:
    if name in kind.fields_by_name:
        return f"{name} is not for files to say"
    known = [
        *(kind.fields_by_name if allowed is None else allowed),
        *(one for one in _REFERRED if f"{one}_id" in kind.fields_by_name),
    ]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{kind.name} has no {name}; {hint}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
