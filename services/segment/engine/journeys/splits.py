"""Which arm of a split a contact comes to. Pure.

Each arm draws a number from the contact, the split and its own name, and the one with the greatest
wins (weighted rendezvous). So the order of arms does not matter, and whoever changes a weight moves
no more people than needs be.
"""

from hashlib import blake2b
from math import log

from services.segment.engine.journeys.model import SplitStep

_SCALE = 2**52


def fingerprint(*parts: str) -> int:
    """63 bits of what the parts name."""
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def split_print(journey_id: str, step_id: str, split: SplitStep) -> int:
    """The same for as long as the names and weights of the arms are."""
    arms = sorted(f"{arm.name}\x1e{arm.weight}" for arm in split.arms)
    return fingerprint(journey_id, step_id, *arms)


def drawn(journey_id: str, step_id: str, split: SplitStep, contact_id: str) -> str:
    """The name of the arm."""

    def score(name: str, weight: int) -> float:
        chance = (fingerprint(journey_id, step_id, name, contact_id) % _SCALE + 1) / (_SCALE + 1)
        return -weight / log(chance)

    return max((score(arm.name, arm.weight), arm.name) for arm in split.arms)[1]
