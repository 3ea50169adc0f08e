"""Graph: media up and down, and samples for templates."""

import hmac
from collections.abc import Callable
from secrets import token_hex

from aiohttp import BodyPartReader, web

from simulator.graph.answers import answer, read_up_to
from simulator.messages.media import LARGEST, URL_LIFE_S, limit_of
from simulator.messages.uploads import Upload
from simulator.refusals import Refused, unknown_object
from simulator.world.world import World

_LONGEST_FIELD = 200


class MediaCalls:
    """Media belong to a number; an address of one is good for five minutes, with the token."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self._world = world
        self._clock = clock
        self._url_key = token_hex(16).encode()

    async def upload(self, request: web.Request) -> web.StreamResponse:
        number = self._world.number(request.match_info["phone_number_id"])
        if not request.content_type.startswith("multipart/"):
            raise Refused(100, "A multipart/form-data body is required.")
        product = mime_type = file_type = ""
        data = None
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise Refused(100, "Nested multipart bodies are not accepted.")
            if part.name == "file":
                file_type = part.headers.get("Content-Type", "")
                data = await read_up_to(part, LARGEST)
            elif part.name == "type":
                mime_type = (await read_up_to(part, _LONGEST_FIELD)).decode(errors="replace")
            elif part.name == "messaging_product":
                product = (await read_up_to(part, _LONGEST_FIELD)).decode(errors="replace")
        if product != "whatsapp":
            raise Refused(100, message="(#100) The parameter messaging_product is required.")
        if data is None:
            raise Refused(100, message="(#100) The parameter file is required.")
        limit_of(mime_type or file_type)
        media = self._world.media.put(
            self._world.ids.number(),
            number.phone_number_id,
            mime_type or file_type,
            data,
            self._clock(),
        )
        return answer({"id": media.media_id})

    def get(self, media_id: str, request: web.Request) -> web.Response | None:
        """What is known of it; None if there is no such media."""
        media = self._world.media.get(media_id, self._clock())
        if media is None:
            return None
        of_number = request.query.get("phone_number_id", media.phone_number_id)
        if of_number != media.phone_number_id:
            raise unknown_object("GET", media_id)
        expires = str(int(self._clock() + URL_LIFE_S))
        url = request.url.origin().with_path("/whatsapp_business/attachments/")
        url = url.with_query(mid=media_id, ext=expires, hash=self._sign(media_id, expires))
        return answer(
            {
                "url": str(url),
                "mime_type": media.mime_type,
                "sha256": media.sha256,
                "file_size": str(len(media.data)),
                "id": media.media_id,
                "messaging_product": "whatsapp",
            }
        )

    async def download(self, request: web.Request) -> web.StreamResponse:
        media_id, expires = request.query.get("mid", ""), request.query.get("ext", "")
        media = self._world.media.get(media_id, self._clock())
        signed = hmac.compare_digest(
            request.query.get("hash", "").encode(), self._sign(media_id, expires).encode()
        )
        if media is None or not signed or int(expires) < self._clock():
            return web.Response(status=404)
        return web.Response(body=media.data, headers={"Content-Type": media.mime_type})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        media_id = request.match_info["id"]
        if not self._world.media.remove(media_id):
            raise unknown_object("DELETE", media_id)
        return answer({"success": True})

    def _sign(self, media_id: str, expires: str) -> str:
        return hmac.new(self._url_key, f"{media_id}/{expires}".encode(), "sha256").hexdigest()

    # --- samples ------------------------------------------------------------------------------

    async def begin_upload(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if not query.get("file_length", "").isdigit():
            raise Refused(100, message="(#100) The parameter file_length is required.")
        upload = self._world.uploads.begin(
            self._world.ids.number(), query.get("file_type", ""), int(query["file_length"])
        )
        return answer({"id": upload.upload_id})

    async def write_upload(self, request: web.Request) -> web.StreamResponse:
        upload = self._upload(request)
        offset = request.headers.get("file_offset", "")
        if not offset.isdigit():
            raise Refused(100, message="(#100) The header file_offset is required.")
        handle = self._world.uploads.write(upload, int(offset), await request.read())
        return answer({"h": handle} if handle else _progress(upload))

    async def get_upload(self, request: web.Request) -> web.StreamResponse:
        return answer(_progress(self._upload(request)))

    def _upload(self, request: web.Request) -> Upload:
        upload_id = request.match_info["upload_id"]
        upload = self._world.uploads.get(upload_id)
        if upload is None:
            raise unknown_object(request.method, upload_id)
        return upload


def _progress(upload: Upload) -> dict[str, object]:
    return {"id": upload.upload_id, "file_offset": len(upload.data)}
