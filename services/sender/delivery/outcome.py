"""What an answer of the Cloud API means for a message, and what follows. Pure; one table.

Built on Meta's code alone: titles change and HTTP statuses are not to be relied on (Meta's own
advice on error codes). A call that may have been accepted is never called refused.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
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
    code: int | None = None


class Refused(NamedTuple):
    """Certainly not accepted, and never will be as it is."""

    kind: str
    code: int


class Halted(NamedTuple):
    """Certainly not accepted, and nothing from this number will be until a person acts."""

    kind: str
    code: int


class Returned(NamedTuple):
    """Not called at all; to be claimed again at `time`."""

    time: int
    why: str


class Unclear(NamedTuple):
    """It may have been accepted."""

    why: str


Outcome: TypeAlias = Sent | RetryAt | Refused | Halted | Returned | Unclear


class Act(Enum):
    """What is done with the message."""

    RETRY = auto()
    """Not accepted: later."""
    UNCLEAR = auto()
    """Said of calls that were accepted too: parked until a status or a deadline decides."""
    REFUSE = auto()
    """It fails."""
    HALT = auto()
    """It waits, and so does everything from the number, until a person acts."""


class Then(Enum):
    """What follows besides, for others than the message."""

    NOTHING = auto()
    SLOW_NUMBER = auto()
    """The number sends more slowly for a while."""
    BLOCK_PAIR = auto()
    """Nothing to this person from this number until the retry."""
    PAUSE_TEMPLATE = auto()
    """The template is paused, and campaigns that send it, with the reason."""
    DISABLE_TEMPLATE = auto()
    """The same for good."""
    PAUSE_CAMPAIGN = auto()
    """Everybody in it would be refused alike: the campaign is paused, with the reason."""
    STOP_CAMPAIGN = auto()
    """People complain: the campaign is stopped, with the reason."""
    SATURATE_CONTACT = auto()
    """No marketing to this person for a day."""
    OPT_OUT_CONTACT = auto()
    """No marketing to this person until they want it again."""
    FORGET_UPLOADS = auto()
    """Its files are put on Meta anew for the next message that has them."""
    LOSE_CONTACT = auto()
    """No marketing to this person for weeks: they cannot be reached."""


class Rule(NamedTuple):
    """A class of error codes."""

    kind: str
    act: Act
    then: Then = Then.NOTHING
    wait_ms: int = 0
    """With RETRY: how long; 0: longer with each attempt."""
    most: int = 0
    """With RETRY: after so many attempts it fails; 0: a limit only makes wait."""


_SECOND: Final = 1_000
_LONGEST_MS: Final = 600_000
_MOST_ATTEMPTS: Final = 12
_SERVER_ERROR: Final = 500

_ACCOUNT: Final = Rule("account", Act.HALT)
_QUALITY: Final = Rule("quality", Act.HALT, Then.STOP_CAMPAIGN)
_SERVER: Final = Rule("server", Act.RETRY, most=_MOST_ATTEMPTS)
_TRANSIENT: Final = Rule("server", Act.UNCLEAR)
_THROTTLE: Final = Rule("throttle_number", Act.RETRY, Then.SLOW_NUMBER)
_PAIR: Final = Rule("throttle_pair", Act.RETRY, Then.BLOCK_PAIR)
_FLOW: Final = Rule("throttle_flow", Act.RETRY, wait_ms=_LONGEST_MS)
_SYNC: Final = Rule("sync", Act.RETRY, wait_ms=_LONGEST_MS, most=_MOST_ATTEMPTS)
_SATURATION: Final = Rule("saturation", Act.REFUSE, Then.SATURATE_CONTACT)
_EXPERIMENT: Final = Rule("experiment", Act.REFUSE)
_OPTED_OUT: Final = Rule("opted_out", Act.REFUSE, Then.OPT_OUT_CONTACT)
_UNREACHABLE: Final = Rule("recipient", Act.REFUSE, Then.LOSE_CONTACT)
_RECIPIENT: Final = Rule("recipient", Act.REFUSE)
_WINDOW: Final = Rule("window", Act.REFUSE)
_TEMPLATE: Final = Rule("template", Act.REFUSE, Then.PAUSE_CAMPAIGN)
_PARAMETERS: Final = Rule("template", Act.REFUSE)
_CLOSED: Final = Rule("account", Act.REFUSE, Then.PAUSE_CAMPAIGN)
# Soon: its gate holds it by then, and knows when the template is back
_PAUSED: Final = Rule("template", Act.RETRY, Then.PAUSE_TEMPLATE, wait_ms=5_000)
_DISABLED: Final = Rule("template", Act.REFUSE, Then.DISABLE_TEMPLATE)
_EXPIRED: Final = Rule("expired", Act.REFUSE)
_MEDIA: Final = Rule("request", Act.REFUSE, Then.FORGET_UPLOADS)
_REQUEST: Final = Rule("request", Act.REFUSE)
"""What nobody knows as well: repeating the same call cannot help."""

RULES: Final[Mapping[int, Rule]] = {
    # The token, then the account or the number.
    **dict.fromkeys((0, 3, 10, 102, 190, 131005, *range(200, 300)), _ACCOUNT),
    **dict.fromkeys((33, 368, 131031, 131037, 131042, 131045, 133010, 134011), _ACCOUNT),
    # Spam limit of the number; templates put in the wrong category, too often.
    **dict.fromkeys((471, 131048, 131064), _QUALITY),
    **dict.fromkeys((2, 131016, 131057, 133004, 2494100), _SERVER),
    **dict.fromkeys((1, 131000), _TRANSIENT),
    **dict.fromkeys((4, 17, 32, 613, 80007, 80008, 130429), _THROTTLE),
    131056: _PAIR,
    132069: _FLOW,
    134101: _SYNC,
    131049: _SATURATION,
    130472: _EXPERIMENT,
    131050: _OPTED_OUT,
    131026: _UNREACHABLE,
    # Of the person alone, though Meta lists 130497 (not allowed in their country) as the account's.
    **dict.fromkeys((1013, 1026, 130403, 130497, 131021, 131030, 131062, 137000), _RECIPIENT),
    **dict.fromkeys((131047, 470), _WINDOW),
    **dict.fromkeys((132000, 132001, 132007, 134102), _TEMPLATE),
    **dict.fromkeys((132005, 132012), _PARAMETERS),  # too long or odd for this person
    131063: _CLOSED,  # marketing goes through the other endpoint only, or not at all
    132015: _PAUSED,
    132016: _DISABLED,
    131053: _MEDIA,
    131060: _EXPIRED,
    **dict.fromkeys(
        (
            *(100, 131008, 131009, 131051, 131052, 131055, 132018, 132068, 134100, 135000),
            # Of registering, groups, calls and the like: no answer to a message, so nothing else.
            *(133000, 133005, 133006, 133008, 133009, 133015, 133016),
            *(131020, 131041, *range(131201, 131216)),
        ),
        _REQUEST,
    ),
}


_STANDS_FOR: Final[Mapping[int, int]] = {401: 190, 403: 10, 429: 130429}
"""Where an answer comes without Meta's error, as from something before it: the code that its HTTP
status is taken for. Such a call was certainly not accepted."""


def rule_of(code: int | None) -> Rule:
    """What an error code means, also as it comes with a `failed` status."""
    return _REQUEST if code is None else RULES.get(code, _REQUEST)


def kind_of(code: int | None) -> str:
    """The class of an error code; `request` if unknown."""
    return rule_of(code).kind


def code_of(outcome: Outcome) -> int | None:
    """The code with which Meta refused, which may be 0; None when it did not, or gave none."""
    return getattr(outcome, "code", None)


def judge(answer: Answer, now: int, attempts: int, random: Callable[[], float]) -> Outcome:
    """Decide what an answer means. `attempts` counts the calls so far, this one included."""
    if answer.wamid:
        return Sent(answer.wamid)
    if not answer.left:
        return RetryAt(_later(answer, now, attempts, random), answer.why or "connect")
    code = _STANDS_FOR.get(answer.status) if answer.code is None else answer.code
    if code is None:
        return Unclear(answer.why or f"http_{answer.status}")
    if code not in RULES and answer.status >= _SERVER_ERROR:
        return Unclear(f"code_{code}")
    rule = rule_of(code)
    match rule.act:
        case Act.UNCLEAR:
            return Unclear(f"code_{code}")
        case Act.HALT:
            return Halted(rule.kind, code)
        case Act.REFUSE:
            return Refused(rule.kind, code)
        case Act.RETRY:
            return _retry(rule, code, answer, now, attempts, random)


def _retry(
    rule: Rule, code: int, answer: Answer, now: int, attempts: int, random: Callable[[], float]
) -> Outcome:
    if rule is _PAIR:  # Meta asks for 4^X seconds, X from 0
        return RetryAt(now + 4 ** min(attempts - 1, 5) * _SECOND, rule.kind, code)
    if rule.most and attempts >= rule.most:
        return Refused("exhausted", code)
    if rule.wait_ms:
        return RetryAt(now + rule.wait_ms, rule.kind, code)
    return RetryAt(_later(answer, now, attempts, random), rule.kind, code)


def _later(answer: Answer, now: int, attempts: int, random: Callable[[], float]) -> int:
    """Exponential, jittered by half so that what failed together is not tried together."""
    wait = min(_SECOND << min(attempts - 1, 10), _LONGEST_MS)
    return now + max(int(wait * (0.5 + random() / 2)), answer.retry_after_ms)
