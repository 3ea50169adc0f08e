"""Messages of the contracts as JSON that a person, or their next provider, can read."""

from base64 import b64decode
from typing import Any, Final

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_JSON: Final = "_json"


def readable(message: Message) -> dict[str, Any]:
    """A message by the names of its fields; fields that hold JSON (`properties_json`) as what they
    hold."""
    found: dict[str, Any] = _opened(MessageToDict(message, preserving_proto_field_name=True))
    return found


def _opened(node: Any, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _opened(value, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_opened(value, name) for value in node]
    if name.endswith(_JSON) and isinstance(node, str):
        try:
            return orjson.loads(b64decode(node))
        except ValueError:
            return node
    return node
