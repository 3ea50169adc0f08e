"""What kinds of files Meta takes, how large they may be, and how they are told by their content.
Pure."""

from collections.abc import Mapping
from typing import Final

from services.sender.failures import MediaUnsupported

LARGEST: Final = 100 * 1024 * 1024
"""Of any file."""
HEAD: Final = 4_096
"""So many of the first bytes tell what a file is."""

_MB: Final = 1024 * 1024
_AUDIO: Final = dict.fromkeys(
    ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), 16 * _MB
)
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_ZIPPED: Final = frozenset(
    {
        f"{_OFFICE}.wordprocessingml.document",
        f"{_OFFICE}.spreadsheetml.sheet",
        f"{_OFFICE}.presentationml.presentation",
    }
)
_COMPOUND: Final = frozenset(
    {"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"}
)
_TAKEN: Final[Mapping[str, Mapping[str, int]]] = {
    "image": {"image/jpeg": 5 * _MB, "image/png": 5 * _MB},
    "video": {"video/mp4": 16 * _MB, "video/3gpp": 16 * _MB},
    "gif": {"video/mp4": 3_670_016},  # 3.5 MB
    "audio": _AUDIO,
    "sticker": {"image/webp": 500 * 1024},
    "document": dict.fromkeys({"application/pdf", "text/plain", *_ZIPPED, *_COMPOUND}, LARGEST),
}
_STILL_STICKER: Final = 100 * 1024
_MEDIA: Final = ("image/", "video/", "audio/")


def largest(kind: str) -> int:
    """How large a file of a kind may be at most."""
    return max(_TAKEN[kind].values())


def check(kind: str, mime_type: str, size_bytes: int, *, animated: bool, voice: bool) -> None:
    """Whether Meta takes a file as this kind; raises MediaUnsupported."""
    limit = _TAKEN[kind].get(mime_type, 0)
    if kind == "sticker" and not animated:
        limit = min(limit, _STILL_STICKER)
    if voice and mime_type != "audio/ogg":
        limit = 0
    if size_bytes > limit or not size_bytes:
        if limit:
            problem = f"{size_bytes} bytes; {kind} of this type has 1 to {limit}"
        else:
            known = "audio/ogg" if voice else ", ".join(sorted(_TAKEN[kind]))
            problem = f"{mime_type} cannot be sent as {'voice' if voice else kind}; use {known}"
        raise MediaUnsupported(
            problem, mime_type=mime_type, size_bytes=str(size_bytes), limit=str(limit)
        )


def check_any(mime_type: str, size_bytes: int, *, animated: bool) -> None:
    """Whether Meta takes a file at all; raises MediaUnsupported."""
    kinds = [kind for kind, taken in _TAKEN.items() if mime_type in taken and kind != "gif"]
    check(kinds[0] if kinds else "document", mime_type, size_bytes, animated=animated, voice=False)


def is_animated(head: bytes) -> bool:
    """Whether a WebP picture moves."""
    return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 0x02)


def told(claimed: str, head: bytes, size_bytes: int) -> str:
    """The type of a file by its first bytes; raises MediaUnsupported when it claims another.

    What the bytes do not tell (a table of people, say) is what it claims to be, unless that is a
    picture, film or sound: these have to show it.
    """
    claimed = claimed.partition(";")[0].strip().lower()
    claimed = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg"}.get(claimed, claimed)
    shown = _shown(head)
    if not claimed:
        return shown[0] if shown else "application/octet-stream"
    if claimed in shown:
        return claimed
    known = claimed.startswith(_MEDIA) or claimed in _TAKEN["document"]
    if shown and shown[0] != "text/plain":
        problem = f"it claims to be {claimed} and is {shown[0]}"
    elif known:
        problem = f"it claims to be {claimed} and is not"
    else:
        return claimed
    raise MediaUnsupported(
        f"{problem}; claim what it is", mime_type=claimed, size_bytes=str(size_bytes), limit="0"
    )


def _shown(head: bytes) -> tuple[str, ...]:
    """Types that begin like this, the likeliest first."""
    match head:
        case _ if head.startswith(b"\xff\xd8\xff"):
            return ("image/jpeg",)
        case _ if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return ("image/png",)
        case _ if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return ("image/webp",)
        case _ if head.startswith((b"GIF87a", b"GIF89a")):
            return ("image/gif",)
        case _ if head[4:8] == b"ftyp":
            return _of_brand(head[8:12])
        case _ if head.startswith(b"OggS"):
            return ("audio/ogg",) if b"OpusHead" in head[:128] else ("application/ogg",)
        case _ if head.startswith(b"#!AMR"):
            return ("audio/amr",)
        case _ if head.startswith((b"\xff\xf1", b"\xff\xf9", b"ADIF")):
            return ("audio/aac",)
        case _ if head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")):
            return ("audio/mpeg",)
        case _ if head.startswith(b"%PDF-"):
            return ("application/pdf",)
        case _ if head.startswith(b"PK\x03\x04"):
            return ("application/zip", *sorted(_ZIPPED))
        case _ if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
            return ("application/x-ole-storage", *sorted(_COMPOUND))
        case _:
            return ("text/plain",) if _is_text(head) else ()


def _of_brand(brand: bytes) -> tuple[str, ...]:
    """Of a file in the format of MPEG-4."""
    if brand.startswith(b"3g"):
        return ("video/3gpp",)
    if brand.startswith((b"M4A", b"M4B")):
        return ("audio/mp4",)
    return ("video/mp4", "audio/mp4")


def _is_text(head: bytes) -> bool:
    if not head or b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The last letter may be cut
        return error.start > len(head) - 4 and len(head) == HEAD
    return True
