"""What tests ask of the ledger: what came twice, how fast, how close together. Pure.

Each looks at every message that is known: a second for a million.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable
from typing import Any

from simulator.ledger.ledger import Ledger

_EXAMPLES = 20


def duplicates(ledger: Ledger) -> dict[str, Any]:
    """How many callback data and (template, recipient) pairs were accepted more than once."""
    by_data = _repeated(ledger.callback_data())
    by_template = _repeated(ledger.template_and_recipient())
    return {
        "by_callback_data": len(by_data),
        "by_template_and_recipient": len(by_template),
        "callback_data_examples": [d.decode("utf-8", "replace") for d in by_data[:_EXAMPLES]],
        "template_and_recipient_examples": [list(pair) for pair in by_template[:_EXAMPLES]],
        "forgotten": ledger.first - 1,
    }


def _repeated(found: Iterable[Hashable]) -> list[Any]:
    return [one for one, times in Counter(found).items() if times > 1]


def busiest(ledger: Ledger, phone_number_id: str) -> dict[str, Any]:
    """The most messages that one number had accepted in any second, wherever it begins."""
    most, when = 0, 0.0
    second: deque[float] = deque()
    for at in ledger.times(phone_number_id):
        second.append(at)
        while second[0] <= at - 1.0:
            second.popleft()
        if len(second) > most:
            most, when = len(second), second[0]
    return {"most_in_any_second": most, "from": when}


def closest(ledger: Ledger, interval_s: float) -> dict[str, Any]:
    """How close together messages from one number to one person came."""
    last: dict[tuple[int, int], float] = {}
    nearest, closer = None, Counter[str]()
    for pair, at in ledger.meetings():
        before = last.get(pair)
        last[pair] = at
        if before is None:
            continue
        nearest = at - before if nearest is None else min(nearest, at - before)
        if at - before < interval_s:
            closer[str(pair[1])] += 1
    return {
        "pairs": len(last),
        "closest_s": nearest,
        "closer": sum(closer.values()),
        "examples": dict(closer.most_common(_EXAMPLES)),
    }


def recipients(ledger: Ledger, *, template: str | None, prefix: str) -> dict[str, Any]:
    """How often each person got a message of this template (None: any) or callback data."""
    times = Counter(ledger.recipients(template=template, prefix=prefix))
    often = [(to, n) for to, n in times.most_common(_EXAMPLES) if n > 1]
    return {
        "recipients": len(times),
        "messages": sum(times.values()),
        "most": max(times.values(), default=0),
        "more_than_once": sum(n > 1 for n in times.values()),
        "examples": dict(often),
    }
