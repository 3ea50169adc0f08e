"""What is secret or somebody's own is in no setting that is shown, no line that is logged and no
answer."""

import importlib
import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import quote

import grpc
import pytest
from pydantic import SecretStr

from chassis.settings import Settings
from merhaba.profile.v1 import ResolveContactRequest
from merhaba.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from tests.security.suite import (
    APP_SECRET,
    MANAGER,
    SERVICES,
    TOKEN,
    VERIFY_TOKEN,
    WRITE_KEY,
    Suite,
)

ROOT: Final = Path(__file__).resolve().parents[2]
SECRET: Final = re.compile(r"(^|_)(token|tokens|secret|secrets|key|keys|password|credentials)(_|$)")
NO_SECRETS: Final = {
    *("tls_key_file", "keys_file"),  # where a secret is
    *("write_key_limit", "write_key_burst_s"),  # numbers
}
SECRETS: Final = (TOKEN, MANAGER, WRITE_KEY, APP_SECRET, VERIFY_TOKEN)
PHONE: Final = "905551112233"
EMAIL: Final = "somebody.private@example.com"


def settings() -> list[type[Settings]]:
    for service in SERVICES:
        importlib.import_module(f"services.{service}.config")
    found, waiting = [], [Settings]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith(("chassis", "services"))]


def test_every_setting_that_is_a_secret_hides_itself() -> None:
    shown = {
        f"{kind.__name__}.{name}"
        for kind in settings()
        for name, field in kind.model_fields.items()
        if SECRET.search(name) and name not in NO_SECRETS and field.annotation is not SecretStr
    }
    assert shown == set()
    assert len(settings()) > 5


def test_what_callers_carry_and_say_of_people_is_not_logged(suite: Suite) -> None:
    door = HTTPConnection("127.0.0.1", suite.http["ingest"], timeout=20)
    door.request("GET", f"/webhooks/whatsapp?hub.verify_token={VERIFY_TOKEN}&hub.mode=x&x={PHONE}")
    assert door.getresponse().read() == b""
    for body in ('{"batch": "x"}', f'{{"batch": [{{"type": "track", "userId": "{EMAIL}"}}]}}', "{"):
        door.request("POST", "/v1/batch", body, {"Authorization": f"Bearer {WRITE_KEY}"})
        door.getresponse().read()
    door.request("GET", f"/l/{PHONE}?email={EMAIL}", headers={"User-Agent": EMAIL})
    door.getresponse().read()
    door.close()
    page = HTTPConnection("127.0.0.1", suite.http["reports"], timeout=20)
    page.request(
        "GET", f"/?token={quote(MANAGER)}&search={EMAIL}", headers={"Cookie": f"x={PHONE}"}
    )
    page.getresponse().read()
    page.close()
    with grpc.insecure_channel(f"127.0.0.1:{suite.grpc['profile']}") as channel:
        request = ResolveContactRequest()
        request.identities.add(kind=1, value=PHONE)
        request.identities.add(kind=5, value=EMAIL)
        for metadata in (
            [("authorization", f"Bearer {TOKEN}"), ("purpose", "a test")],
            [("authorization", f"Bearer {PHONE}")],
        ):
            with pytest.raises(grpc.RpcError):
                ProfileServiceStub(channel).ResolveContact(request, metadata=metadata, timeout=20)
    log = suite.log()
    said = [one for one in (*SECRETS, quote(MANAGER), PHONE, EMAIL) if one in log]
    assert said == []


@pytest.mark.parametrize("service", ["ingest", "reports"])
def test_no_answer_names_the_versions_behind_it(suite: Suite, service: str) -> None:
    for method, path, headers in (
        *[("GET", path, {}) for path in ("/", "/nowhere", "/healthz", "/sign-in", "/l/x", "/v1/x")],
        *[("DELETE", path, {}) for path in ("/", "/webhooks/whatsapp", "/v1/batch", "/sign-in")],
        ("POST", "/webhooks/whatsapp", {"Content-Encoding": "gzip"}),
        ("POST", "/sign-in", {"Sec-Fetch-Site": "cross-site"}),
        ("POST", "/v1/batch", {"Authorization": "Bearer \xff"}),
    ):
        to = HTTPConnection("127.0.0.1", suite.http[service], timeout=20)
        to.request(method, path, headers=headers)
        response = to.getresponse()
        said = f"{response.headers}{response.read().decode(errors='replace')}"
        to.close()
        assert not re.search(r"aiohttp|Python/|uvloop|Traceback|\.py\b", said), (method, path, said)
