"""Every body that Meta's own documents and others' clients post can be built through the API."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from merhaba.sender.v1 import Content
from services.sender.body import body_of, content_of
from services.sender.model import Address, Lane, Message
from services.sender.posting import posted

SENDS = Path(__file__).parents[4] / "shared" / "sends"
FILES = sorted(path.name for path in SENDS.glob("message__*.json"))

NOT_BUILT = {
    "message__-message_type__01.json": "a skeleton: it has no kind",
    "message__text+reply__03.json": "a skeleton: it has no kind",
    "message__interactive-none__01.json": "a skeleton: it has no action",
    "message__interactive-address_message__01.json": "a skeleton: its parameters are a word",
    "message__pin+group__01.json": "a skeleton; and messages to groups are not sent",
    "message__text+group__01.json": "messages to groups are not sent",
    "message__interactive-carousel__03.json": "shortened: Meta takes no carousel of one card",
    "message__interactive-flow__06.json": "names its flow twice; one name is enough",
    "message__template-body_btn-quick_reply__01.json": "its texts are yes and no, not words",
    **dict.fromkeys(
        ("message__mark-read__01.json", "message__mark-read+typing__01.json"),
        "no message: MarkRead",
    ),
    **dict.fromkeys(
        [f"message__text__{n}.json" for n in ("01", "02", "08", "12")],
        "no message: a call is answered",
    ),
}
"""What the walk leaves out, each with the reason."""

pytestmark = pytest.mark.skipif(
    not SENDS.exists() and os.environ.get("CI") != "true",
    reason="the bodies that others post are not beside the repository",
)


WALKED = [name for name in FILES if name not in NOT_BUILT]


def plain(value: Any, key: str = "") -> Any:
    """A sample with its placeholders filled and its spellings made one.

    Meta takes an index as number and as text, and types in either case.
    """
    if isinstance(value, dict):
        return {k: plain(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if key == "index":
        return str(value)
    if isinstance(value, str) and key in {"type", "sub_type"}:
        return {"<header_type>": "text", "<type>": "text"}.get(value.lower(), value.lower())
    if isinstance(value, str) and "http(s)" in value:
        return "https://example.com/media"
    if isinstance(value, str) and key in {"latitude", "longitude"}:
        return 1.5
    return "tr" if isinstance(value, str) and key == "code" and len(value) > 15 else value


def message(body: dict[str, Any], context_wamid: str) -> Message:
    return Message(
        message_id="msg_1",
        contact_id="c",
        campaign_id="",
        occurrence_id="",
        phone_number_id="1",
        template="",
        language="",
        variant="",
        propensity=1.0,
        purpose="",
        context_wamid=context_wamid,
        body=msgspec.json.encode(body),
        lane=Lane.REPLY,
        not_after=0,
        plan_time=0,
        received_time=0,
        traceparent="",
        category="",
    )


def test_the_samples_are_there() -> None:
    assert len(FILES) > 90
    assert set(FILES) >= NOT_BUILT.keys()


@pytest.mark.parametrize("name", WALKED)
def test_what_others_post_is_built_and_equals_it(name: str) -> None:
    sample = plain(msgspec.json.decode((SENDS / name).read_bytes()))
    kind = sample["type"]
    content = content_of(msgspec.json.encode(sample))
    assert isinstance(content, Content)
    built = body_of(Content.FromString(content.SerializeToString()))
    if "recipient_identity_key_hash" in sample:
        built["recipient_identity_key_hash"] = sample["recipient_identity_key_hash"]

    to = Address(wa_id="905551112233") if "to" in sample else Address(bsuid=sample["recipient"])
    ours = message(built, sample.get("context", {}).get("message_id", ""))
    endpoint, body = posted(ours, to)

    assert endpoint == "messages"
    assert body.pop("biz_opaque_callback_data") == "msg_1"
    if "to" in sample:
        assert body["to"] == "+905551112233"
        sample["to"] = body["to"]
    assert {"recipient_type": "individual", **sample} == body
    assert plain(body) == body
    assert kind in body
