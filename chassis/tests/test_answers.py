"""Answers: a call that is repeated gets the answer of the first, and another call cannot."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from chassis.answers import Answers
from chassis.clock import ManualClock
from chassis.failures import FieldInvalid, RequestIdReused
from chassis.ids import fresh_id
from chassis.postgres import Pool, database, migrate

SCHEMA = "chassis_answers_test"
ASKED, OTHER = StringValue(value="asked"), StringValue(value="something else")


@pytest.fixture(scope="session")
def schema(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    migrate(postgres_url, SCHEMA, tmp_path_factory.mktemp("migrations"))
    return postgres_url


@pytest.fixture
async def pool(schema: str) -> AsyncIterator[Pool]:
    async with database(schema, SCHEMA, 4) as opened:
        yield opened


@pytest.fixture
def answers(pool: Pool, manual_clock: ManualClock) -> Answers:
    return Answers(pool, manual_clock)


class Effect:
    """Counts how often it happened, and answers with that."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> Int32Value:
        self.count += 1
        return Int32Value(value=self.count)


async def test_a_repeat_gets_the_first_answer_and_has_no_effect(answers: Answers) -> None:
    effect, request_id = Effect(), fresh_id("r")
    for _ in range(3):
        assert (await answers.once(ASKED, request_id, effect, Int32Value)).value == 1
    assert effect.count == 1


async def test_without_a_request_id_every_call_is_a_first_one(answers: Answers) -> None:
    effect = Effect()
    assert [(await answers.once(ASKED, "", effect, Int32Value)).value for _ in "ab"] == [1, 2]
    assert (await answers.promise(ASKED, "", Int32Value(value=7))).value == 7


async def test_repeats_at_once_all_get_the_same_answer(answers: Answers) -> None:
    effect, request_id = Effect(), fresh_id("r")
    calls = [answers.once(ASKED, request_id, effect, Int32Value) for _ in range(8)]
    assert len({answer.value for answer in await asyncio.gather(*calls)}) == 1


async def test_a_promise_stands_whatever_is_promised_later(answers: Answers) -> None:
    request_id = fresh_id("r")
    for value in (1, 2, 3):
        assert (await answers.promise(ASKED, request_id, Int32Value(value=value))).value == 1


async def test_another_request_with_the_same_id_is_refused(answers: Answers) -> None:
    effect, done, promised = Effect(), fresh_id("r"), fresh_id("r")
    await answers.once(ASKED, done, effect, Int32Value)
    await answers.promise(ASKED, promised, Int32Value(value=1))
    for request_id in (done, promised):
        with pytest.raises(RequestIdReused):
            await answers.once(OTHER, request_id, effect, Int32Value)
        with pytest.raises(RequestIdReused):
            await answers.promise(OTHER, request_id, Int32Value(value=2))
        with pytest.raises(RequestIdReused):  # the same bytes, to another method
            await answers.once(Int32Value(), request_id, effect, Int32Value)
    assert effect.count == 1


async def test_a_failed_call_leaves_its_id_free(answers: Answers) -> None:
    request_id = fresh_id("r")

    async def fail() -> Int32Value:
        raise FieldInvalid("field", "is wrong")

    with pytest.raises(FieldInvalid):
        await answers.once(ASKED, request_id, fail, Int32Value)
    assert (await answers.once(ASKED, request_id, Effect(), Int32Value)).value == 1


@pytest.mark.parametrize("request_id", ["x" * 201, "a\0b", "a b", "ı"])
async def test_an_id_that_cannot_be_one_is_refused(answers: Answers, request_id: str) -> None:
    with pytest.raises(FieldInvalid):
        await answers.once(ASKED, request_id, Effect(), Int32Value)


async def test_answers_are_forgotten_after_a_day(
    pool: Pool, answers: Answers, manual_clock: ManualClock
) -> None:
    effect, request_id = Effect(), fresh_id("r")
    await answers.once(ASKED, request_id, effect, Int32Value)
    now_ms = int(manual_clock.now().timestamp() * 1000)
    await pool.execute(  # more than are deleted at once
        "INSERT INTO requests SELECT $1 || n, $2, '', '' FROM generate_series(1, 5001) AS n",
        fresh_id("old"),
        now_ms - 1,
    )
    await manual_clock.advance(timedelta(hours=24))
    while await answers.forget():
        pass
    assert await pool.fetchval("SELECT count(*) FROM requests WHERE create_time < $1", now_ms) == 0
    assert (await answers.once(ASKED, request_id, effect, Int32Value)).value == 1
    await manual_clock.advance(timedelta(milliseconds=1))
    while await answers.forget():
        pass
    assert (await answers.once(ASKED, request_id, effect, Int32Value)).value == 2


async def test_a_schema_that_had_the_table_keeps_its_answers(
    postgres_url: str, tmp_path: Path, manual_clock: ManualClock
) -> None:
    folder, name = tmp_path, f"{SCHEMA}_before"
    (folder / "0001_own.sql").write_text("SELECT 1;")
    async with database(postgres_url, name, 1) as pool:
        await pool.execute(f"CREATE SCHEMA {name}")
        await pool.execute(
            "CREATE TABLE requests (request_id text PRIMARY KEY, create_time bigint NOT NULL,"
            " digest bytea NOT NULL, response bytea NOT NULL);"
            "CREATE INDEX requests_by_time ON requests USING brin (create_time)"
        )
        answers, effect, request_id = Answers(pool, manual_clock), Effect(), fresh_id("r")
        await answers.once(ASKED, request_id, effect, Int32Value)
        await asyncio.to_thread(migrate, postgres_url, name, folder)
        assert (await answers.once(ASKED, request_id, effect, Int32Value)).value == 1
    assert effect.count == 1
