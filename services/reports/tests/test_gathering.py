"""What came of recipients, asked by many."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.reports.experiments.gathering import SHARE, Gathering
from services.reports.experiments.model import Experiment
from services.reports.experiments.outcomes import Gathered


class Facts:
    """Takes ten seconds for an answer, and says each time another one."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, tzinfo=UTC)
        self.going = asyncio.Event()
        self.going.set()
        self.asked = self.at_once = self.most = 0
        self.problem: Exception | None = None

    def now(self) -> datetime:
        return self.time

    async def sleep(self, duration: timedelta) -> None:
        raise NotImplementedError

    async def gathered(self, _experiment: Experiment) -> tuple[Gathered, str, datetime]:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.going.wait()
        self.at_once -= 1
        self.time += timedelta(seconds=10)
        if self.problem is not None:
            raise self.problem
        return Gathered(known_until=self.asked), "", self.time

    async def window(self, _conversion_id: str) -> timedelta:
        return timedelta(days=7)


ONE = Experiment(campaign_id="c")


async def test_who_asks_together_is_answered_together() -> None:
    facts = Facts()
    gathering = Gathering(facts, facts)
    answers = await asyncio.gather(*(gathering.gathered(ONE) for _ in range(5)))
    assert facts.asked == 1
    assert len({id(answer) for answer in answers}) == 1


async def test_what_took_long_holds_for_a_while_and_only_for_the_same_question() -> None:
    facts = Facts()
    gathering = Gathering(facts, facts)
    first = await gathering.gathered(ONE)
    facts.time += timedelta(seconds=10 * SHARE - 1)
    assert await gathering.gathered(ONE) is first
    await gathering.gathered(Experiment(campaign_id="c", goal="revenue"))
    assert facts.asked == 2
    facts.time += timedelta(seconds=1)
    assert await gathering.gathered(ONE) is not first


async def test_who_leaves_ends_nothing() -> None:
    facts = Facts()
    gathering = Gathering(facts, facts)
    facts.going.clear()
    impatient = asyncio.create_task(gathering.gathered(ONE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    impatient.cancel()
    facts.going.set()
    await gathering.gathered(ONE)
    assert facts.asked == 1


async def test_a_failure_is_told_and_not_kept() -> None:
    facts = Facts()
    gathering = Gathering(facts, facts)
    facts.problem = OSError("away")
    with pytest.raises(OSError, match="away"):
        await gathering.gathered(ONE)
    facts.problem = None
    assert (await gathering.gathered(ONE))[0].known_until == 2


async def test_two_questions_are_asked_at_once_and_no_more() -> None:
    facts = Facts()
    gathering = Gathering(facts, facts)
    many = [Experiment(campaign_id=f"c{n}") for n in range(6)]
    await asyncio.gather(*(gathering.gathered(one) for one in many))
    assert (facts.asked, facts.most) == (6, 1)
    facts.going.clear()
    asking = asyncio.gather(
        *(gathering.gathered(Experiment(campaign_id=f"d{n}")) for n in range(6))
    )
    for _ in range(10):
        await asyncio.sleep(0)
    assert facts.at_once == 2
    facts.going.set()
    await asking


async def test_at_the_end_nothing_is_asked_any_more() -> None:
    facts = Facts()
    gathering = Gathering(facts, facts)
    running = asyncio.create_task(gathering.run())
    facts.going.clear()
    asking = asyncio.create_task(gathering.gathered(ONE))
    for _ in range(3):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
