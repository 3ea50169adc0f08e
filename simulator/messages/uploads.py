"""Resumable uploads of samples for template headers, in memory. Pure."""

from base64 import b64encode
from collections import OrderedDict
from dataclasses import dataclass, field

from simulator.refusals import Refused

_TYPES = ("application/pdf", "image/jpeg", "image/jpg", "image/png", "video/mp4", "image/gif")
_LARGEST = 16 * 1024 * 1024
_MOST_OPEN = 16
_MOST_HANDLES = 100_000


@dataclass(slots=True)
class Upload:
    """A file that is on its way up."""

    upload_id: str
    file_type: str
    file_length: int
    data: bytearray = field(default_factory=bytearray)


class Uploads:
    """Sessions, at most 16 open, the oldest end first; and the handles of what is complete."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Upload] = OrderedDict()
        self._handles: OrderedDict[str, None] = OrderedDict()

    def begin(self, number: str, file_type: str, file_length: int) -> Upload:
        if file_type not in _TYPES:
            raise Refused(100, f"file_type: must be one of {', '.join(_TYPES)}.")
        if not 0 < file_length <= _LARGEST:
            raise Refused(100, f"file_length: must be 1 to {_LARGEST}.")
        if len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)
        upload = Upload(f"upload:{b64encode(number.encode()).decode()}", file_type, file_length)
        self._open[upload.upload_id] = upload
        return upload

    def get(self, upload_id: str) -> Upload | None:
        return self._open.get(upload_id)

    def write(self, upload: Upload, offset: int, data: bytes) -> str | None:
        """The handle, once the file is complete."""
        if offset != len(upload.data):
            raise Refused(100, f"file_offset: must be {len(upload.data)}.")
        if offset + len(data) > upload.file_length:
            raise Refused(100, "The file is longer than file_length.")
        upload.data += data
        if len(upload.data) < upload.file_length:
            return None
        del self._open[upload.upload_id]
        handle = f"4::{b64encode(upload.upload_id.encode()).decode()}"
        if len(self._handles) >= _MOST_HANDLES:
            self._handles.popitem(last=False)
        self._handles[handle] = None
        return handle

    def has(self, handle: str) -> bool:
        """Whether a file was uploaded under this handle."""
        return handle in self._handles
