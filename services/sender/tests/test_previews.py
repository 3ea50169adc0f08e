"""Previews: what a contact would see, and no more of them than the caller may."""

import io
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from PIL import Image
from structlog.testing import capture_logs

from chassis.ids import fresh_id
from chassis.rpc import channel
from merhaba.event.v1 import Event, Tracked
from merhaba.sender.v1 import (
    Binding,
    CampaignVariant,
    CreateCampaignRequest,
    ListTemplatesRequest,
    PreviewTemplateRequest,
    PreviewVariable,
    Template,
    TemplateServiceStub,
)
from merhaba.sender.v1 import Campaign as CampaignProto

MARKETING = "of somebody who plans campaigns"  # as in conftest
SKIP, FALLBACK = Binding.MISSING_SKIP, Binding.MISSING_FALLBACK


async def welcome(ready: Any, name: str = "welcome") -> str:
    request = ListTemplatesRequest(waba_id=ready.waba_id, name_query=name)
    (found,) = (await ready.templates.ListTemplates(request)).templates
    return str(found.template_id)


def bind(variable: str, expression: str, missing: Any = SKIP, **more: Any) -> Binding:
    return Binding(variable=variable, expression=expression, missing=missing, **more)


GREETING = bind(
    "body.1", "profile.first_name", FALLBACK, fallbacks={"*": "dostum"}, text={"casing": 3}
)


async def preview(ready: Any, **request: Any) -> Any:
    return await ready.templates.PreviewTemplate(PreviewTemplateRequest(**request))


async def test_a_template_is_shown_with_a_contacts_values(ready: Any) -> None:
    contact = ready.profile.add("905301112233", first_name="AYŞE")
    shown = await preview(
        ready, template_id=await welcome(ready), contact_id=contact, bindings=[GREETING]
    )
    assert shown.text == "Merhaba Ayşe, yeni sezon geldi."
    assert (shown.sendable, shown.problem, shown.image) == (True, "", b"")
    assert MessageToDict(shown.message, preserving_proto_field_name=True) == {
        "name": "welcome",
        "language": "tr",
        "body": [{"text": "Ayşe"}],
    }
    assert list(shown.variables) == [
        PreviewVariable(
            variable="body.1",
            value="Ayşe",
            policy=FALLBACK,
            source=PreviewVariable.SOURCE_EXPRESSION,
        )
    ]


async def test_what_is_missing_says_what_stands_for_it(ready: Any) -> None:
    contact = ready.profile.add("905301112234")
    template_id = await welcome(ready)
    shown = await preview(ready, template_id=template_id, contact_id=contact, bindings=[GREETING])
    (told,) = shown.variables
    assert (told.value, told.missing, told.policy) == ("dostum", True, FALLBACK)
    assert told.source == PreviewVariable.SOURCE_FALLBACK
    assert shown.sendable
    bare = bind("body.1", "profile.first_name")
    skipped = await preview(ready, template_id=template_id, contact_id=contact, bindings=[bare])
    assert (skipped.sendable, skipped.problem) == (False, "missing_body.1")
    assert skipped.text == "Merhaba {{1}}, yeni sezon geldi."
    assert not skipped.HasField("message")
    (told,) = skipped.variables
    assert (told.missing, told.policy, told.source) == (True, SKIP, 0)


async def test_without_a_contact_the_templates_own_examples_are_shown(ready: Any) -> None:
    shown = await preview(ready, template_id=await welcome(ready))
    assert shown.text == "Merhaba Ayşe, yeni sezon geldi."
    assert shown.variables[0].source == PreviewVariable.SOURCE_EXAMPLE


def draft(**components: Any) -> Template:
    return Template(
        waba_id="1", name="bahar", language="tr", category="MARKETING", components=components
    )


async def test_a_draft_is_shown_before_meta_has_seen_it(ready: Any) -> None:
    contact = ready.profile.add("905301112235", first_name="ışıl", city="Bursa")
    wanted = draft(
        header={"format": 1, "text": "Selam {{1}}!"},
        body={"text": "*Bahar* {{1}} mağazamızda."},
        footer={"text": "Durdurmak için DUR yaz."},
        buttons=[
            {"text": "Aç", "url": {"url": "https://a.example/{{1}}"}},
            {"text": "Dur", "quick_reply": {"marketing_opt_out": True}},
        ],
    )
    shown = await preview(
        ready,
        template=wanted,
        contact_id=contact,
        bindings=[
            bind("header", "profile.first_name", text={"casing": 3}),
            bind("body.1", "profile.city", text={"suffix": 4}),
            bind("button.0", "profile.city"),
        ],
        include_image=True,
        dark=True,
    )
    assert shown.text.splitlines() == [
        "Selam Işıl!",
        "*Bahar* Bursa'da mağazamızda.",
        "Durdurmak için DUR yaz.",
        "[Aç]",
        "[Dur]",
    ]
    picture = Image.open(io.BytesIO(shown.image))
    assert (picture.format, picture.width) == ("PNG", 720)
    assert picture.convert("L").getpixel((5, 5)) < 60


async def test_a_campaigns_variant_is_shown_in_the_contacts_language(ready: Any) -> None:
    contact = ready.profile.add("905301112236", first_name="Ece", language="tr")
    campaign = CampaignProto(
        name="Bahar",
        waba_id=ready.waba_id,
        audience={"contacts": {"contacts": [{"contact_id": contact}]}},
        variants=[{"name": "a", "template_name": "welcome", "bindings": [GREETING], "weight": 1.0}],
    )
    made = await ready.campaign.CreateCampaign(
        CreateCampaignRequest(request_id=fresh_id("req"), campaign=campaign)
    )
    named = CampaignVariant(campaign_id=made.campaign.campaign_id, variant="a")
    assert (await preview(ready, campaign_variant=named, contact_id=contact)).text == (
        "Merhaba Ece, yeni sezon geldi."
    )
    named.variant = "b"
    assert await ready.refusal(preview(ready, campaign_variant=named, contact_id=contact)) == (
        "NOT_FOUND",
        "VARIANT_NOT_FOUND",
    )
    named.variant = "a"
    assert await ready.refusal(
        preview(ready, campaign_variant=named, contact_id=contact, language="de")
    ) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")


async def test_values_come_from_what_they_did_and_where_they_belong(ready: Any) -> None:
    contact = ready.profile.add("905301112237", first_name="Ali")
    event = Event(tracked=Tracked(name="order_completed", properties_json=b'{"total": 89.9}'))
    event.event_time.GetCurrentTime()
    ready.profile.happened[contact] = [event]
    ready.segment.members["vip"] = [contact]
    total = bind(
        "body.1",
        'segment("nvip") ? events("order_completed").last().total : 0.0',
        money={"currency_code": "TRY"},
    )
    shown = await preview(
        ready, template_id=await welcome(ready), contact_id=contact, bindings=[total]
    )
    assert shown.text == "Merhaba ₺89,90, yeni sezon geldi."
    strange = bind("body.1", 'segment("nobody") ? "a" : "b"')
    assert await ready.refusal(
        preview(ready, template_id=await welcome(ready), contact_id=contact, bindings=[strange]),
    ) == ("NOT_FOUND", "SEGMENT_NOT_FOUND")


async def test_who_plans_campaigns_sees_dots_where_a_person_would_show(ready: Any) -> None:
    contact = ready.profile.add("905301112238", first_name="Gizem", city="Bursa")
    wanted = draft(body={"text": "Merhaba {{1}}, {{2}} mağazamız açıldı."})
    bindings = [bind("body.1", "profile.first_name"), bind("body.2", "profile.city")]
    request = PreviewTemplateRequest(
        template=wanted, contact_id=contact, bindings=bindings, include_image=True
    )
    seen = await ready.templates.PreviewTemplate(request)
    with capture_logs() as logs:
        async with channel(ready.target, MARKETING) as opened:
            masked = await TemplateServiceStub(opened).PreviewTemplate(request)
    (audit,) = [one for one in logs if one["event"] == "audit"]
    told = {key: audit[key] for key in ("read", "contact_id", "caller")}
    assert told == {"read": "preview", "contact_id": contact, "caller": "planner"}
    assert "Gizem" not in str(logs)
    assert seen.text == "Merhaba Gizem, Bursa mağazamız açıldı."
    assert masked.text == "Merhaba •••, Bursa mağazamız açıldı."
    assert [one.masked for one in masked.variables] == [True, False]
    assert "Gizem" not in str(masked)
    assert masked.image != seen.image
    assert [p.text for p in masked.message.body] == ["•••", "Bursa"]


async def test_a_role_may_do_what_is_named_and_nothing_else(ready: Any) -> None:
    async with channel(ready.target, MARKETING) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as denied:
            await opened.unary_unary("/merhaba.sender.v1.MessageService/SendMessage")(b"")
    assert denied.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_draft_may_name_its_variables_before_it_says_so(ready: Any) -> None:
    shown = await preview(ready, template=draft(body={"text": "Selam {{ad}}, {{1}} puan."}))
    assert shown.text == "Selam {{ad}}, {{1}} puan."
    assert (shown.sendable, shown.problem) == (False, "unbound_body.1")


async def test_a_mistake_in_a_binding_is_told_where_it_stands(ready: Any) -> None:
    bindings = [bind("body.1", "profile.first_name"), bind("header", "1 > 2")]
    wanted = draft(header={"format": 1, "text": "{{1}}!"}, body={"text": "Selam {{1}}."})
    status, reason, facts = await ready.refused(preview(ready, template=wanted, bindings=bindings))
    assert (status, reason) == ("INVALID_ARGUMENT", "EXPRESSION_INVALID")
    assert facts["field"] == "bindings[1].expression"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "FIELD_INVALID"),
        ({"template_id": "404"}, "TEMPLATE_NOT_FOUND"),
        ({"template": draft(body={"text": "{{1}}!"}), "contact_id": "nobody"}, "CONTACT_NOT_FOUND"),
        (
            {"template": draft(body={"text": "{{1}}!"}), "bindings": [bind("body.1", "profile.")]},
            "EXPRESSION_INVALID",
        ),
        (
            {"template": draft(body={"text": "{{1}}!"}), "bindings": [bind("body.2", "1")]},
            "PARAMETERS_INVALID",
        ),
        ({"campaign_variant": CampaignVariant(campaign_id="no")}, "CAMPAIGN_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_shown_is_told(
    ready: Any, request_: dict[str, Any], reason: str
) -> None:
    assert (await ready.refusal(preview(ready, **request_)))[1] == reason
