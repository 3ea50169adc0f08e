"""Small signs, drawn on a grid of 24 and then made small, so that their edges are smooth."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw

_GRID: Final = 24
_FINER: Final = 8


class _Pen:
    """Draws in units of the grid."""

    def __init__(self, draw: ImageDraw.ImageDraw, unit: float) -> None:
        self._draw = draw
        self._unit = unit

    def line(self, *points: tuple[float, float], width: float = 1.9) -> None:
        at = [(x * self._unit, y * self._unit) for x, y in points]
        thick = round(width * self._unit)
        self._draw.line(at, fill=255, width=thick, joint="curve")
        for x, y in (at[0], at[-1]):
            r = thick / 2
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=255)

    def shape(self, *points: tuple[float, float], fill: int = 255) -> None:
        self._draw.polygon([(x * self._unit, y * self._unit) for x, y in points], fill=fill)

    def disc(self, x: float, y: float, r: float, fill: int = 255) -> None:
        u = self._unit
        self._draw.ellipse(((x - r) * u, (y - r) * u, (x + r) * u, (y + r) * u), fill=fill)

    def arc(self, x: float, y: float, r: float, start: float, end: float) -> None:
        u, width = self._unit, round(1.9 * self._unit)
        box = ((x - r) * u, (y - r) * u, (x + r) * u, (y + r) * u)
        self._draw.arc(box, start, end, fill=255, width=width)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, r: float = 2, *, filled: bool = False
    ) -> None:
        u = self._unit
        self._draw.rounded_rectangle(
            (x0 * u, y0 * u, x1 * u, y1 * u),
            r * u,
            fill=255 if filled else None,
            outline=255,
            width=round(1.9 * u),
        )


def _reply(pen: _Pen) -> None:
    pen.shape((3, 10.5), (10, 4), (10, 17))
    pen.line((9, 10.5), (14, 10.5), (17, 11.5), (19.5, 14), (20.5, 18.5), width=3)


def _link(pen: _Pen) -> None:
    pen.line((11, 5), (5, 5), (5, 19), (19, 19), (19, 13))
    pen.line((14.5, 4), (20, 4), (20, 9.5))
    pen.line((19.5, 4.5), (11, 13))


def _phone(pen: _Pen) -> None:
    pen.line((6, 4.5), (5.5, 8), (8, 13), (11, 16), (16, 18.5), (19.5, 18), width=3)
    pen.line((5.5, 5), (8, 8.8), width=4)
    pen.line((15, 16.2), (19, 18.5), width=4)


def _copy(pen: _Pen) -> None:
    pen.box(8, 7, 19, 21)
    pen.line((15.5, 3.5), (6, 3.5), (4.5, 5), (4.5, 16.5))


def _list(pen: _Pen) -> None:
    for y in (6, 12, 18):
        pen.disc(4.5, y, 1.4)
        pen.line((9, y), (20, y))


def _flow(pen: _Pen) -> None:
    pen.box(4.5, 3.5, 19.5, 20.5)
    for y, end in ((8, 15.5), (12, 15.5), (16, 12.5)):
        pen.line((8.5, y), (end, y), width=1.6)


def _bag(pen: _Pen) -> None:
    pen.box(4.5, 8, 19.5, 21)
    pen.arc(12, 8, 4, 180, 360)


def _picture(pen: _Pen) -> None:
    pen.box(3, 4.5, 21, 19.5)
    pen.disc(8, 9.3, 1.8)
    pen.shape((4.5, 18), (9.5, 12), (13, 16), (16, 11.5), (19.8, 18))


def _play(pen: _Pen) -> None:
    pen.shape((7.5, 4.5), (7.5, 19.5), (20, 12))


def _document(pen: _Pen) -> None:
    pen.shape((5, 2), (14, 2), (19.5, 7.5), (19.5, 22), (5, 22))
    pen.shape((14, 2), (14, 7.5), (19.5, 7.5), fill=110)


def _pin(pen: _Pen) -> None:
    pen.disc(12, 9, 7)
    pen.shape((5.8, 12), (18.2, 12), (12, 22.5))
    pen.disc(12, 9, 2.7, fill=0)


def _gift(pen: _Pen) -> None:
    pen.box(4.5, 11, 19.5, 21, 1.5)
    pen.box(3, 7.5, 21, 11.5, 1)
    pen.line((12, 8), (12, 21))
    pen.arc(9.2, 5, 2.6, 60, 360)
    pen.arc(14.8, 5, 2.6, 180, 480)


_SIGNS: Final[Mapping[str, Callable[[_Pen], None]]] = {
    "reply": _reply,
    "link": _link,
    "phone": _phone,
    "copy": _copy,
    "list": _list,
    "flow": _flow,
    "bag": _bag,
    "picture": _picture,
    "play": _play,
    "document": _document,
    "pin": _pin,
    "gift": _gift,
}
OF_BUTTON: Final = {
    "QUICK_REPLY": "reply",
    "URL": "link",
    "PHONE_NUMBER": "phone",
    "VOICE_CALL": "phone",
    "COPY_CODE": "copy",
    "OTP": "copy",
    "FLOW": "flow",
    "CATALOG": "bag",
    "MPM": "list",
    "SPM": "bag",
    "ORDER_DETAILS": "flow",
    "REQUEST_CONTACT_INFO": "phone",
    "MORE": "list",
}
"""By the kind of a button."""


@lru_cache(128)
def icon(name: str, size: int) -> Image.Image:
    """A sign as a mask of `size` pixels."""
    large = Image.new("L", (size * _FINER, size * _FINER))
    _SIGNS[name](_Pen(ImageDraw.Draw(large), size * _FINER / _GRID))
    return large.resize((size, size), Image.Resampling.LANCZOS)
