"""The front door is as its OpenAPI document says, and whatever the document allows or not breaks
nothing."""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks

from services.ingest.app import http
from services.ingest.links import LinkDoor
from services.ingest.tracking import TrackingDoor
from services.ingest.webhook import WebhookDoor
from tests.security.suite import APP_SECRET, WRITE_KEY, Suite

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
LONG = os.environ.get("SURVIVE") == "long"
FEW = settings(
    max_examples=2_000 if LONG else 8,
    derandomize=not LONG,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)
SPECIFICATION: Final[dict[str, Any]] = yaml.safe_load(DOCUMENT.read_text())
OPERATIONS: Final = [
    (method.upper(), path)
    for path, item in SPECIFICATION["paths"].items()
    for method in item
    if method != "parameters"
]
# Bodies are of others' making and taken as far as they can be: what cannot is told for each item.
# And that keys and signatures are looked at has tests of its own.
LENIENT: Final = [checks.negative_data_rejection, checks.ignored_auth]


def nothing(kind: type, count: int) -> Any:
    return kind(*[None] * count)


def test_the_document_has_every_path_and_no_other() -> None:
    app = http(nothing(WebhookDoor, 7), nothing(TrackingDoor, 6), nothing(LinkDoor, 5))
    routes = [(r.method, r.resource.canonical) for r in app.router.routes() if r.resource]
    assert sorted(routes) == sorted(OPERATIONS)


def sent(suite: Suite, session: requests.Session, case: schemathesis.Case) -> requests.Response:
    """The answer to a case, with the key of a source and the signature of an app."""
    url = f"http://127.0.0.1:{suite.http['ingest']}"
    prepared = session.prepare_request(requests.Request(**case.as_transport_kwargs(url)))
    body = prepared.body or b""
    raw = body.encode() if isinstance(body, str) else body
    signed = hmac.new(APP_SECRET.encode(), raw, hashlib.sha256).hexdigest()
    prepared.headers["X-Hub-Signature-256"] = f"sha256={signed}"
    prepared.headers["Authorization"] = f"Bearer {WRITE_KEY}"
    return session.send(prepared, timeout=20, allow_redirects=False)


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_sent_the_answer_is_one_of_the_document(
    suite: Suite, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(SPECIFICATION)[path][method]
    if mode is GenerationMode.NEGATIVE and path == "/healthz":
        return  # nothing of it can be wrong
    with requests.Session() as session:

        @FEW
        @given(operation.as_strategy(generation_mode=mode))
        def answered(case: schemathesis.Case) -> None:
            response = sent(suite, session, case)
            case.validate_response(response, excluded_checks=LENIENT)

        answered()
    assert suite.serves("ingest")
