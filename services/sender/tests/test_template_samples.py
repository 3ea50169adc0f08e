"""Files as examples of headers: uploaded to Meta when a template is submitted."""

from typing import Any
from uuid import uuid4

from merhaba.sender.v1 import (
    AppendFileRequest,
    CreateFileRequest,
    File,
    TemplateComponents,
    TemplateHeader,
)
from services.sender.failures import PlatformUnavailable
from services.sender.posting import Upload
from services.sender.templates.samples import Samples
from services.sender.tests.registry import CLOSE, body, create, created, wanted

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100_000


async def file(ready: Any, data: bytes = PNG, mime_type: str = "image/png") -> str:
    begun = CreateFileRequest(request_id=str(uuid4()), file=File(mime_type=mime_type))
    file_id: str = (await ready.file.CreateFile(begun)).file.file_id
    await ready.file.AppendFile(AppendFileRequest(file_id=file_id, data=data, last=True))
    return file_id


async def test_a_file_is_uploaded_as_the_example_of_a_header(ready: Any) -> None:
    header = TemplateHeader(format=TemplateHeader.FORMAT_IMAGE, example_file_id=await file(ready))
    parts = TemplateComponents(header=header, body=body(), footer=CLOSE)
    made = await created(ready, components=parts)
    assert made.components.header.example_handle.startswith("4::")
    film = TemplateComponents(
        header=TemplateHeader(
            format=TemplateHeader.FORMAT_VIDEO, example_file_id=header.example_file_id
        ),
        body=body(),
        footer=CLOSE,
    )
    refused = create(ready, wanted(ready, "film", components=film))
    assert await ready.refusal(refused) == ("INVALID_ARGUMENT", "MEDIA_UNSUPPORTED")


async def test_an_upload_that_breaks_off_goes_on_where_it_broke(ready: Any) -> None:
    class Breaking:
        """Meta, to which the first upload breaks off half way."""

        manage = staticmethod(ready.graph.manage)

        def __init__(self) -> None:
            self.offsets: list[int] = []

        async def append(self, session: str, offset: int, upload: Upload, *more: Any) -> str:
            self.offsets.append(offset)
            if offset:
                handle: str = await ready.graph.append(session, offset, upload, *more)
                return handle
            async with ready.http.post(
                f"{ready.graph_url}/v26.0/{session}",
                data=PNG[:1000],
                headers={"Authorization": "OAuth graph", "file_offset": "0"},
            ) as response:
                assert response.status == 200
            raise PlatformUnavailable("broken off", operation="upload")

    breaking = Breaking()
    store = ready.files._store
    samples = Samples(ready.files, store, breaking, 10)
    handle = await samples.place(await file(ready), "default")
    assert handle.startswith("4::")
    assert breaking.offsets == [0, 1000]
