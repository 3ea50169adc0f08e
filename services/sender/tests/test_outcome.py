"""One table from what Meta answers to what is done."""

import pytest

from services.sender.delivery import outcome
from services.sender.delivery.outcome import (
    RULES,
    Act,
    Answer,
    Halted,
    Refused,
    RetryAt,
    Sent,
    Then,
    Unclear,
    code_of,
    judge,
    rule_of,
)

NOW = 1_000_000


def judged(answer: Answer, attempts: int = 1) -> outcome.Outcome:
    return judge(answer, NOW, attempts, lambda: 1.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, wamid="wamid.1"), Sent("wamid.1")),
        (Answer(left=False, why="connect"), RetryAt(NOW + 1000, "connect")),
        (Answer(why="timeout"), Unclear("timeout")),
        (Answer(502), Unclear("http_502")),
        (Answer(200), Unclear("http_200")),
        (Answer(500, code=131000), Unclear("code_131000")),
        (Answer(400, code=1), Unclear("code_1")),
        (Answer(503, code=2), RetryAt(NOW + 1000, "server", 2)),
        (Answer(500, code=131016), RetryAt(NOW + 1000, "server", 131016)),
        (Answer(400, code=130429), RetryAt(NOW + 1000, "throttle_number", 130429)),
        (
            Answer(429, code=80007, retry_after_ms=90_000),
            RetryAt(NOW + 90_000, "throttle_number", 80007),
        ),
        (Answer(400, code=131056), RetryAt(NOW + 1000, "throttle_pair", 131056)),
        (Answer(400, code=134101), RetryAt(NOW + 600_000, "sync", 134101)),
        (Answer(401, code=190), Halted("account", 190)),
        (Answer(403, code=368), Halted("account", 368)),
        (Answer(400, code=131048), Halted("quality", 131048)),
        (Answer(400, code=131049), Refused("saturation", 131049)),
        (Answer(400, code=131050), Refused("opted_out", 131050)),
        (Answer(400, code=131026), Refused("recipient", 131026)),
        (Answer(400, code=131047), Refused("window", 131047)),
        (Answer(404, code=132001), Refused("template", 132001)),
        (Answer(400, code=100), Refused("request", 100)),
        (Answer(400, code=999_999), Refused("request", 999_999)),
        (Answer(500, code=999_999), Unclear("code_999999")),
        (Answer(401, code=0), Halted("account", 0)),
        (Answer(401), Halted("account", 190)),
        (Answer(403), Halted("account", 10)),
        (Answer(429, retry_after_ms=7_000), RetryAt(NOW + 7_000, "throttle_number", 130429)),
        (Answer(left=False, why="upload"), RetryAt(NOW + 1000, "upload")),
    ],
)
def test_an_answer_means(answer: Answer, expected: outcome.Outcome) -> None:
    assert judged(answer) == expected


def test_nothing_that_may_have_been_accepted_is_called_refused_or_tried_again() -> None:
    for status in (0, 200, 408, 500, 502, 503, 504):
        assert isinstance(judged(Answer(status)), Unclear)


# Meta's list of error codes, by class; what each is for us.
META = {
    "authentication": ((0, 3, 10, 102, 190, 131005, 200, 299), Act.HALT, Then.NOTHING),
    "account": (
        (33, 368, 131031, 131037, 131042, 131045, 133010, 134011),
        *(Act.HALT, Then.NOTHING),
    ),
    "server": ((2, 131016, 131057, 133004, 2494100), Act.RETRY, Then.NOTHING),
    "server, perhaps accepted": ((1, 131000), Act.UNCLEAR, Then.NOTHING),
    "throughput": ((4, 17, 32, 613, 80007, 80008, 130429), Act.RETRY, Then.SLOW_NUMBER),
    "pair": ((131056,), Act.RETRY, Then.BLOCK_PAIR),
    "flow": ((132069,), Act.RETRY, Then.NOTHING),
    "marketing messages not synchronised": ((134101,), Act.RETRY, Then.NOTHING),
    "quality": ((471, 131048, 131064), Act.HALT, Then.STOP_CAMPAIGN),
    "one too many for the person": ((131049,), Act.REFUSE, Then.SATURATE_CONTACT),
    "experiment": ((130472,), Act.REFUSE, Then.NOTHING),
    "opted out": ((131050,), Act.REFUSE, Then.OPT_OUT_CONTACT),
    "undeliverable": ((131026,), Act.REFUSE, Then.LOSE_CONTACT),
    "recipient": (
        (1013, 1026, 130403, 130497, 131021, 131030, 131062, 137000),
        *(Act.REFUSE, Then.NOTHING),
    ),
    "window": ((131047, 470), Act.REFUSE, Then.NOTHING),
    "template, for everybody": (
        (132000, 132001, 132007, 134102),
        *(Act.REFUSE, Then.PAUSE_CAMPAIGN),
    ),
    "template, for this person": ((132005, 132012), Act.REFUSE, Then.NOTHING),
    "marketing not by this endpoint": ((131063,), Act.REFUSE, Then.PAUSE_CAMPAIGN),
    "template paused": ((132015,), Act.RETRY, Then.PAUSE_TEMPLATE),
    "template disabled": ((132016,), Act.REFUSE, Then.DISABLE_TEMPLATE),
    "request": (
        (100, 131008, 131009, 131051, 131052, 131055, 132018, 132068, 134100, 135000),
        *(Act.REFUSE, Then.NOTHING),
    ),
    "media": ((131053,), Act.REFUSE, Then.FORGET_UPLOADS),
    "registration": (
        (133000, 133005, 133006, 133008, 133009, 133015, 133016),
        *(Act.REFUSE, Then.NOTHING),
    ),
    "group": ((131020, 131041, *range(131201, 131216)), Act.REFUSE, Then.NOTHING),
    "expired": ((131060,), Act.REFUSE, Then.NOTHING),
}


@pytest.mark.parametrize("name", META)
def test_every_code_of_metas_list_has_its_place(name: str) -> None:
    codes, act, then = META[name]
    for code in codes:
        assert code in RULES, f"{code} is only caught by the rule for what nobody knows"
        assert (rule_of(code).act, rule_of(code).then) == (act, then), code


def test_the_table_holds_nothing_that_meta_does_not_list() -> None:
    listed = {code for codes, *_ in META.values() for code in codes} | set(range(200, 300))
    assert set(RULES) == listed


@pytest.mark.parametrize("code", RULES)
def test_an_outcome_is_what_the_rule_of_its_code_says(code: int) -> None:
    outcomes = {Act.HALT: Halted, Act.RETRY: RetryAt, Act.UNCLEAR: Unclear, Act.REFUSE: Refused}
    for status in (200, 400, 403, 429, 500, 503):
        assert isinstance(judged(Answer(status, code=code)), outcomes[rule_of(code).act])


def test_a_paused_template_costs_no_message() -> None:
    assert judged(Answer(400, code=132015)) == RetryAt(NOW + 5_000, "template", 132015)


def test_a_pair_waits_four_times_as_long_each_time() -> None:
    waits = [judged(Answer(400, code=131056), n).time - NOW for n in range(1, 8)]  # type: ignore[union-attr]
    assert waits == [1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000, 1_024_000]


def test_waits_grow_are_bounded_and_end_in_a_refusal_when_the_server_stays_down() -> None:
    waits = [judged(Answer(503, code=2), n).time - NOW for n in range(1, 12)]  # type: ignore[union-attr]
    assert waits == sorted(waits)
    assert waits[-1] == 600_000
    assert judged(Answer(503, code=2), 12) == Refused("exhausted", 2)
    assert isinstance(judged(Answer(400, code=130429), 500), RetryAt)
    assert isinstance(judged(Answer(400, code=134101), 11), RetryAt)
    assert judged(Answer(400, code=134101), 12) == Refused("exhausted", 134101)


def test_what_refused_is_known_by_its_code_also_when_that_is_0() -> None:
    assert code_of(judged(Answer(401, code=0))) == 0
    assert code_of(judged(Answer(left=False))) is None
    assert rule_of(None).act == Act.REFUSE
