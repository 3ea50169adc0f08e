"""Templates as tests submit, edit and read them, on real Postgres and simulator."""

from typing import Any
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from merhaba.event.v1 import (
    Event,
)
from merhaba.sender.v1 import (
    CreateTemplateRequest,
    GetTemplateRequest,
    Template,
    TemplateBody,
    TemplateButton,
    TemplateComponents,
    TemplateFooter,
    TemplateOtp,
    UpdateTemplateRequest,
    VariableExample,
)
from services.sender.consumer import AccountConsumer
from services.sender.failures import PlatformUnavailable

HOUR_MS = 3_600_000
EXAMPLE = [VariableExample(variable="1", example="Ayşe")]
CLOSE = TemplateFooter(text="Durdurmak için DUR yazın")


def body(text: str = "Merhaba {{1}}, yeni sezon geldi.") -> TemplateBody:
    return TemplateBody(text=text, examples=EXAMPLE if "{{1}}" in text else [])


def wanted(ready: Any, name: str = "sezon", **more: Any) -> Template:
    parts = more.pop("components", None) or TemplateComponents(body=body(), footer=CLOSE)
    told: dict[str, Any] = {"language": "tr", "category": "MARKETING", **more}
    return Template(waba_id=ready.waba_id, name=name, components=parts, **told)


async def create(ready: Any, template: Template, request_id: str = "", **more: Any) -> Any:
    return await ready.templates.CreateTemplate(
        CreateTemplateRequest(request_id=request_id or str(uuid4()), template=template, **more)
    )


async def created(ready: Any, name: str = "sezon", **more: Any) -> Template:
    made: Template
    (made,) = (await create(ready, wanted(ready, name, **more))).templates
    return made


async def get(ready: Any, template_id: str) -> Template:
    got = await ready.templates.GetTemplate(GetTemplateRequest(template_id=template_id))
    found: Template = got.template
    return found


async def at_meta(ready: Any, name: str = "") -> list[dict[str, Any]]:
    query = f"&name={name}" if name else ""
    path = f"{ready.waba_id}/message_templates?limit=1000{query}&fields=id,name,language,status,"
    async with ready.http.get(
        f"{ready.graph_url}/v26.0/{path}components,category,message_send_ttl_seconds",
        headers={"Authorization": "Bearer graph"},
    ) as response:
        found: list[dict[str, Any]] = (await response.json())["data"]
        return found


async def decided(ready: Any, template_id: str, **given: Any) -> None:
    """Meta decides, and no webhook comes."""
    await ready.control("PUT", f"templates/{template_id}", given)


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def event(ready: Any, template_id: str, time: int, **told: Any) -> bytes:
    """What Meta says of a template."""
    (name,) = told
    told[name].template_id, told[name].waba_id = template_id, ready.waba_id
    found = Event(event_id=fresh_id("e"), **told)
    found.event_time.FromMilliseconds(time)
    return found.SerializeToString()


async def hear(ready: Any, *events: bytes) -> None:
    await AccountConsumer(ready.shelf, ready.number_store).handle(list(events))


async def update(ready: Any, template: Template, request_id: str = "", **more: Any) -> Template:
    answer = await ready.templates.UpdateTemplate(
        UpdateTemplateRequest(request_id=request_id or str(uuid4()), template=template, **more)
    )
    found: Template = answer.template
    return found


def edited(made: Template, text: str, **more: Any) -> Template:
    parts = TemplateComponents(body=body(text), footer=CLOSE)
    return Template(template_id=made.template_id, components=parts, **more)


def code_parts(expires_s: int = 300) -> TemplateComponents:
    return TemplateComponents(
        body=TemplateBody(security_recommendation=True),
        footer=TemplateFooter(code_expiration_duration=Duration(seconds=expires_s)),
        buttons=[TemplateButton(otp=TemplateOtp(kind=TemplateOtp.KIND_COPY_CODE))],
    )


class Losing:
    """Meta, whose answers to what changes something are lost."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self.lost = 0

    async def manage(self, method: str, path: str, *arguments: Any, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._graph.manage(method, path, *arguments, **more)
        if method != "GET":
            self.lost += 1
            raise PlatformUnavailable("no answer", operation=path)
        return found
