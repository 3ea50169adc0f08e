"""Triggers and journeys: how soon what starts by itself starts, and how many at once.

`--parts` chooses among them, all when it is left out; `--long` is what the documents are made with:
a million that wait, a million contacts.
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import uvloop

from bench.journeys import steps_per_s
from bench.result import Figure, tell
from bench.running import note
from bench.triggers_fanout import fanout, geofence
from bench.triggers_fire import delayed, undelayed
from services.segment.api.occurrences import explained
from services.segment.engine.actions import SendAction
from services.segment.engine.causes import EventCause
from services.segment.engine.model import Happening, Past, TriggerDefinition
from services.segment.engine.places import Places
from services.segment.engine.replay import Explain, Replay
from services.segment.engine.rules import Compiler
from services.segment.engine.trial import trial
from services.segment.vocabulary import registry

_EVENTS: Final = 60
_MINUTE_MS: Final = 60_000
_CONTACT: Final = "00000000-0000-4000-8000-000000000000"


async def _steps(long: bool) -> list[Figure]:
    return await steps_per_s(20_000 if long else 5_000)


async def _geofence(_long: bool) -> list[Figure]:
    return geofence()


async def _replay(long: bool) -> list[Figure]:
    """What a test costs for each event that it replays; the baseline explains nothing."""
    contacts = 2_000 if long else 300
    seen = 'events("product_viewed").within("24h").count() >= 3'
    definition = TriggerDefinition(
        *("trg_bench", "bench", EventCause("cart_updated"), SendAction("c")),
        condition=f"event.total > 100.0 && {seen}",
        key="event.cart_id",
        delay=60 * _MINUTE_MS,
        cancel_condition='events("order_completed").where(e, e.cart_id == event.cart_id).exists()',
    )
    end = int(time.time() * 1000)
    start = end - 7 * 24 * 60 * _MINUTE_MS
    tried = trial(definition, (), Compiler(registry()), Places(), start, end)
    life = tuple(
        Happening(
            *(f"e{number}", _CONTACT, start + number * 10 * _MINUTE_MS),
            "product_viewed" if number % 4 else "cart_updated",
            {"cart_id": str(number // 8), "total": 150.0},
        )
        for number in range(_EVENTS)
    )

    def each(explain: Explain[object]) -> float:
        began = time.perf_counter()
        for _ in range(contacts):
            replay = Replay(tried, _CONTACT, explain)
            told = [*replay.take(Past(_CONTACT, life)), *replay.finish()]
            assert any(told)
        return (time.perf_counter() - began) / (contacts * _EVENTS) * 1e6

    bare = each(lambda *_: None)
    full = each(lambda trigger, one, state: explained(trigger, one, state, tried.rules))
    return [Figure("replay_us", full, "us", bare)]


_PARTS: Final[dict[str, Callable[[bool], Awaitable[list[Figure]]]]] = {
    "fire": undelayed,
    "delay": delayed,
    "steps": _steps,
    "fanout": fanout,
    "geofence": _geofence,
    "replay": _replay,
}


async def main(parts: Sequence[str], long: bool) -> None:
    """Measure some parts and tell it."""
    figures: list[Figure] = []
    for name in parts:
        note(f"part {name}")
        found = await _PARTS[name](long)
        for figure in found:
            note(f"  {figure.name} {figure.value:.3f} {figure.unit} ({figure.baseline})")
        figures += found
    tell("triggers", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.parts.split(","), arguments.long))
