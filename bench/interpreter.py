"""One evaluation of a rule, compiled, against the interpreter of the library that CEL's grammar is
taken from, on the same rules and the same person."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import celpy
from celpy.adapter import json_to_cel

from bench.result import Figure
from expressions import Facts, compile
from services.segment.vocabulary import registry

_RULES: Final = (
    'profile.city == "izmir" && profile.age >= 25 && profile.plan in ["gold", "silver"]',
    'traits.order_count >= 3 && traits.order_total > 250.0 || profile.language == "tr"',
    'profile.tags.exists(t, t == "vip") && !(profile.country == "DE")',
    'profile.email.endsWith("@example.com") && size(profile.first_name) > 2',
)
_PERSON: Final[dict[str, dict[str, Any]]] = {
    "profile": {
        "city": "izmir",
        "age": 31,
        "plan": "gold",
        "language": "en",
        "tags": ["new", "vip"],
        "country": "TR",
        "email": "deniz@example.com",
        "first_name": "Deniz",
    },
    "traits": {"order_count": 4, "order_total": 310.5},
}


def interpreter() -> list[Figure]:
    """Microseconds of one evaluation, and how many times less that is."""
    facts = Facts(
        {
            **_PERSON["profile"],
            **{f"traits.{name}": value for name, value in _PERSON["traits"].items()},
        }
    )
    environment, known = celpy.Environment(), registry()
    told: Any = json_to_cel(_PERSON)
    ours = theirs = 0.0
    for rule in _RULES:
        program = environment.program(environment.compile(rule))
        expression = compile(rule, known)
        assert bool(program.evaluate(told)) is expression.evaluate(facts, 0)
        theirs += _seconds(partial(program.evaluate, told), 200)
        ours += _seconds(partial(expression.evaluate, facts, 0), 50_000)
    return [
        Figure("interpreter_ratio", theirs / ours, "1", 1.0),
        Figure("evaluation_us", ours / len(_RULES) * 1e6, "us", theirs / len(_RULES) * 1e6),
    ]


def _seconds(run: Callable[[], Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - started) / times
