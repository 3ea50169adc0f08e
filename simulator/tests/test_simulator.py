"""The simulator as its callers see it: real HTTP in, signed webhooks out."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from simulator.app import running
from simulator.settings import Settings

SECRET, VERIFY, ACCESS, CONTROL = "app-secret", "verify", "access", "control"
NUMBER, WABA = "106", "102"
ADA, BOB = "905321112233", "905321112244"
OFFER = {
    "name": "offer",
    "language": "tr",
    "category": "MARKETING",
    "components": [
        {"type": "BODY", "text": "Merhaba {{1}}!", "example": {"body_text": [["Ada"]]}},
    ],
}


@dataclass
class Receiver:
    """A business's webhook endpoint: checks each signature over the raw bytes."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)
    refuse: int = 0
    forged: int = 0
    agents: set[str] = field(default_factory=set)

    async def post(self, request: web.Request) -> web.Response:
        body = await request.read()
        expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if request.headers["X-Hub-Signature-256"] != f"sha256={expected}":
            self.forged += 1
        if self.refuse > 0:
            self.refuse -= 1
            return web.Response(status=503)
        self.agents.add(request.headers["User-Agent"])
        self.bodies.append(body)
        return web.Response()

    async def verify(self, request: web.Request) -> web.Response:
        if request.query["hub.verify_token"] != VERIFY:
            return web.Response(status=403)
        return web.Response(text=request.query["hub.challenge"])

    async def link(self, request: web.Request) -> web.Response:
        self.opened.append((request.path, request.headers["User-Agent"]))
        raise web.HTTPFound("/elsewhere")

    def items(self, list_name: str) -> list[dict]:
        changes = [c for b in self.bodies for e in json.loads(b)["entry"] for c in e["changes"]]
        return [i for c in changes for i in c["value"].get(list_name, [])]

    def statuses_of(self, wamid: str) -> list[str]:
        return [s["status"] for s in self.items("statuses") if s["id"] == wamid]


@dataclass
class Caller:
    """Talks to the simulator: `graph` as the business, `control` as a script."""

    url: str
    session: aiohttp.ClientSession
    receiver: Receiver

    async def graph(self, method: str, path: str, token: str = ACCESS, **more) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(
            method, f"{self.url}/v25.0/{path}", headers=headers, **more
        ) as answer:
            return answer.status, await answer.json()

    async def control(self, method: str, path: str, **more) -> dict:
        headers = {"Authorization": f"Bearer {CONTROL}"}
        async with self.session.request(
            method, f"{self.url}/control/{path}", headers=headers, **more
        ) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            return body

    async def send(self, to: str = ADA, data: str | None = None, **more) -> tuple[int, dict]:
        body = {
            "messaging_product": "whatsapp",
            "to": to,
            "type": "template",
            "template": {
                "name": "offer",
                "language": {"code": "tr"},
                "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ada"}]}],
            },
        } | more
        if data is not None:
            body["biz_opaque_callback_data"] = data
        return await self.graph("POST", f"{NUMBER}/messages", json=body)

    async def drained(self) -> None:
        assert (await self.control("POST", "drain", json={"timeout_s": 10}))["drained"]


@asynccontextmanager
async def simulated(**settings) -> AsyncIterator[Caller]:
    receiver = Receiver()
    app = web.Application()
    app.add_routes(
        [
            web.post("/hook", receiver.post),
            web.get("/hook", receiver.verify),
            web.get("/l/{id}", receiver.link),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    told = Settings(
        app_secret=SECRET,
        verify_token=VERIFY,
        access_token=ACCESS,
        control_token=CONTROL,
        **{"simulator_speed": 100_000.0} | settings,
    )
    try:
        async with running(told) as url, aiohttp.ClientSession() as session:
            caller = Caller(url, session, receiver)
            await caller.control("PUT", "webhook", json={"url": f"{receiver.url}/hook"})
            number = {
                "phone_number_id": NUMBER,
                "waba_id": WABA,
                "display_phone_number": "+90 212 111 22 33",
                "throughput": 10_000,
            }
            await caller.control("POST", "numbers", json=[number])
            await caller.control("PUT", "rules", json={"pair_interval_s": 0})
            await caller.graph("POST", f"{WABA}/message_templates", json=OFFER)
            yield caller
    finally:
        await runner.cleanup()


async def test_a_message_is_followed_by_signed_escaped_statuses():
    async with simulated() as caller:
        people = [{"wa_id": ADA, "name": "Çiğdem / Ada", "reads": 1, "clicks": 0, "replies": 0}]
        await caller.control("POST", "people", json=people)
        status, answer = await caller.send(data="m-1")
        await caller.drained()
        wamid = answer["messages"][0]["id"]
        told = caller.receiver.statuses_of(wamid)
        raw = b"".join(caller.receiver.bodies)
        summary = await caller.control("GET", "summary")
    assert status == 200
    assert sorted(told) in (["delivered", "read", "sent"], ["read", "sent"])
    assert caller.receiver.forged == 0
    assert caller.receiver.agents == {"facebookexternalua"}
    assert raw.isascii()
    assert rb"\u00c7i\u011fdem \/ Ada" in raw
    assert summary["read"] == 1
    assert summary["webhooks"]["pending_updates"] == 0


async def test_refusals_have_metas_envelope():
    async with simulated() as caller:
        bad_token = await caller.graph("GET", NUMBER, token="stolen")
        unknown = await caller.graph("POST", "999/messages", json={})
        window = await caller.send(type="text", text={"body": "hi"})
        not_json = await caller.graph("POST", f"{NUMBER}/messages", data=b"{")
        nowhere = await caller.graph("GET", "x/y")
    assert (bad_token[0], bad_token[1]["error"]["code"]) == (401, 190)
    assert (unknown[1]["error"]["code"], unknown[1]["error"]["error_subcode"]) == (100, 33)
    assert window[1]["error"]["message"] == "(#131047) Re-engagement message"
    assert window[1]["error"]["error_data"]["messaging_product"] == "whatsapp"
    assert window[1]["error"]["fbtrace_id"]
    assert not_json[1]["error"]["code"] == 100
    assert nowhere[1]["error"]["code"] == 2500


async def test_what_a_person_says_opens_the_window_and_reaches_the_webhook():
    async with simulated() as caller:
        said = {"phone_number_id": NUMBER, "text": "Merhaba"}
        answer = await caller.control("POST", f"people/{ADA}/say", json=said)
        place = {"type": "location", "location": {"latitude": 41.0, "longitude": 29.0}}
        more = [
            {"wa_id": BOB, "phone_number_id": NUMBER, "text": "Selam"},
            {"wa_id": BOB, "phone_number_id": NUMBER, "message": place},
        ]
        bulk = await caller.control("POST", "say", json=more)
        free = await caller.send(type="text", text={"body": "hi"})
        await caller.drained()
        heard = caller.receiver.items("messages")
    assert free[0] == 200
    assert {m["id"] for m in heard} >= {answer["wamid"], *bulk["wamids"]}
    assert {m["type"] for m in heard if m["from"] == BOB} == {"text", "location"}


async def test_a_webhook_is_repeated_until_it_is_answered_200():
    async with simulated() as caller:
        await caller.drained()
        caller.receiver.refuse = 3
        _, answer = await caller.send()
        await caller.drained()
        summary = await caller.control("GET", "summary")
    assert caller.receiver.statuses_of(answer["messages"][0]["id"])
    assert summary["webhooks"]["retried"] == 3


async def test_webhooks_come_twice_and_shuffled_on_demand_and_none_is_lost():
    async with simulated(batch_webhooks=3) as caller:
        faults = {"duplicate_webhooks": 1, "shuffle_webhooks": True}
        await caller.control("POST", "faults", json=faults)
        wamids = [(await caller.send(f"90532{n:07d}"))[1]["messages"][0]["id"] for n in range(20)]
        await caller.drained()
        summary = await caller.control("GET", "summary")
    for wamid in wamids:
        told = caller.receiver.statuses_of(wamid)
        assert "sent" in told
        assert all(told.count(name) == 2 for name in told)
    assert len(set(caller.receiver.bodies)) * 2 == len(caller.receiver.bodies)
    assert summary["webhooks"]["duplicated"] == len(set(caller.receiver.bodies))


async def test_several_updates_share_one_post():
    async with simulated(batch_webhooks=50) as caller:
        await asyncio.gather(*(caller.send(f"90532{n:07d}") for n in range(100)))
        await caller.drained()
    sizes = [
        sum(len(c["value"].get("statuses", [])) for c in e["changes"])
        for b in caller.receiver.bodies
        for e in json.loads(b)["entry"]
    ]
    assert 1 < max(sizes) <= 50


async def test_lost_answers_leave_an_accepted_message_in_the_ledger():
    async with simulated() as caller:
        await caller.control("POST", "faults", json={"drop_after_accept": 1})
        try:
            await caller.send(data="m-1")
            dropped = False
        except aiohttp.ClientError:
            dropped = True
        await caller.control("POST", "faults", json={"error_5xx_after_accept": 1})
        lied = await caller.send(data="m-1")
        await caller.control("POST", "faults", json={"timeout_after_accept": 1})
        try:
            await asyncio.wait_for(caller.send(data="m-2"), 0.3)
            answered = True
        except TimeoutError:
            answered = False
        await caller.control("POST", "faults", json={"error_5xx": 1})
        failed = await caller.send(data="m-3")
        await caller.control("POST", "faults", json={})
        page = await caller.control("GET", "ledger?limit=2")
        rest = await caller.control("GET", f"ledger?after={page['next']}")
        duplicates = await caller.control("GET", "ledger/duplicates")
        await caller.drained()
    assert dropped
    assert not answered
    assert lied[0] == failed[0] == 500
    found = [e["callback_data"] for e in page["entries"] + rest["entries"]]
    assert found == ["m-1", "m-1", "m-2"]
    assert duplicates["by_callback_data"] == 1
    assert duplicates["callback_data_examples"] == ["m-1"]
    assert {"m-1", "m-2"} == {
        s["biz_opaque_callback_data"] for s in caller.receiver.items("statuses")
    }


async def test_a_number_over_its_throughput_is_refused():
    async with simulated() as caller:
        number = {
            "phone_number_id": "107",
            "waba_id": WABA,
            "display_phone_number": "90212",
            "throughput": 5,
        }
        await caller.control("POST", "numbers", json=[number])
        read = {"messaging_product": "whatsapp", "to": ADA, "type": "text", "text": {"body": "x"}}
        said = {"phone_number_id": "107", "text": "hey"}
        await caller.control("POST", f"people/{ADA}/say", json=said)
        answers = [await caller.graph("POST", "107/messages", json=read) for _ in range(8)]
        summary = await caller.control("GET", "summary")
    codes = [a.get("error", {}).get("code") for _, a in answers]
    assert codes[:4] == [None] * 4
    assert codes[-1] == 130429
    assert summary["rejected"]["130429"] >= 1


async def test_templates_are_reviewed_listed_paused_and_deleted():
    async with simulated() as caller:
        rules = {"pair_interval_s": 0, "review_delay_s": 2000, "reject_templates": ["spam"]}
        await caller.control("PUT", "rules", json=rules)
        path = f"{WABA}/message_templates"
        _, made = await caller.graph("POST", path, json=OFFER | {"name": "spam"})
        await caller.drained()
        _, one = await caller.graph("GET", f"{made['id']}?fields=name,status,rejected_reason")
        _, listed = await caller.graph("GET", f"{path}?limit=1&fields=name")
        after = listed["paging"]["cursors"]["after"]
        _, second = await caller.graph("GET", f"{path}?limit=1&fields=name&after={after}")
        _, offers = await caller.graph("GET", f"{path}?name=offer")
        template_id = offers["data"][0]["id"]
        await caller.control("PUT", f"templates/{template_id}", json={"status": "PAUSED"})
        paused = await caller.send()
        deleted = await caller.graph("DELETE", f"{path}?name=offer")
        gone = await caller.send()
        await caller.drained()
        changes = [
            c
            for b in caller.receiver.bodies
            for e in json.loads(b)["entry"]
            for c in e["changes"]
            if c["field"] == "message_template_status_update"
        ]
    assert made["status"] == "PENDING"
    assert one["status"] == "REJECTED"
    assert one["rejected_reason"] == "PROMOTIONAL"
    assert {listed["data"][0]["name"], second["data"][0]["name"]} == {"offer", "spam"}
    assert paused[1]["error"]["code"] == 132015
    assert deleted[1] == {"success": True}
    assert gone[1]["error"]["code"] == 132001
    assert [c["value"]["event"] for c in changes] == ["APPROVED", "REJECTED", "PAUSED"]


async def test_media_goes_up_and_comes_down_only_with_the_token():
    async with simulated() as caller:
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/png"})
        form.add_field("file", b"\x89PNG-bytes", filename="a.png", content_type="image/png")
        _, made = await caller.graph("POST", f"{NUMBER}/media", data=form)
        _, seen = await caller.graph("GET", made["id"])
        async with caller.session.get(seen["url"]) as answer:
            denied = answer.status
        headers = {"Authorization": f"Bearer {ACCESS}"}
        async with caller.session.get(seen["url"], headers=headers) as answer:
            data, kind = await answer.read(), answer.content_type
        said = {"phone_number_id": NUMBER, "text": "hey"}
        await caller.control("POST", f"people/{ADA}/say", json=said)
        sent = await caller.send(type="image", image={"id": made["id"]})
        _, deleted = await caller.graph("DELETE", made["id"])
        refused = await caller.send(type="image", image={"id": made["id"]})
    assert denied == 401
    assert (data, kind) == (b"\x89PNG-bytes", "image/png")
    assert seen["sha256"] == hashlib.sha256(data).hexdigest()
    assert deleted == {"success": True}
    assert sent[0] == 200
    assert refused[1]["error"]["code"] == 131009


async def test_a_tapped_link_is_opened_by_a_phone_that_follows_no_redirect():
    async with simulated() as caller:
        buttons = {
            "type": "BUTTONS",
            "buttons": [
                {"type": "URL", "text": "Git", "url": f"{caller.receiver.url}/l/{{{{1}}}}"}
            ],
        }
        offer = OFFER | {"name": "link", "components": [*OFFER["components"], buttons]}
        await caller.graph("POST", f"{WABA}/message_templates", json=offer)
        await caller.control("POST", "people", json=[{"wa_id": ADA, "clicks": 1}])
        components = [
            {"type": "body", "parameters": [{"type": "text", "text": "Ada"}]},
            {
                "type": "button",
                "sub_type": "url",
                "index": "0",
                "parameters": [{"type": "text", "text": "t0k3n"}],
            },
        ]
        template = {"name": "link", "language": {"code": "tr"}, "components": components}
        await caller.send(template=template)
        await caller.drained()
        summary = await caller.control("GET", "summary")
    ((path, agent),) = caller.receiver.opened
    assert path == "/l/t0k3n"
    assert "Mobile" in agent
    assert summary["links"] == {"opened": 1}


async def test_accounts_numbers_and_subscriptions_are_shown():
    async with simulated() as caller:
        _, number = await caller.graph("GET", f"{NUMBER}?fields=throughput,verified_name")
        _, numbers = await caller.graph("GET", f"{WABA}/phone_numbers")
        _, apps = await caller.graph("GET", f"{WABA}/subscribed_apps")
        await caller.graph("DELETE", f"{WABA}/subscribed_apps")
        _, none = await caller.graph("GET", f"{WABA}/subscribed_apps")
        await caller.drained()
        before = len(caller.receiver.bodies)
        await caller.send()
        await caller.drained()
        after = len(caller.receiver.bodies)
        again = {"override_callback_uri": f"{caller.receiver.url}/hook", "verify_token": "wrong"}
        refused = await caller.graph("POST", f"{WABA}/subscribed_apps", json=again)
        accepted = await caller.graph(
            "POST", f"{WABA}/subscribed_apps", json=again | {"verify_token": VERIFY}
        )
    assert number == {
        "id": NUMBER,
        "verified_name": "Merhaba",
        "throughput": {"level": "HIGH"},
    }
    assert [n["id"] for n in numbers["data"]] == [NUMBER]
    assert len(apps["data"]) == 1
    assert none["data"] == []
    assert before == after
    assert refused[0] == 400
    assert accepted[1] == {"success": True}


async def test_a_full_webhook_queue_makes_the_graph_call_wait_and_loses_nothing():
    async with simulated(webhook_limit=10, batch_webhooks=5) as caller:
        caller.receiver.refuse = 1_000_000
        await asyncio.gather(*(caller.send(f"90532{n:07d}") for n in range(30)))
        pending = 0
        while pending < 10:
            pending = (await caller.control("GET", "summary"))["webhooks"]["pending_updates"]
        late = asyncio.create_task(caller.send("905329999999"))
        _, waiting = await asyncio.wait([late], timeout=0.3)
        caller.receiver.refuse = 0
        status, _ = await late
        await caller.drained()
    assert waiting == {late}
    # One step may tell two things at once.
    assert pending <= 11
    assert status == 200
    sent = {s["id"] for s in caller.receiver.items("statuses") if s["status"] == "sent"}
    assert len(sent) == 31


async def test_a_hurried_drain_does_not_wait_for_people():
    async with simulated(simulator_speed=0.001) as caller:
        people = [{"wa_id": ADA, "reads": 1, "replies": 1, "clicks": 0, "stops": 0}]
        await caller.control("POST", "people", json=people)
        _, answer = await caller.send()
        unhurried = await caller.control("POST", "drain", json={"timeout_s": 0})
        hurried = await caller.control("POST", "drain", json={"timeout_s": 10, "hurry": True})
    assert not unhurried["drained"]
    assert hurried["drained"]
    assert "read" in caller.receiver.statuses_of(answer["messages"][0]["id"])
    assert len(caller.receiver.items("messages")) == 1


async def test_control_needs_its_token_and_says_what_is_wrong():
    async with simulated() as caller:
        async with caller.session.get(f"{caller.url}/control/summary") as answer:
            denied = answer.status
        headers = {"Authorization": f"Bearer {CONTROL}"}
        async with caller.session.post(
            f"{caller.url}/control/people", json=[{"wa_id": ADA, "reads": 2}], headers=headers
        ) as answer:
            status, body = answer.status, await answer.json()
    assert denied == 401
    assert status == 400
    assert "reads" in body["error"]


async def test_the_process_says_ready_and_ends_on_sigterm():
    environment = {
        "PATH": os.environ["PATH"],
        "APP_SECRET": SECRET,
        "VERIFY_TOKEN": VERIFY,
        "ACCESS_TOKEN": ACCESS,
        "CONTROL_TOKEN": CONTROL,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", stdout=asyncio.subprocess.PIPE, env=environment
    )
    ready = json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert ready["event"] == "ready"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", ready["url"])


async def test_a_missing_setting_ends_the_process_with_its_name():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator",
        stderr=asyncio.subprocess.PIPE, env={"PATH": os.environ["PATH"], "VERIFY_TOKEN": "x"},
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 2
    assert "APP_SECRET: not set" in said.decode()
