"""What an answer of the Cloud API means for a message. Pure; one table.

Built on Meta's code alone: titles change and HTTP statuses are not to be relied on (Meta's own
advice on error codes). A call that may have been accepted is never called refused.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias


class Answer(NamedTuple):
    """What came of one call."""

    status: int = 0
    """HTTP status; 0 when no answer came."""
    wamid: str = ""
    code: int | None = None
    """Meta's error code; None when the body was no Graph error."""
    retry_after_ms: int = 0
    left: bool = True
    """Whether anything of the request left this machine."""
    why: str = ""
    """Without an answer: what happened."""
    traceparent: str = ""


class Sent(NamedTuple):
    """Meta accepted the message."""

    wamid: str


class RetryAt(NamedTuple):
    """Certainly not accepted, and worth another try at `time`."""

    time: int
    why: str


class Refused(NamedTuple):
    """Certainly not accepted, and never will be as it is."""

    kind: str
    code: int


class Halted(NamedTuple):
    """Certainly not accepted, and nothing from this number will be until a person acts."""

    kind: str
    code: int


class Unclear(NamedTuple):
    """It may have been accepted."""

    why: str


Outcome: TypeAlias = Sent | RetryAt | Refused | Halted | Unclear

AUTH: Final = frozenset({0, 3, 10, 190, 131005, *range(200, 300)})
ACCOUNT: Final = frozenset({33, 368, 131031, 131037, 131042, 131045, 133010, 134011})
BUSY_SERVER: Final = frozenset({2, 131016, 131057, 133004, 2494100})
# "Something went wrong", said of calls that were accepted too.
UNCLEAR_SERVER: Final = frozenset({1, 131000})
THROTTLE_NUMBER: Final = frozenset({4, 80007, 130429})
THROTTLE_PAIR: Final = frozenset({131056})
THROTTLE_FLOW: Final = frozenset({132069})
QUALITY: Final = frozenset({131048, 131064})
SYNC: Final = frozenset({134101})
SATURATED: Final = frozenset({131049})
EXPERIMENT: Final = frozenset({130472})
OPTED_OUT: Final = frozenset({131050})
RECIPIENT: Final = frozenset({130403, 130497, 131021, 131026, 131030, 131062, 137000})
WINDOW: Final = frozenset({131047})
TEMPLATE: Final = frozenset({132000, 132001, 132005, 132007, 132012, 132015, 132016, 134102})
EXPIRED: Final = frozenset({131060})

_REFUSED: Final = {
    "saturation": SATURATED,
    "experiment": EXPERIMENT,
    "opted_out": OPTED_OUT,
    "recipient": RECIPIENT,
    "window": WINDOW,
    "template": TEMPLATE,
    "quality": QUALITY,
    "account": ACCOUNT | AUTH,
    "expired": EXPIRED,
}
_KINDS: Final = {code: kind for kind, codes in _REFUSED.items() for code in codes}

_SECOND: Final = 1_000
_LONGEST_MS: Final = 600_000
_MOST_ATTEMPTS: Final = 12


def kind_of(code: int) -> str:
    """The class of an error code, also as it comes with a `failed` status; `request` if unknown."""
    return _KINDS.get(code, "request")


def judge(answer: Answer, now: int, attempts: int, random: Callable[[], float]) -> Outcome:
    """Decide what an answer means. `attempts` counts the calls so far, this one included."""
    if answer.wamid:
        return Sent(answer.wamid)
    if not answer.left:
        return RetryAt(_later(answer, now, attempts, random), "connect")
    code = answer.code
    if code is None:
        return Unclear(answer.why or f"http_{answer.status}")
    if code in UNCLEAR_SERVER:
        return Unclear(f"code_{code}")
    if code in THROTTLE_PAIR:
        return RetryAt(now + 4 ** min(attempts, 5) * _SECOND, "throttle_pair")
    if code in THROTTLE_NUMBER:
        return RetryAt(_later(answer, now, attempts, random), "throttle_number")
    if code in SYNC | THROTTLE_FLOW:
        return RetryAt(now + _LONGEST_MS, "throttle_flow" if code in THROTTLE_FLOW else "sync")
    if code in BUSY_SERVER:
        if attempts >= _MOST_ATTEMPTS:
            return Refused("exhausted", code)
        return RetryAt(_later(answer, now, attempts, random), "server")
    if code in AUTH | ACCOUNT | QUALITY:
        return Halted(kind_of(code), code)
    return Refused(kind_of(code), code)


def _later(answer: Answer, now: int, attempts: int, random: Callable[[], float]) -> int:
    """Exponential, jittered by half so that what failed together is not tried together."""
    wait = min(_SECOND << min(attempts - 1, 10), _LONGEST_MS)
    return now + max(int(wait * (0.5 + random() / 2)), answer.retry_after_ms)
