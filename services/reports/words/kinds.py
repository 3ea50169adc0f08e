"""What measures are: how they are written, and which of them are bad news. Pure."""

from typing import Final, Literal

Kind = Literal["count", "rate", "money", "ratio", "time"]

_MONEY: Final = ("cost", "revenue")
_BAD: Final = frozenset(
    {"failed", "opted_out", "blocked", "unknown", "withheld", "suppressed", "cost"}
    | {f"{one}_rate" for one in ("failure", "opt_out", "block", "withheld", "suppression")}
)


def kind_of(measure: str) -> Kind:
    """How a measure is written."""
    if measure.endswith("_rate"):
        return "rate"
    if measure.startswith(_MONEY):
        return "money"
    if measure.endswith("_time"):
        return "time"
    return "ratio" if measure in ("return", "contact_frequency") else "count"


def is_bad(measure: str) -> bool:
    """Whether more of it is worse."""
    return measure in _BAD
