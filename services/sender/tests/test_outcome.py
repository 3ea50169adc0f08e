"""One table from what Meta answers to what is done."""

import pytest

from services.sender import outcome
from services.sender.outcome import Answer, Halted, Refused, RetryAt, Sent, Unclear, judge

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
        (Answer(503, code=2), RetryAt(NOW + 1000, "server")),
        (Answer(500, code=131016), RetryAt(NOW + 1000, "server")),
        (Answer(400, code=130429), RetryAt(NOW + 1000, "throttle_number")),
        (Answer(429, code=80007, retry_after_ms=90_000), RetryAt(NOW + 90_000, "throttle_number")),
        (Answer(400, code=131056), RetryAt(NOW + 4000, "throttle_pair")),
        (Answer(400, code=134101), RetryAt(NOW + 600_000, "sync")),
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
    ],
)
def test_an_answer_means(answer: Answer, expected: outcome.Outcome) -> None:
    assert judged(answer) == expected


def test_nothing_that_may_have_been_accepted_is_called_refused_or_tried_again() -> None:
    for status in (0, 200, 408, 500, 502, 503, 504):
        assert isinstance(judged(Answer(status)), Unclear)


def test_no_code_stands_in_two_classes() -> None:
    classes = [v for k, v in vars(outcome).items() if k.isupper() and isinstance(v, frozenset)]
    assert sum(len(c) for c in classes) == len(frozenset().union(*classes))


def test_waits_grow_are_bounded_and_end_in_a_refusal_when_the_server_stays_down() -> None:
    waits = [judged(Answer(503, code=2), n).time - NOW for n in range(1, 12)]  # type: ignore[union-attr]
    assert waits == sorted(waits)
    assert waits[-1] == 600_000
    assert judged(Answer(503, code=2), 12) == Refused("exhausted", 2)
    assert isinstance(judged(Answer(400, code=130429), 500), RetryAt)
