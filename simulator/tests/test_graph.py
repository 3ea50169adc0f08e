"""The simulator as its callers see it: real HTTP in, signed webhooks out."""

import asyncio
import hashlib
import io
import json
import os
import re
import signal
import sys

import aiohttp

ACCESS, CONTROL, VERIFY, SECRET = "access", "control", "verify", "app-secret"
NUMBER, WABA = "1060", "1020"
ADA, BOB = "905321112233", "905321112244"


def code_of(answered):
    return answered[1]["error"]["code"]


async def test_a_message_is_followed_by_signed_escaped_statuses(simulated):
    async with simulated() as caller:
        person = {"wa_id": ADA, "name": "Çiğdem / Ada", "reads": 1, "clicks": 0, "replies": 0}
        await caller.control("POST", "people", json=[person | {"stops": 0, "blocks": 0}])
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


async def test_refusals_have_metas_envelope(simulated):
    async with simulated() as caller:
        bad_token = await caller.graph("GET", NUMBER, token="stolen")
        bad_send = await caller.graph("POST", f"{NUMBER}/messages", token="stolen", json={})
        async with caller.session.get(f"{caller.url}/v25.0/{NUMBER}") as answer:
            no_token = answer.status, await answer.json()
        unknown = await caller.graph("POST", "999/messages", json={})
        window = await caller.send(type="text", text={"body": "hi"})
        not_json = await caller.graph("POST", f"{NUMBER}/messages", data=b"{")
        nowhere = await caller.graph("GET", "x/y")
        await caller.control("POST", "faults", json={"expired_token": True})
        expired = await caller.send()
        summary = await caller.control("GET", "summary")
    assert (bad_token[0], code_of(bad_token)) == (bad_send[0], code_of(bad_send)) == (401, 190)
    assert (no_token[0], code_of(no_token)) == (401, 104)
    assert code_of(expired) == 190
    assert (code_of(unknown), unknown[1]["error"]["error_subcode"]) == (100, 33)
    assert window[1]["error"]["message"] == "(#131047) Re-engagement message"
    assert window[1]["error"]["error_data"]["messaging_product"] == "whatsapp"
    assert window[1]["error"]["fbtrace_id"]
    assert code_of(not_json) == 100
    assert code_of(nowhere) == 2500
    assert summary["rejected"]["190"] == 3


async def test_requests_of_any_form_are_answered_alike(simulated):
    """Chunked, in pieces, several at once, and with other calls between them."""
    async with simulated() as caller:
        host, port = caller.url.removeprefix("http://").split(":")
        body = json.dumps(caller.offer()).encode()
        head = (
            f"POST /v25.0/{NUMBER}/messages HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {ACCESS}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        reader, writer = await asyncio.open_connection(host, port)
        for piece in (head[:10], head[10:] + body[:5], body[5:] + head + body + head, body):
            writer.write(piece)
            await asyncio.sleep(0.01)
        pipelined = []
        for _ in range(3):
            answer = await reader.readuntil(b"\r\n\r\n")
            size = int(re.search(rb"Content-Length: (\d+)", answer)[1])
            pipelined.append((answer[:15], json.loads(await reader.readexactly(size))))
        writer.write(f"GET /v25.0/{NUMBER} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        other = await reader.read()
        writer.close()
        await writer.wait_closed()

        async def in_chunks():
            yield body[:5]
            yield body[5:]

        chunked = await caller.graph("POST", f"{NUMBER}/messages", data=in_chunks())
        large = io.BytesIO(json.dumps(caller.words("x" * 3_000_000)).encode())
        long = await caller.graph("POST", f"{NUMBER}/messages", data=large)
    assert [p[0] for p in pipelined] == [b"HTTP/1.1 200 OK"] * 3
    assert len({p[1]["messages"][0]["id"] for p in pipelined}) == 3
    assert other.startswith(b"HTTP/1.1 401")
    assert chunked[0] == 200
    assert code_of(long) == 131009


async def test_a_caller_that_goes_away_while_it_waits_leaves_nothing_behind(simulated):
    async with simulated(webhook_limit=1) as caller:
        caller.receiver.refuse = 1_000_000
        await caller.send()
        while (await caller.control("GET", "summary"))["webhooks"]["pending_updates"] < 1:
            await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(0.1):
                await caller.send(BOB)
            waited = False
        except TimeoutError:
            waited = True
        caller.receiver.refuse = 0
        await caller.drained()
        summary = await caller.control("GET", "summary")
    assert waited
    assert summary["accepted"] == 1


async def test_what_a_person_says_opens_the_window_and_reaches_the_webhook(simulated):
    async with simulated() as caller:
        wamid = await caller.heard(text="Merhaba")
        place = {"type": "location", "location": {"latitude": 41.0, "longitude": 29.0}}
        more = [
            {"wa_id": BOB, "phone_number_id": NUMBER, "text": "Selam"},
            {"wa_id": BOB, "phone_number_id": NUMBER, "message": place},
        ]
        bulk = await caller.control("POST", "say", json=more)
        free = await caller.send(type="text", text={"body": "hi"})
        mark = {"messaging_product": "whatsapp", "status": "read", "message_id": wamid}
        read = await caller.graph("POST", f"{NUMBER}/messages", json=mark)
        await caller.drained()
        heard = caller.receiver.items("messages")
    assert free[0] == 200
    assert read[1] == {"success": True}
    assert {m["id"] for m in heard} >= {wamid, *bulk["wamids"]}
    assert {m["type"] for m in heard if m["from"] == BOB} == {"text", "location"}


async def test_templates_are_reviewed_listed_edited_paused_and_deleted(simulated):
    async with simulated() as caller:
        rules = {"pair_interval_s": 0, "review_delay_s": 20_000, "reject_templates": ["spam"]}
        await caller.control("PUT", "rules", json=rules)
        path = f"{WABA}/message_templates"
        listed = await caller.graph("GET", f"{path}?name=offer")
        spam = {**listed[1]["data"][0], "name": "spam"}
        _, made = await caller.graph("POST", path, json=spam)
        await caller.drained()
        _, one = await caller.graph("GET", f"{made['id']}?fields=name,status,rejected_reason")
        _, first = await caller.graph("GET", f"{path}?limit=1&fields=name&summary=total_count")
        async with caller.session.get(
            first["paging"]["next"], headers={"Authorization": f"Bearer {ACCESS}"}
        ) as answer:
            second = await answer.json()
        edited = await caller.graph("POST", made["id"], json={"components": spam["components"]})
        _, again = await caller.graph("GET", f"{made['id']}?fields=status")
        template_id = listed[1]["data"][0]["id"]
        await caller.control("PUT", f"templates/{template_id}", json={"status": "PAUSED"})
        paused = await caller.send()
        unpaused = await caller.graph("POST", f"{template_id}/unpause")
        sent = await caller.send()
        deleted = await caller.graph("DELETE", f"{path}?name=offer")
        gone = await caller.send()
        await caller.drained()
        events = [v["event"] for v in caller.receiver.changes("message_template_status_update")]
    assert made["status"] == again["status"] == "PENDING"
    assert (one["status"], one["rejected_reason"]) == ("REJECTED", "PROMOTIONAL")
    assert {first["data"][0]["name"], second["data"][0]["name"]} == {"offer", "spam"}
    assert first["summary"] == {"total_count": 2}
    assert edited[1]["success"]
    assert code_of(paused) == 132015
    assert unpaused[1] == deleted[1] == {"success": True}
    assert sent[0] == 200
    assert code_of(gone) == 132001
    assert sorted(events) == ["APPROVED", "APPROVED", "PAUSED", "REJECTED", "REJECTED"]


async def test_management_calls_are_limited_by_the_hour_and_tell_their_usage(simulated):
    async with simulated() as caller:
        rules = {"pair_interval_s": 0, "management_per_hour": 10}
        await caller.control("PUT", "rules", json=rules)
        headers = {"Authorization": f"Bearer {ACCESS}"}
        seen = []
        for _ in range(12):
            async with caller.session.get(
                f"{caller.url}/v25.0/{WABA}/phone_numbers", headers=headers
            ) as answer:
                told = json.loads(answer.headers["X-Business-Use-Case-Usage"])[WABA][0]
                seen.append((answer.status, told["call_count"], await answer.json()))
        sent = await caller.send()
    assert [status for status, _, _ in seen][:5] == [200] * 5
    assert code_of((0, seen[-1][2])) == 80007
    assert seen[-1][1] == 100
    assert sent[0] == 200


async def test_media_goes_up_and_comes_down_only_with_the_token(simulated):
    png = b"\x89PNG-bytes"
    async with simulated() as caller:
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/png"})
        form.add_field("file", png, filename="a.png", content_type="image/png")
        _, made = await caller.graph("POST", f"{NUMBER}/media", data=form)
        _, seen = await caller.graph("GET", f"{made['id']}?phone_number_id={NUMBER}")
        async with caller.session.get(seen["url"]) as answer:
            denied = answer.status
        headers = {"Authorization": f"Bearer {ACCESS}"}
        async with caller.session.get(seen["url"], headers=headers) as answer:
            data, kind = await answer.read(), answer.content_type
        forged = seen["url"].replace("ext=1", "ext=2")
        async with caller.session.get(forged, headers=headers) as answer:
            refused_url = answer.status
        await caller.heard()
        sent = await caller.send(type="image", image={"id": made["id"]})
        _, deleted = await caller.graph("DELETE", made["id"])
        refused = await caller.send(type="image", image={"id": made["id"]})
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/tiff"})
        form.add_field("file", b"II*", filename="a.tiff", content_type="image/tiff")
        wrong = await caller.graph("POST", f"{NUMBER}/media", data=form)
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/webp"})
        form.add_field("file", bytes(600_000), filename="a.webp", content_type="image/webp")
        large = await caller.graph("POST", f"{NUMBER}/media", data=form)
    assert denied == 401
    assert refused_url == 404
    assert (data, kind) == (png, "image/png")
    assert seen["sha256"] == hashlib.sha256(png).hexdigest()
    assert seen["file_size"] == str(len(png))
    assert deleted == {"success": True}
    assert sent[0] == 200
    assert code_of(refused) == code_of(wrong) == 100
    assert code_of(large) == 131053


async def test_what_people_send_can_be_fetched(simulated):
    async with simulated() as caller:
        jpeg = {"data": b"\xff\xd8\xff", "headers": {"Content-Type": "image/jpeg"}}
        media = await caller.control("POST", f"media?phone_number_id={NUMBER}", **jpeg)
        image = {"type": "image", "image": media}
        said = {"phone_number_id": NUMBER, "message": image}
        await caller.control("POST", f"people/{ADA}/say", json=said)
        await caller.drained()
        (heard,) = caller.receiver.items("messages")
        _, seen = await caller.graph("GET", heard["image"]["id"])
        headers = {"Authorization": f"Bearer {ACCESS}"}
        async with caller.session.get(seen["url"], headers=headers) as answer:
            data = await answer.read()
    assert data == b"\xff\xd8\xff"


async def test_a_tapped_link_is_opened_by_a_phone_that_follows_no_redirect(simulated):
    async with simulated() as caller:
        url = f"{caller.receiver.url}/l/{{{{1}}}}"
        button = {"type": "URL", "text": "Git", "url": url, "example": [url]}
        template = {
            "name": "link",
            "language": "tr",
            "category": "MARKETING",
            "components": [
                {"type": "BODY", "text": "Merhaba"},
                {"type": "BUTTONS", "buttons": [button]},
            ],
        }
        await caller.graph("POST", f"{WABA}/message_templates", json=template)
        await caller.control("POST", "people", json=[{"wa_id": ADA, "clicks": 1, "blocks": 0}])
        text = {"type": "text", "text": "t0k3n"}
        component = {"type": "button", "sub_type": "url", "index": "0", "parameters": [text]}
        sent = {"name": "link", "language": {"code": "tr"}, "components": [component]}
        await caller.send(template=sent)
        await caller.drained()
        summary = await caller.control("GET", "summary")
    ((path, agent),) = caller.receiver.opened
    assert path == "/l/t0k3n"
    assert "Mobile" in agent
    assert summary["links"] == {"opened": 1}


async def test_numbers_are_shown_registered_and_changed(simulated):
    async with simulated() as caller:
        _, number = await caller.graph("GET", f"{NUMBER}?fields=throughput,verified_name")
        _, numbers = await caller.graph("GET", f"{WABA}/phone_numbers")
        _, account = await caller.graph("GET", f"{WABA}?fields=name,health_status")
        await caller.graph("POST", f"{NUMBER}/deregister")
        unregistered = await caller.send()
        wrong_pin = await caller.graph("POST", f"{NUMBER}/register", json={"pin": "1"})
        await caller.graph("POST", f"{NUMBER}/register", json={"pin": "123456"})
        registered = await caller.send()
        about = {
            "messaging_product": "whatsapp",
            "about": "Dükkân",
            "websites": ["https://a.example"],
        }
        await caller.graph("POST", f"{NUMBER}/whatsapp_business_profile", json=about)
        _, profile = await caller.graph("GET", f"{NUMBER}/whatsapp_business_profile?fields=about")
        change = {"throughput": 20_000, "quality": "RED", "refuse_code": 131031}
        await caller.control("PUT", f"numbers/{NUMBER}", json=change)
        locked = await caller.send(BOB)
        _, seen = await caller.graph("GET", f"{NUMBER}?fields=quality_rating,status,health_status")
        await caller.control("PUT", "portfolio", json={"messaging_limit": 250})
        tier = "whatsapp_business_manager_messaging_limit"
        _, limited = await caller.graph("GET", f"{NUMBER}?fields={tier}")
        await caller.drained()
        told = caller.receiver.changes("phone_number_quality_update")
        capability = caller.receiver.changes("business_capability_update")
    assert number == {"id": NUMBER, "verified_name": "Merhaba", "throughput": {"level": "HIGH"}}
    assert [n["id"] for n in numbers["data"]] == [NUMBER]
    assert account["health_status"]["can_send_message"] == "AVAILABLE"
    assert code_of(unregistered) == 133010
    assert code_of(wrong_pin) == 131009
    assert registered[0] == 200
    assert profile["data"] == [{"about": "Dükkân", "messaging_product": "whatsapp"}]
    assert code_of(locked) == 131031
    assert (seen["quality_rating"], seen["status"]) == ("RED", "FLAGGED")
    assert seen["health_status"]["can_send_message"] == "BLOCKED"
    assert limited[tier] == "TIER_250"
    assert [v["event"] for v in told] == ["THROUGHPUT_UPGRADE", "FLAGGED"]
    assert capability[0]["max_daily_conversations_per_business"] == 250


async def test_subscriptions_and_addresses_are_verified_and_followed(simulated):
    async with simulated() as caller:
        hook = f"{caller.receiver.url}/hook"
        _, apps = await caller.graph("GET", f"{WABA}/subscribed_apps")
        await caller.graph("DELETE", f"{WABA}/subscribed_apps")
        _, none = await caller.graph("GET", f"{WABA}/subscribed_apps")
        await caller.drained()
        before = len(caller.receiver.bodies)
        await caller.send()
        await caller.drained()
        after = len(caller.receiver.bodies)
        given = {"override_callback_uri": f"{hook}/account", "verify_token": "wrong"}
        refused = await caller.graph("POST", f"{WABA}/subscribed_apps", json=given)
        accepted = await caller.graph(
            "POST", f"{WABA}/subscribed_apps", json=given | {"verify_token": VERIFY}
        )
        await caller.heard(ADA)
        await caller.drained()
        own = {"override_callback_uri": f"{hook}/number", "verify_token": VERIFY}
        await caller.graph("POST", f"{NUMBER}/", json={"webhook_configuration": own})
        await caller.heard(ADA)
        await caller.drained()
        told = {"waba_id": WABA, "field": "account_update", "value": {"event": "DISABLED_UPDATE"}}
        await caller.control("POST", "webhook/tell", json=told)
        await caller.drained()
        paths = caller.receiver.paths[after:]
    assert len(apps["data"]) == 1
    assert none["data"] == []
    assert before == after
    assert code_of(refused) == 2200
    assert accepted[1] == {"success": True}
    assert paths == ["/hook/account", "/hook/number", "/hook"]
    assert caller.receiver.changes("account_update") == [{"event": "DISABLED_UPDATE"}]


async def test_only_who_wrote_lately_can_be_blocked_by_the_business(simulated):
    async with simulated() as caller:
        await caller.heard(ADA)
        path = f"{NUMBER}/block_users"
        blocked = await caller.graph("POST", path, json={"block_users": [{"user": ADA}]})
        stranger = await caller.graph("POST", path, json={"block_users": [{"user": BOB}]})
        _, seen = await caller.graph("GET", path)
        refused = await caller.send(ADA)
        await caller.graph("DELETE", path, json={"block_users": [{"user": ADA}]})
        sent = await caller.send(ADA)
    assert blocked[1]["block_users"]["added_users"][0]["wa_id"] == ADA
    assert code_of(stranger) == 139100
    assert [p["wa_id"] for p in seen["data"]] == [ADA]
    assert code_of(refused) == 130403
    assert sent[0] == 200


async def test_the_process_says_ready_and_ends_on_sigterm():
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
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
