"""Graph: message templates."""

from collections.abc import Callable, Sequence

from aiohttp import web

from simulator.graph.answers import answer, object_of, only, page
from simulator.pipeline import Pipeline
from simulator.refusals import Refused, unknown_object
from simulator.templates.definition import Template
from simulator.webhooks.courier import Courier
from simulator.world.account import TemplateAccount
from simulator.world.world import World

_FILTERS = ("name", "status", "category", "language")
_LIST_FIELDS = "name,parameter_format,components,language,status,category"
_MOST_AT_ONCE = 100


class TemplateCalls:
    """Created, listed, changed, deleted."""

    def __init__(
        self,
        world: World,
        account: TemplateAccount,
        pipeline: Pipeline,
        courier: Courier,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._account = account
        self._pipeline = pipeline
        self._courier = courier
        self._clock = clock

    def get(self, template_id: str, request: web.Request) -> web.Response | None:
        """None if there is no such template."""
        template = self._world.templates.get(template_id)
        if template is None:
            return None
        return answer(only(template.seen_by_graph(), request.query.get("fields", "")))

    async def list(self, request: web.Request) -> web.StreamResponse:
        waba_id, query = request.match_info["waba_id"], request.query
        self._world.account(waba_id, "GET")
        wanted = {key: query[key].upper() for key in _FILTERS if key in query}
        score = query.get("quality_score", "").upper()
        content = query.get("content", "").lower()
        found = [
            only(seen, query.get("fields") or _LIST_FIELDS)
            for seen in (t.seen_by_graph() for t in self._world.templates.of(waba_id))
            if all(str(seen[key]).upper() == value for key, value in wanted.items())
            and (not score or seen["quality_score"]["score"] == score)
            and (not content or content in str(seen["components"]).lower())
        ]
        answered = page(found, request)
        if summary := query.get("summary", ""):
            all_of = len([*self._world.templates.of(waba_id)])
            known = {
                "total_count": len(found),
                "message_template_count": all_of,
                "message_template_limit": self._world.rules.template_limit,
                "are_translations_complete": True,
            }
            answered["summary"] = {k: v for k, v in known.items() if k in summary}
        return answer(answered)

    async def create(self, request: web.Request) -> web.StreamResponse:
        waba_id = request.match_info["waba_id"]
        template = self._create(waba_id, await object_of(request))
        return answer(
            {
                "id": template.template_id,
                "status": template.status,
                "category": template.category,
            }
        )

    def _create(self, waba_id: str, body: dict[str, object]) -> Template:
        template, review = self._account.create(waba_id, body, self._clock())
        self._pipeline.later([review])
        return template

    async def edit(self, template: Template, request: web.Request) -> web.StreamResponse:
        review = self._account.edit(template, await object_of(request), self._clock())
        if review is not None:
            self._pipeline.later([review])
        return answer(
            {
                "success": True,
                "id": template.template_id,
                "name": template.name,
                "category": template.category,
            }
        )

    async def delete(self, request: web.Request) -> web.StreamResponse:
        waba_id, query = request.match_info["waba_id"], request.query
        name = query.get("name")
        ids: Sequence[str | None] = (query.get("hsm_id"),)
        if "hsm_ids" in query:
            ids = [one.strip(' "[]') for one in query["hsm_ids"].split(",")]
        if len(ids) > _MOST_AT_ONCE:
            raise Refused(100, f"hsm_ids: at most {_MOST_AT_ONCE}.")
        for template_id in ids:
            self._account.delete(waba_id, self._clock(), name=name, template_id=template_id)
        return answer({"success": True})

    async def unpause(self, request: web.Request) -> web.StreamResponse:
        template_id = request.match_info["template_id"]
        template = self._world.templates.get(template_id)
        if template is None:
            raise unknown_object("POST", template_id)
        self._courier.offer(self._account.unpause(template, self._clock()))
        return answer({"success": True})

    async def archive(self, request: web.Request) -> web.StreamResponse:
        return await self._archive(request, away=True)

    async def unarchive(self, request: web.Request) -> web.StreamResponse:
        return await self._archive(request, away=False)

    async def _archive(self, request: web.Request, *, away: bool) -> web.StreamResponse:
        self._world.account(request.match_info["waba_id"], "POST")
        given = (await object_of(request)).get("hsm_ids")
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise Refused(100, "hsm_ids: a list of ids is required.")
        done, failed = [], {}
        for template_id in given:
            try:
                self._account.archive(template_id, away=away)
                done.append(template_id)
            except Refused as refused:
                failed[template_id] = refused.details or refused.message
        name = "archived_templates" if away else "unarchived_templates"
        return answer({name: done, "failed_templates": failed})

    async def upsert(self, request: web.Request) -> web.StreamResponse:
        """An authentication template in several languages at once."""
        waba_id = request.match_info["waba_id"]
        self._world.account(waba_id, "POST")
        body = await object_of(request)
        languages = body.get("languages")
        if not isinstance(languages, list) or not languages:
            raise Refused(100, "languages: a list is required.")
        if body.get("category") != "AUTHENTICATION":
            raise Refused(100, "category: must be AUTHENTICATION.")
        made = []
        for language in languages:
            found = self._world.templates.find(waba_id, str(body.get("name")), str(language))
            if found is None:
                found = self._create(waba_id, {**body, "language": language})
            else:
                review = self._account.edit(found, body, self._clock())
                self._pipeline.later([review] if review else [])
            made.append(
                {"id": found.template_id, "status": found.status, "language": found.language}
            )
        return answer({"data": made})
