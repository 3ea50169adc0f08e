"""What contracts say of their methods, read from the descriptors that were imported."""

from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions


def idempotency(method: str) -> int:
    """The `idempotency_level` of `merhaba.profile.v1.ProfileService/GetContact`. A method that says
    nothing, or whose contract nobody imported, has side effects and must not be repeated."""
    found = _method(method)
    return found.GetOptions().idempotency_level if found else MethodOptions.IDEMPOTENCY_UNKNOWN


def repeatable(methods: Iterable[str]) -> list[str]:
    """Those that are safe to repeat."""
    return [m for m in methods if idempotency(m) != MethodOptions.IDEMPOTENCY_UNKNOWN]


def takes_request_id(method: str) -> bool:
    """Whether a repeat is known by a `request_id`."""
    found = _method(method)
    return found is not None and "request_id" in found.input_type.fields_by_name


def reads_only(method: str) -> bool:
    """Whether it changes nothing."""
    return idempotency(method) == MethodOptions.NO_SIDE_EFFECTS


def _method(method: str) -> Any:
    contract, _, name = method.partition("/")
    try:
        return descriptor_pool.Default().FindMethodByName(f"{contract}.{name}")
    except KeyError:
        return None
