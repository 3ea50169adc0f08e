"""FileService."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from merhaba.sender.v1 import (
    AppendFileRequest,
    AppendFileResponse,
    CreateFileRequest,
    CreateFileResponse,
    DownloadMediaRequest,
    DownloadMediaResponse,
    FileServiceServicer,
    GetFileRequest,
    GetFileResponse,
    MediaUpload,
    UploadMediaRequest,
    UploadMediaResponse,
)
from merhaba.sender.v1 import File as FileProto
from services.sender.files import types as media_types
from services.sender.files.downloads import Downloads
from services.sender.files.library import Files
from services.sender.files.store import File, FileStore, Uploaded
from services.sender.files.uploads import Uploads
from services.sender.model import DAY_MS
from services.sender.numbers.store import NumberStore
from services.sender.wire import at, stamp

_PART: Final = 1024 * 1024
_NAME: Final = 240
_TYPE: Final = 255
_FETCHED_MS: Final = 7 * DAY_MS


class FileApi(FileServiceServicer):
    """Files in, media up to Meta and down from it."""

    def __init__(
        self,
        files: Files,
        store: FileStore,
        numbers: NumberStore,
        uploads: Uploads,
        downloads: Downloads,
    ) -> None:
        self._files = files
        self._store = store
        self._numbers = numbers
        self._uploads = uploads
        self._downloads = downloads

    async def CreateFile(
        self, request: CreateFileRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> CreateFileResponse:
        """Begin a file."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        wanted = request.file
        for field, most in (("name", _NAME), ("mime_type", _TYPE)):
            if len(getattr(wanted, field)) > most:
                raise FieldInvalid(f"file.{field}", f"at most {most} characters", limit=str(most))
        expire_time = at(wanted, "expire_time")
        if expire_time and expire_time <= self._files.now():
            raise FieldInvalid("file.expire_time", "is over; name a later time, or none")
        file = await self._files.begin(
            derived_id("file", "request", request.request_id),
            wanted.name,
            wanted.mime_type,
            expire_time,
        )
        return CreateFileResponse(file=self._proto(file))

    async def AppendFile(
        self, request: AppendFileRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AppendFileResponse:
        """Add bytes at the end."""
        if len(request.data) > _PART:
            raise FieldInvalid("data", f"at most {_PART} bytes a call", limit=str(_PART))
        if request.offset < 0:
            raise FieldInvalid("offset", "negative; begin at 0")
        file = await self._files.append(
            request.file_id,
            request.offset,
            request.data,
            last=request.last,
            sha256=request.sha256,
        )
        return AppendFileResponse(file=self._proto(file))

    async def GetFile(
        self, request: GetFileRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetFileResponse:
        """Describe a file, and where it stands at Meta."""
        file = await self._files.get(request.file_id)
        uploads = await self._store.uploads(file, self._files.now()) if file.ready else []
        return GetFileResponse(file=self._proto(file), uploads=[_upload(one) for one in uploads])

    async def UploadMedia(
        self, request: UploadMediaRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> UploadMediaResponse:
        """Put a file on Meta for one number."""
        number = await self._numbers.number(request.phone_number_id)
        match request.WhichOneof("source"):
            case "file_id":
                file = await self._files.ready(request.file_id)
            case "url":
                now = self._files.now()
                file = await self._files.fetch(
                    "url",
                    request.url,
                    # What is behind it may change: not the file of an earlier day
                    derived_id("file", "url", request.url, str(now // DAY_MS)),
                    media_types.LARGEST,
                    now + _FETCHED_MS,
                    _check,
                )
            case _:
                raise FieldInvalid("file_id", "missing; give it, or a url")
        _check(file)
        placed = await self._uploads.place(
            number.phone_number_id, number.credential_name, file.file_id
        )
        return UploadMediaResponse(upload=_upload(placed.upload), file=self._proto(file))

    async def DownloadMedia(
        self, request: DownloadMediaRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[DownloadMediaResponse]:
        """Stream a person's attachment from Meta."""
        number = await self._numbers.number(request.phone_number_id)
        if request.cursor and not request.cursor.isdigit():
            raise FieldInvalid("cursor", "not one of this stream; begin without one")
        begin = int(request.cursor or 0)
        async for part in self._downloads.download(request.media_id, number, begin):
            yield DownloadMediaResponse(
                cursor=str(part.end),
                data=part.data,
                mime_type=part.mime_type,
                total_bytes=part.total_bytes,
            )

    def _proto(self, file: File) -> FileProto:
        return FileProto(
            file_id=file.file_id,
            name=file.name,
            mime_type=file.mime_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            state=FileProto.STATE_READY if file.ready else FileProto.STATE_UPLOADING,
            create_time=stamp(file.create_time),
            expire_time=stamp(file.expire_time),
        )


def _check(file: File) -> None:
    media_types.check_any(file.mime_type, file.size_bytes, animated=file.animated)


def _upload(upload: Uploaded) -> MediaUpload:
    return MediaUpload(
        phone_number_id=upload.phone_number_id,
        media_id=upload.media_id,
        expire_time=stamp(upload.expire_time),
    )
