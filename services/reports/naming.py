"""Enums of the contract by name."""

from typing import Any


def named(enum: Any, number: int) -> str:
    """`READ_RATE` of a measure's number, without the prefix that all have; the number itself where
    there is no name, as of a later version. `enum`: a generated one, whose stubs differ from what
    it is at run time."""
    names: dict[int, str] = {value: name for name, value in enum.items()}
    prefix = names[0].removesuffix("UNSPECIFIED")
    return names.get(number, str(number)).removeprefix(prefix)
