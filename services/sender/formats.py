"""How the value of a variable is written: the contract's formats, as planning knows them."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Casing = Literal["", "lower", "upper", "title"]
Suffix = Literal["", "genitive", "dative", "accusative", "locative", "ablative", "instrumental"]


class TextFormat(Struct, frozen=True):
    """Words, in the grammar of the message's language."""

    casing: Casing = ""
    suffix: Suffix = ""
    max_characters: int = 0
    """0: no limit."""


class MoneyFormat(Struct, frozen=True):
    """An amount of a currency."""

    currency: str
    """ISO 4217."""
    micros: bool = False
    """The value is in millionths of the currency."""


class NumberFormat(Struct, frozen=True):
    """A number."""

    fraction_digits: int = 0
    """At most so many."""
    percent: bool = False
    """0.25 is 25 %."""


class DateFormat(Struct, frozen=True):
    """A moment, in the contact's zone."""

    pattern: str
    """`short`, `medium`, `long`, `full`, or a pattern of CLDR's."""


class PluralFormat(Struct, frozen=True):
    """A number with the word that goes with it."""

    forms: Mapping[str, str]
    """By CLDR's categories; `{}` stands for the number."""


Format = TextFormat | MoneyFormat | NumberFormat | DateFormat | PluralFormat
