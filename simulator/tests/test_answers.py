"""Graph's answers beside real ones, its refusals on demand, and the control API's errors."""

import json
import os
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from simulator.refusals import Refused, no_token

NUMBER, WABA = "1060", "1020"
CONTROL = {"Authorization": "Bearer control"}
REAL = Path(__file__).parents[3] / "shared" / "sends"
needs_real = pytest.mark.skipif(
    not REAL.exists() and "CI" not in os.environ,
    reason=f"no real answers at {REAL}: Graph's answers are not compared with any",
)


def real(name):
    return json.loads((REAL / f"response__{name}.json").read_text())


@needs_real
@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("error-104__01", no_token()),
        ("error-130429__01", Refused(130429, "Cloud API message throughput has been reached.")),
        ("error-4__01", Refused(4, message="Application request limit reached")),
        ("error-2__01", Refused(2, message="Database temporarily unavailable")),
        ("error-80007__01", Refused(80007, message="Business request limit reached")),
        ("error-100__01", Refused(100, message="Invalid field requested.")),
    ],
)
def test_an_error_has_the_keys_that_meta_s_has(name, refused):
    ours, theirs = refused.envelope("A1")["error"], real(name)["error"]
    assert ours.keys() == theirs.keys()
    assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in theirs.items()}
    assert (ours["code"], ours.get("error_subcode")) == (
        theirs["code"],
        theirs.get("error_subcode"),
    )


@needs_real
async def test_answers_have_the_keys_that_meta_s_have(simulated):
    async with simulated() as caller:
        _, sent = await caller.send()
        await caller.heard()
        body = caller.words()
        _, said = await caller.graph("POST", f"{NUMBER}/messages", json=body)
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/png"})
        form.add_field("file", b"\x89PNG", filename="a.png", content_type="image/png")
        _, media = await caller.graph("POST", f"{NUMBER}/media", data=form)
        _, about = await caller.graph("GET", media["id"])
        _, deleted = await caller.graph("DELETE", media["id"])
        fields = ",".join(real("phone-number-id__01"))
        _, number = await caller.graph("GET", f"{NUMBER}?fields={fields}")
        _, templates = await caller.graph("GET", f"{WABA}/message_templates")
        _, template = await caller.graph("GET", templates["data"][0]["id"])
    assert said["messages"][0].keys() == real("send-ok__01")["messages"][0].keys()
    assert sent["messages"][0].keys() == real("send-ok-accepted__01")["messages"][0].keys()
    assert sent["contacts"][0].keys() - {"user_id"} == real("send-ok__01")["contacts"][0].keys()
    assert about.keys() == real("media-id__02").keys()
    assert {k: type(v) for k, v in about.items()} == {
        k: type(v) for k, v in real("media-id__02").items()
    }
    assert deleted == real("media-id__01")
    assert number.keys() == real("phone-number-id__01").keys()
    assert real("template-id__01").keys() <= template.keys()


async def test_a_field_that_a_node_does_not_have_is_refused(simulated):
    async with simulated() as caller:
        for path in (NUMBER, f"{WABA}/phone_numbers", WABA):
            status, answer = await caller.graph("GET", f"{path}?fields=id,health_status,colour")
            assert (status, answer["error"]["code"]) == (400, 100)
            assert "nonexisting field (colour)" in answer["error"]["message"]
        nested = "id,health_status{can_send_message,entities},webhook_configuration"
        assert (await caller.graph("GET", f"{NUMBER}?fields={nested}"))[0] == 200


async def test_the_health_of_a_number_names_all_that_it_hangs_on(simulated):
    async with simulated() as caller:
        other = {"phone_number_id": "2", "waba_id": "3", "display_phone_number": "90312"}
        await caller.control("POST", "numbers", json=[other])
        seen = [await caller.graph("GET", f"{n}?fields=health_status") for n in (NUMBER, "2")]
    mine, others = (
        {e["entity_type"]: e["id"] for e in answer["health_status"]["entities"]}
        for _, answer in seen
    )
    assert (mine["PHONE_NUMBER"], mine["WABA"]) == (NUMBER, WABA)
    assert mine["BUSINESS"] == others["BUSINESS"]
    assert mine.keys() == {"PHONE_NUMBER", "WABA", "BUSINESS", "APP"}


async def test_calls_that_are_no_messages_fail_on_demand(simulated):
    async with simulated() as caller:
        for code, status in ((10, 403), (200, 403), (2, 503)):
            await caller.control("POST", "faults", json={"refuse_calls": {str(code): 1}})
            answer = await caller.graph("GET", f"{WABA}/message_templates")
            assert (answer[0], answer[1]["error"]["code"]) == (status, code)
            assert (await caller.send(f"90532000{code:04d}"))[0] == 200
        await caller.control("POST", "faults", json={"cut_calls": 1})
        with pytest.raises(aiohttp.ClientError):
            await caller.graph("POST", f"{NUMBER}/deregister")
        await caller.control("POST", "faults", json={})
        refused = await caller.send("905320009999")
    assert refused[1]["error"]["code"] == 133010  # it was done nevertheless


async def test_a_body_without_measure_is_refused(simulated):
    async with simulated() as caller:
        huge = b'{"about": "' + b"x" * 2_000_000 + b'"}'
        path = f"{NUMBER}/whatsapp_business_profile"
        status, answer = await caller.graph("POST", path, data=BytesIO(huge))
    assert (status, answer["error"]["code"]) == (400, 100)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "people", b'[{"wa_id": "\xff"}]'),
        ("POST", "people", b"["),
        ("GET", "nowhere", b""),
        ("DELETE", "rules", b""),
        ("POST", "people/x/say", b'{"phone_number_id": "1060", "text": "hey"}'),
        ("POST", "say", b'[{"phone_number_id": "1060", "text": "hey"}]'),
    ],
)
async def test_control_tells_every_mistake_as_json(simulated, method, path, body):
    async with (
        simulated() as caller,
        caller.session.request(
            method, f"{caller.url}/control/{path}", data=body, headers=CONTROL
        ) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]
