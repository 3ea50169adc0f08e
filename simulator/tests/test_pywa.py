"""A client that was written for Meta works unchanged: only its connections lead here."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import fastapi
import httpx
import pytest
import pywa
import uvicorn
from pywa import types
from pywa.errors import (
    ExpiredAccessToken,
    MediaUploadError,
    ReEngagementMessage,
    TemplateNotExists,
    TemplateParamCountMismatch,
    WhatsAppError,
)
from pywa.types import templates as t

ACCESS, VERIFY, SECRET = "access", "verify", "app-secret"
NUMBER, WABA, APP = "1060", "1020", 77
ADA = "905321112233"
PNG = b"\x89PNG-bytes"
WEBP = b"RIFF\x04\x00\x00\x00WEBP"


class Here(httpx.HTTPTransport):
    """Connections to Meta's hosts lead to the simulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return super().handle_request(request)


@dataclass
class Business:
    """A business that uses the client, and what reached it."""

    whatsapp: pywa.WhatsApp
    heard: list
    told: list

    async def hears(self, heard=0, told=0):
        """The client answers a webhook before it looks at it."""
        while len(self.heard) < heard or len({s.id for s in self.told}) < told:
            await asyncio.sleep(0.01)

    async def call(self, name, /, *args, **more):
        """The client blocks: its calls go to a thread."""
        return await asyncio.to_thread(getattr(self.whatsapp, name), *args, **more)


@pytest.fixture
def business(simulated):
    """Runs the simulator and a business beside it, whose webhook Meta has verified."""
    return lambda **more: _business(simulated, **more)


@asynccontextmanager
async def _business(simulated, token=ACCESS):
    async with simulated() as caller:
        # It reads only the first update of a POST.
        await caller.control("PUT", "webhook/packing", json={"most": 1})
        app = fastapi.FastAPI()
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        session = httpx.Client(transport=Here(caller.url))
        whatsapp = pywa.WhatsApp(
            phone_id=NUMBER,
            token=token,
            session=session,
            server=app,
            webhook_endpoint="/pywa",
            verify_token=VERIFY,
            app_secret=SECRET,
            app_id=APP,
            waba_id=WABA,
        )
        heard, told = [], []
        whatsapp.on_message()(lambda _, message: heard.append(message))
        whatsapp.on_callback_button()(lambda _, pressed: heard.append(pressed))
        whatsapp.on_message_status()(lambda _, status: told.append(status))
        try:
            app_token = await asyncio.to_thread(whatsapp.get_app_access_token, APP, SECRET)
            await asyncio.to_thread(
                whatsapp.set_app_callback_url,
                app_id=APP,
                app_access_token=app_token,
                callback_url=f"http://127.0.0.1:{port}/pywa",
                verify_token=VERIFY,
                fields=("messages", "message_template_status_update"),
            )
            yield caller, Business(whatsapp, heard, told)
        finally:
            server.should_exit = True
            await serving
            await asyncio.to_thread(session.close)


async def test_it_sends_every_kind_and_hears_what_becomes_of_it(business):
    async with business() as (caller, shop):
        person = {"wa_id": ADA, "reads": 1, "answers": 0, "clicks": 0}
        await caller.control("POST", "people", json=[person])
        wamid = await caller.heard(text="Merhaba")
        await caller.drained()
        send, to = shop.call, {"to": ADA}
        text = await send("send_message", **to, text="Selam", tracker="m-1")
        await send("send_message", **to, text="?", buttons=[types.Button("Evet", "yes")])
        rows = [types.SectionRow("Bir", "1"), types.SectionRow("İki", "2")]
        await send(
            "send_message",
            **to,
            text="?",
            buttons=types.SectionList("Seç", sections=[types.Section("Hepsi", rows=rows)]),
        )
        await send(
            "send_message", **to, text="?", buttons=types.URLButton("Git", "https://shop.example/")
        )
        await send("send_image", **to, image=PNG, mime_type="image/png", caption="Resim")
        await send("send_video", **to, video=b"video", mime_type="video/mp4")
        await send("send_audio", **to, audio=b"OggS", mime_type="audio/ogg")
        await send("send_document", **to, document=b"%PDF", filename="a.pdf")
        voice = await send("send_voice", **to, voice=b"OggS", mime_type="audio/ogg")
        await send("send_sticker", **to, sticker=WEBP, mime_type="image/webp")
        await send("send_location", **to, latitude=41.0, longitude=29.0, name="Kadıköy")
        await send("request_location", **to, text="Neredesin?")
        await send("request_contact_info", **to, text="Numaran?")
        flow = types.FlowButton(
            title="Aç",
            flow_id=1,
            flow_token="t",
            flow_action_type=types.FlowActionType.NAVIGATE,
            flow_action_screen="A",
        )
        permission = types.CallPermissionRequestButton()
        for button in (flow, types.VoiceCallButton("Ara", ttl_minutes=60), permission):
            await send("send_text", **to, text="?", buttons=button)
        cards = [
            types.ImageCarouselCard(
                image="https://shop.example/a.png",
                body="Yeni",
                buttons=types.URLButton("Git", "https://shop.example/"),
            )
        ] * 2
        await send("send_carousel", **to, body="Yeniler", cards=cards)
        await send("send_catalog", **to, body="Hepsi", thumbnail_product_sku="a")
        await send("send_product", **to, catalog_id="1", sku="a", body="Bu")
        shelf = [types.ProductsSection("Yeni", ["a", "b"])]
        await send(
            "send_products",
            **to,
            catalog_id="1",
            product_sections=shelf,
            title="Yeni",
            body="Bunlar",
        )
        await send("send_reaction", **to, emoji="👍", message_id=wamid)
        await send("remove_reaction", **to, message_id=wamid)
        card = types.Contact(name=types.Contact.Name(formatted_name="Ada", first_name="Ada"))
        await send("send_contact", **to, contact=card)
        assert await send("mark_message_as_read", message_id=wamid)
        assert await send("indicate_typing", message_id=wamid)
        await caller.drained()
        await shop.hears(1, 23)
        page = await caller.control("GET", "ledger")
    assert voice.id
    assert [m.text for m in shop.heard] == ["Merhaba"]
    kinds = {e["type"] for e in page["entries"]}
    assert kinds == {
        "text", "interactive", "image", "video", "audio", "document", "sticker", "location",
        "contacts", "reaction",
    }  # fmt: skip
    mine = [s for s in shop.told if s.id == text.id]
    assert {s.status.value for s in mine} >= {"sent", "read"}
    assert {s.tracker for s in mine} == {"m-1"}
    assert len({s.id for s in shop.told}) == 23


async def test_media_go_up_and_down(business):
    async with business() as (caller, shop):
        media = await shop.call("upload_media", media=PNG, mime_type="image/png", filename="a.png")
        url = await shop.call("get_media_url", media.id)
        data = await shop.call("get_media_bytes", url=url.url)
        with pytest.raises(MediaUploadError):
            await shop.call(
                "upload_media", media=bytes(600_000), mime_type="image/webp", filename="a.webp"
            )
        sent = {"data": b"\xff\xd8\xff", "headers": {"Content-Type": "image/jpeg"}}
        theirs = await caller.control("POST", f"media?phone_number_id={NUMBER}", **sent)
        said = {"phone_number_id": NUMBER, "message": {"type": "image", "image": theirs}}
        await caller.control("POST", f"people/{ADA}/say", json=said)
        await caller.drained()
        await shop.hears(1)
        heard = await asyncio.to_thread(shop.heard[0].image.get_bytes)
        assert await shop.call("delete_media", media.id)
        with pytest.raises(WhatsAppError):
            await shop.call("get_media_url", media.id)
    assert (url.mime_type, url.file_size, data) == ("image/png", str(len(PNG)), PNG)
    assert heard == b"\xff\xd8\xff"


async def test_templates_are_created_filled_edited_and_deleted(business):
    async with business() as (caller, shop):
        await caller.control("POST", "people", json=[{"wa_id": ADA, "clicks": 1, "blocks": 0}])
        header, text = t.HeaderImage(PNG, mime_type="image/png"), "Merhaba {{name}}, indirim var!"
        body, reply = t.BodyText(text, name="Ada"), t.QuickReplyButton(text="Evet")
        link = t.URLButton(text="Git", url="https://shop.example/{{1}}", example="a")
        template = t.Template(
            name="season",
            language=t.TemplateLanguage.TURKISH,
            category=t.TemplateCategory.MARKETING,
            parameter_format=t.ParamFormat.NAMED,
            components=[
                header,
                body,
                t.FooterText(text="Dükkân"),
                t.Buttons(buttons=[reply, link]),
            ],
        )
        made = await shop.call("create_template", template)
        seen = await shop.call("get_template", made.id)
        listed = await shop.call("get_templates", statuses=[t.TemplateStatus.APPROVED])
        media = await shop.call("upload_media", media=PNG, mime_type="image/png", filename="a.png")

        def send(**more):
            name = {"name": "Ada"} | more
            params = [
                header.params(image=media.id),
                body.params(**name),
                reply.params(callback_data="yes-1", index=0),
                link.params(url_variable="x", index=1),
            ]
            return shop.call(
                "send_template",
                to=ADA,
                name="season",
                language=t.TemplateLanguage.TURKISH,
                params=params,
            )

        sent = [await send() for _ in range(20)]
        await caller.drained()
        with pytest.raises(TemplateNotExists):
            await shop.call(
                "send_template",
                to=ADA,
                name="unknown",
                language=t.TemplateLanguage.TURKISH,
                params=[],
            )
        with pytest.raises(TemplateParamCountMismatch):
            await shop.call(
                "send_template",
                to=ADA,
                name="season",
                language=t.TemplateLanguage.TURKISH,
                params=[header.params(image=media.id)],
            )
        await shop.hears(1)
        await caller.control("PUT", f"templates/{made.id}", json={"status": "PAUSED"})
        assert await shop.call("unpause_template", made.id)
        assert await shop.call("update_template", template_id=made.id, new_components=[body])
        assert await shop.call("delete_template", "season")
        after = await shop.call("get_templates")
    assert seen.status is t.TemplateStatus.APPROVED
    assert {one.name for one in listed} == {"season", "offer"}
    assert {one.name for one in after} == {"offer"}
    assert len({s.id for s in sent}) == 20
    pressed = [h for h in shop.heard if getattr(h, "data", None)]
    assert {p.data for p in pressed} == {"yes-1"}


async def test_its_errors_are_the_ones_it_knows(business):
    async with business() as (_, shop):
        with pytest.raises(ReEngagementMessage):
            await shop.call("send_message", to=ADA, text="too late")
        shop.whatsapp.token = "stolen"
        with pytest.raises(ExpiredAccessToken):
            await shop.call("send_message", to=ADA, text="not me")


async def test_numbers_profiles_and_blocking(business):
    async with business() as (caller, shop):
        await caller.heard()
        number = await shop.call("get_business_phone_number")
        numbers = await shop.call("get_business_phone_numbers")
        await shop.call("update_business_profile", about="Dükkân")
        profile = await shop.call("get_business_profile")
        blocked = await shop.call("block_users", [ADA])
        listed = await shop.call("get_blocked_users")
        await shop.call("unblock_users", [ADA])
        assert await shop.call("register_phone_number", pin="123456")
        assert await shop.call("update_display_name", "Dükkân")
        renamed = await shop.call("get_business_phone_number")
        account = await shop.call("get_business_account")
        hook = {"callback_url": f"{caller.receiver.url}/hook", "verify_token": VERIFY}
        assert await shop.call("override_phone_callback_url", **hook)
        assert await shop.call("delete_phone_callback_url")
        assert await shop.call("override_waba_callback_url", **hook)
        assert await shop.call("delete_waba_callback_url")
    assert number.id == NUMBER
    assert (renamed.verified_name, account.id) == ("Dükkân", WABA)
    assert [n.id for n in numbers] == [NUMBER]
    assert profile.about == "Dükkân"
    assert blocked.added_users
    assert len(listed) == 1


async def test_a_wrong_token_is_not_verified(business):
    async with business() as (_, shop):
        with pytest.raises(WhatsAppError) as caught:
            await shop.call(
                "override_waba_callback_url",
                callback_url="http://127.0.0.1:1/nobody",
                verify_token="x",
            )
    assert caught.value.code == 2200
