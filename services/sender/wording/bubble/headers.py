"""What stands above the text: pictures, films, documents, places and products."""

import io
import warnings
from collections.abc import Mapping
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from services.sender.wording.bubble.canvas import Canvas
from services.sender.wording.bubble.setting import fitted, plain
from services.sender.wording.bubble.typefaces import SCALE, Style
from services.sender.wording.showing import Header

_RADIUS: Final = 6.0
_WIDE: Final = 1.91  # Meta's ratio of pictures above texts
_LARGEST_PIXELS: Final = 40_000_000
_DECODED_PIXELS: Final = 16_000_000
_NAME: Final = Style(14, medium=True)
_DETAIL: Final = Style(12)
_LINE: Final = 18.0
_PANEL: Final = 56.0
_MAP: Final = 118.0


def height_of(header: Header, width: float, pictures: Mapping[str, bytes]) -> float:
    """Points; 0 of a heading, which is type."""
    match header.kind:
        case "image" | "video" | "gif":
            picture = _opened(header, pictures)
            ratio = picture.width / picture.height if picture else _WIDE
            return round(width / min(max(ratio, 1.0), _WIDE))
        case "document":
            return _PANEL
        case "location":
            return _MAP + (13 + _LINE * (1 + bool(header.detail)) if header.text else 0)
        case "product":
            return round(width * 0.62) + _PANEL
        case _:
            return 0.0


def paint_header(
    canvas: Canvas,
    header: Header,
    x: float,
    y: float,
    width: float,
    pictures: Mapping[str, bytes],
) -> None:
    """Paint it; `height_of` says how much room it takes."""
    height = height_of(header, width, pictures)
    match header.kind:
        case "image" | "video" | "gif":
            picture = _opened(header, pictures)
            if picture is not None:
                size = (round(width * SCALE), round(height * SCALE))
                canvas.picture(ImageOps.fit(picture, size), x, y, _RADIUS)
            else:
                _placeholder(canvas, x, y, width, height, header.kind)
            if header.kind != "image":
                _player(canvas, x + width / 2, y + height / 2, header.kind)
        case "document":
            _document(canvas, header, x, y, width)
        case "location":
            _location(canvas, header, x, y, width, height)
        case "product":
            canvas.rectangle((x, y, width, height), _RADIUS, canvas.theme.panel)
            top = height - _PANEL
            canvas.sign("bag", x + width / 2 - 22, y + top / 2 - 20, 44, canvas.theme.grey)
            line = fitted(header.text, _NAME, (width - 20) * SCALE)
            canvas.line(line, x + 10, y + top + _PANEL / 2 + 5, canvas.theme.text)


def _opened(header: Header, pictures: Mapping[str, bytes]) -> Image.Image | None:
    data = pictures.get(header.source)
    if header.kind != "image" or not data:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        if picture.width * picture.height > _LARGEST_PIXELS:
            return None
        picture.draft("RGB", (1_200, 1_200))  # a JPEG is read as small as it will be shown
        if picture.width * picture.height > _DECODED_PIXELS:
            return None
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None


def _placeholder(
    canvas: Canvas, x: float, y: float, width: float, height: float, kind: str
) -> None:
    canvas.rectangle((x, y, width, height), _RADIUS, canvas.theme.panel)
    if kind == "image":
        size = 40.0
        at = (x + (width - size) / 2, y + (height - size) / 2)
        canvas.sign("picture", *at, size, canvas.theme.grey)


def _player(canvas: Canvas, x: float, y: float, kind: str) -> None:
    canvas.rectangle((x - 24, y - 24, 48, 48), 24, "#3b4a54")
    if kind == "gif":
        line = plain("GIF", Style(14, bold=True))
        canvas.line(line, x - line.width / SCALE / 2, y + 5, "#ffffff")
    else:
        canvas.sign("play", x - 11, y - 12, 24, "#ffffff")


def _document(canvas: Canvas, header: Header, x: float, y: float, width: float) -> None:
    theme = canvas.theme
    canvas.rectangle((x, y, width, _PANEL), _RADIUS, theme.panel)
    canvas.sign("document", x + 10, y + 12, 32, "#e2574c")
    name = header.text or header.source.rpartition("/")[2] or "…"
    kind = name.rpartition(".")[2].upper() if "." in name else "PDF"
    line = fitted(name, _NAME, (width - 62) * SCALE)
    canvas.line(line, x + 52, y + 25, theme.text)
    canvas.line(fitted(kind, _DETAIL, (width - 62) * SCALE), x + 52, y + 43, theme.grey)


def _location(
    canvas: Canvas, header: Header, x: float, y: float, width: float, height: float
) -> None:
    theme = canvas.theme
    dark = theme.bubble != "#ffffff"
    land, road, water = (
        ("#2b3a33", "#3f5148", "#1f3a4d") if dark else ("#e3efd9", "#ffffff", "#b7dcf2")
    )
    canvas.rectangle((x, y, width, height), _RADIUS, theme.panel)
    below = not header.text
    canvas.rectangle((x, y, width, _MAP), _RADIUS, land, (True, True, below, below))
    right, low = x + width, y + _MAP
    lake = [(right - 90, y + 9), (right - 16, y + 7), (right - 12, y + 36), (right - 58, y + 40)]
    canvas.shape(lake, water)
    for (x0, y0), (x1, y1), thick in (
        ((x, y + 78), (right, y + 48), 7),
        ((x + 70, y), (x + 110, low), 7),
        ((x, y + 30), (x + 84, y + 44), 4),
        ((x + 104, y + 92), (right, y + 104), 4),
        ((right - 74, y + 54), (right - 84, low), 4),
    ):
        right_of, under = (0, thick) if abs(x1 - x0) > abs(y1 - y0) else (thick, 0)
        beside = [(x1 + right_of, y1 + under), (x0 + right_of, y0 + under)]
        canvas.shape([(x0, y0), (x1, y1), *beside], road)
    canvas.sign("pin", x + width / 2 - 17, y + _MAP / 2 - 32, 34, "#e2574c")
    line = y + _MAP + 6 + 14
    if header.text:
        canvas.line(fitted(header.text, _NAME, (width - 20) * SCALE), x + 10, line, theme.text)
    if header.detail:
        detail = fitted(header.detail, _DETAIL, (width - 20) * SCALE)
        canvas.line(detail, x + 10, line + _LINE, theme.grey)
