"""Faults on demand, webhooks as bad as they come, and what the ledger tells of it."""

import asyncio
import json
from collections import Counter

import aiohttp
import pytest

NUMBER, WABA, CONTROL = "1060", "1020", "control"
ADA = "905321112233"


def people(count):
    return [f"90532{n:07d}" for n in range(count)]


async def test_a_webhook_is_repeated_until_it_is_answered_200(simulated):
    async with simulated() as caller:
        await caller.drained()
        caller.receiver.refuse = 3
        _, answer = await caller.send()
        await caller.drained()
        summary = await caller.control("GET", "summary")
    assert caller.receiver.statuses_of(answer["messages"][0]["id"])
    assert summary["webhooks"]["retried"] == 3


async def test_webhooks_come_late_twice_and_shuffled_on_demand_and_none_is_lost(simulated):
    async with simulated(batch_webhooks=3) as caller:
        faults = {
            "duplicate_webhooks": 1,
            "shuffle_webhooks": True,
            "late_webhooks": 0.5,
            "late_by_s": 0.3,
        }
        await caller.control("POST", "faults", json=faults)
        wamids = [(await caller.send(to))[1]["messages"][0]["id"] for to in people(20)]
        await caller.drained()
        summary = await caller.control("GET", "summary")
    for wamid in wamids:
        told = caller.receiver.statuses_of(wamid)
        assert "sent" in told
        assert all(told.count(name) == 2 for name in told)
    assert len(set(caller.receiver.bodies)) * 2 == len(caller.receiver.bodies)
    assert summary["webhooks"]["duplicated"] == len(set(caller.receiver.bodies))
    assert summary["webhooks"]["late"] > 0


async def test_several_updates_share_one_post_as_asked(simulated):
    async with simulated() as caller:
        await caller.control("PUT", "webhook/packing", json={"most": 50, "linger_ms": 20})
        await asyncio.gather(*(caller.send(to) for to in people(100)))
        await caller.drained()
    sizes = [
        sum(
            len(c["value"].get("statuses", []))
            for e in json.loads(b)["entry"]
            for c in e["changes"]
        )
        for b in caller.receiver.bodies
    ]
    assert 20 < max(sizes) <= 50


async def test_lost_answers_leave_an_accepted_message_in_the_ledger(simulated):
    async with simulated() as caller:

        async def lost(fault, data):
            await caller.control("POST", "faults", json={fault: 1, "timeout_hold_s": 0.2})
            try:
                await caller.send(data=data)
            except aiohttp.ClientError:
                return True
            return False

        dropped = await lost("drop_after_accept", "m-1")
        timed_out = await lost("timeout_after_accept", "m-2")
        never = await lost("drop_before_accept", "m-3"), await lost("timeout_before_accept", "m-4")
        await caller.control("POST", "faults", json={"error_5xx_after_accept": 1})
        lied = await caller.send(data="m-1")
        await caller.control("POST", "faults", json={"error_5xx": 1})
        failed = await caller.send(data="m-5")
        await caller.control("POST", "faults", json={})
        page = await caller.control("GET", "ledger?limit=2")
        rest = await caller.control("GET", f"ledger?after={page['next']}")
        duplicates = await caller.control("GET", "ledger/duplicates")
        await caller.drained()
    assert dropped
    assert timed_out
    assert never == (True, True)
    assert lied[0] == failed[0] == 500
    found = [e["callback_data"] for e in page["entries"] + rest["entries"]]
    assert found == ["m-1", "m-2", "m-1"]
    assert duplicates["by_callback_data"] == 1
    assert duplicates["callback_data_examples"] == ["m-1"]
    assert {"m-1", "m-2"} == {
        s["biz_opaque_callback_data"] for s in caller.receiver.items("statuses")
    }


async def test_any_code_can_be_had_at_once_or_later(simulated):
    async with simulated() as caller:
        await caller.control("POST", "faults", json={"refuse": {"131064": 1}})
        refused = await caller.send()
        await caller.control("POST", "faults", json={"throttle": 1, "http_429": True})
        throttled = await caller.send()
        faults = await caller.control("POST", "faults", json={"fail": {"131042": 1}})
        _, answer = await caller.send()
        await caller.drained()
        summary = await caller.control("GET", "summary")
    assert refused[1]["error"]["code"] == 131064
    assert (throttled[0], throttled[1]["error"]["code"]) == (429, 130429)
    assert faults["fail"] == {"131042": 1}
    assert caller.receiver.statuses_of(answer["messages"][0]["id"]) == ["failed"]
    assert summary["failed_codes"] == {"131042": 1}


async def test_a_number_over_its_throughput_is_refused_and_the_ledger_shows_each_second(simulated):
    async with simulated() as caller:
        number = {
            "phone_number_id": "107",
            "waba_id": WABA,
            "display_phone_number": "90212",
            "throughput": 5,
        }
        await caller.control("POST", "numbers", json=[number])
        said = {"phone_number_id": "107", "text": "hey"}
        await caller.control("POST", f"people/{ADA}/say", json=said)
        # Together: on a busy machine the bucket would fill while they come one by one
        sending = [caller.graph("POST", "107/messages", json=caller.words()) for _ in range(30)]
        answers = await asyncio.gather(*sending)
        summary = await caller.control("GET", "summary")
        seconds = await caller.control("GET", "ledger/seconds?phone_number_id=107")
    codes = [a.get("error", {}).get("code") for _, a in answers]
    assert 130429 in codes
    counted = Counter()
    for second in seconds["seconds"]:
        counted.update({k: second[k] for k in ("accepted", "refused", "heard")})
    assert counted["heard"] == 1
    assert counted["refused"] == summary["rejected"]["130429"] == codes.count(130429)
    assert counted["accepted"] == codes.count(None)
    assert 4 <= seconds["most_in_any_second"] <= 10


async def test_the_ledger_tells_pairs_and_recipients(simulated):
    async with simulated() as caller:
        for to, data in ((ADA, "c1:1"), (ADA, "c1:2"), ("905329999999", "c2:1")):
            await caller.send(to, data=data)
        pairs = await caller.control("GET", "ledger/pairs?interval_s=6")
        campaign = await caller.control("GET", "ledger/recipients?prefix=c1:")
        offers = await caller.control("GET", "ledger/recipients?template=offer")
    assert (pairs["pairs"], pairs["closer"], pairs["examples"]) == (2, 1, {ADA: 1})
    assert (campaign["recipients"], campaign["messages"], campaign["most"]) == (1, 2, 2)
    assert (offers["recipients"], offers["more_than_once"]) == (2, 1)


async def _run(simulated):
    """What became of messages to 200 people, person by person, in words and without times."""
    async with simulated(simulator_seed=11, simulator_speed=1_000_000.0) as caller:
        for to in people(200):
            await caller.send(to)
        await caller.control("POST", "drain", json={"timeout_s": 20, "hurry": True})
        summary = await caller.control("GET", "summary")
        page = await caller.control("GET", "ledger?limit=1000")
        statuses = {e["to"]: sorted(e["statuses"]) for e in page["entries"]}
        said = Counter(
            (m["from"], m.get("text", {}).get("body"), m.get("button", {}).get("text"))
            for m in caller.receiver.items("messages")
        )
    counts = ("delivered", "read", "replies", "choices", "taps", "blocks", "stopped")
    return {name: summary[name] for name in counts}, statuses, said


async def test_a_run_with_the_same_seed_repeats_exactly(simulated):
    assert await _run(simulated) == await _run(simulated)


async def test_a_full_webhook_queue_makes_the_graph_call_wait_and_loses_nothing(simulated):
    async with simulated(webhook_limit=10, batch_webhooks=5) as caller:
        caller.receiver.refuse = 1_000_000
        sending = [asyncio.create_task(caller.send(to)) for to in people(30)]
        pending = 0
        while pending < 10:
            pending = (await caller.control("GET", "summary"))["webhooks"]["pending_updates"]
        late = asyncio.create_task(caller.send("905329999999"))
        _, waiting = await asyncio.wait([late], timeout=0.3)
        caller.receiver.refuse = 0
        status, _ = await late
        await asyncio.gather(*sending)
        await caller.drained()
    assert waiting == {late}
    # One step may tell two things at once.
    assert pending <= 12
    assert status == 200
    sent = {s["id"] for s in caller.receiver.items("statuses") if s["status"] == "sent"}
    assert len(sent) == 31


async def test_a_hurried_drain_does_not_wait_for_people(simulated):
    async with simulated(simulator_speed=0.001) as caller:
        person = {"wa_id": ADA, "reads": 1, "replies": 1, "clicks": 0, "stops": 0, "blocks": 0}
        await caller.control("POST", "people", json=[person])
        _, answer = await caller.send()
        unhurried = await caller.control("POST", "drain", json={"timeout_s": 0})
        hurried = await caller.control("POST", "drain", json={"timeout_s": 10, "hurry": True})
    assert not unhurried["drained"]
    assert hurried["drained"]
    assert "read" in caller.receiver.statuses_of(answer["messages"][0]["id"])
    assert len(caller.receiver.items("messages")) == 1


async def test_blocks_told_by_script_pause_a_template_and_are_not_waited_for(simulated):
    async with simulated(simulator_speed=1.0) as caller:
        rules = {"pair_interval_s": 0, "quality_after": 1, "red_share": 0.1, "yellow_share": 0.05}
        await caller.control("PUT", "rules", json=rules)
        await caller.send()
        await caller.control("POST", "drain", json={"timeout_s": 10, "hurry": True})
        _, listed = await caller.graph("GET", f"{WABA}/message_templates?name=offer")
        template_id = listed["data"][0]["id"]
        complaint = {"phone_number_id": NUMBER, "template_id": template_id, "report": True}
        await caller.control("POST", f"people/{ADA}/block", json=complaint)
        await caller.drained()
        _, seen = await caller.graph("GET", f"{template_id}?fields=status,quality_score")
        told = caller.receiver.changes("message_template_status_update")
    assert seen["status"] == "PAUSED"
    assert seen["quality_score"]["score"] == "RED"
    assert told[-1]["other_info"]["title"] == "FIRST_PAUSE"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "people", [{"wa_id": ADA, "reads": 2}]),
        ("POST", "people", [{"wa_id": "x"}]),
        ("PUT", "rules", {"unknown": 1}),
        ("POST", "faults", {"throttle": -1}),
        ("PUT", "portfolio", {"messaging_limit": 3}),
        ("PUT", "numbers/9", {}),
        ("POST", "webhook/tell", {"waba_id": "9", "field": "x", "value": {}}),
        ("GET", "ledger/seconds", None),
        ("GET", "ledger/pairs?interval_s=x", None),
        ("PUT", "webhook", {"url": "http://127.0.0.1:1/nobody"}),
    ],
)
async def test_control_says_what_is_wrong(simulated, method, path, body):
    async with simulated() as caller:
        headers = {"Authorization": f"Bearer {CONTROL}"}
        async with caller.session.request(
            method, f"{caller.url}/control/{path}", json=body, headers=headers
        ) as answer:
            status, told = answer.status, await answer.json()
        async with caller.session.request(method, f"{caller.url}/control/{path}") as answer:
            denied = answer.status
    assert status == 400
    assert told["error"]
    assert denied == 401
