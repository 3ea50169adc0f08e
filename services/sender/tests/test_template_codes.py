"""Templates of one-time codes, which Meta writes and lists in its own way."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from merhaba.sender.v1 import (
    LintTemplateRequest,
    Template,
    TemplateButton,
    TemplateOtp,
)
from services.sender.failures import PlatformUnavailable
from services.sender.templates.registry import Edit, Registry
from services.sender.templates.samples import Samples
from services.sender.templates.wire import draft_of
from services.sender.tests.registry import Losing, at_meta, code_parts, create, get, wanted
from services.sender.wording.form import Form


async def test_authentication_is_written_by_meta_in_several_languages(ready: Any) -> None:
    code = wanted(ready, "kod", components=code_parts(), category="AUTHENTICATION", language="")
    request_id = str(uuid4())
    made = await create(ready, code, request_id, languages=["tr", "en_US"])
    assert [one.language for one in made.templates] == ["tr", "en_US"]
    assert await create(ready, code, request_id, languages=["tr", "en_US"]) == made
    assert {one["language"] for one in await at_meta(ready, "kod")} == {"tr", "en_US"}
    again = create(ready, code, languages=["de", "tr"])
    assert await ready.refusal(again) == ("ALREADY_EXISTS", "TEMPLATE_EXISTS")
    both = create(ready, wanted(ready, "kod"), languages=["de"])
    assert await ready.refusal(both) == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_a_code_is_shown_as_it_was_asked_for_though_meta_lists_a_link(ready: Any) -> None:
    code = wanted(ready, "kod", components=code_parts(), category="AUTHENTICATION")
    (made,) = (await create(ready, code)).templates
    (there,) = await at_meta(ready, "kod")
    assert there["components"][-1]["buttons"][0]["type"] == "URL"
    (button,) = made.components.buttons
    assert button == TemplateButton(
        text="Kodu kopyala", otp=TemplateOtp(kind=TemplateOtp.KIND_COPY_CODE)
    )
    assert made.components.body.text.startswith("*{{1}}* doğrulama kodunuzdur.")
    assert made.components.footer.code_expiration_duration.seconds == 300
    found = await ready.templates.LintTemplate(LintTemplateRequest(template_id=made.template_id))
    assert list(found.findings) == []
    assert (await ready.syncing.sync(ready.waba_id)).changed == 0
    # Only the code is to be given: the button takes it too
    known = Form(await ready.shelf.template(made.template_id))
    assert known.required == {"body.1"}
    (_, press) = msgspec.json.decode(known.body({"body.1": "123456"}))["template"]["components"]
    assert (press["sub_type"], press["parameters"][0]["text"]) == ("url", "123456")


async def test_an_edit_of_a_code_whose_answer_was_lost_is_sent_once(ready: Any) -> None:
    code = wanted(ready, "kod", components=code_parts(), category="AUTHENTICATION")
    (made,) = (await create(ready, code)).templates
    losing = Losing(ready.graph)
    registry = Registry(ready.shelf, losing, Samples(ready.files, None, None, 1))  # type: ignore[arg-type]
    edit = Edit(draft=draft_of(Template(components=code_parts(600))))
    request_id = str(uuid4())
    with pytest.raises(PlatformUnavailable):
        await registry.edit(made.template_id, edit, request_id, "")
    await registry.edit(made.template_id, edit, request_id, "")
    assert losing.lost == 1
    footer = (await get(ready, made.template_id)).components.footer
    assert footer.code_expiration_duration.seconds == 600
