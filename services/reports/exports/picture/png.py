"""A page as a picture."""

import io
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from chassis.fonts import font_file
from services.reports.exports.picture.sheet import HEIGHT, WIDTH, Box, Sheet

_SCALE: Final = 2
"""Pixels of a point."""
_GROUND: Final = (255, 255, 255)


def png(sheet: Sheet) -> bytes:
    """The page as a file."""
    image = Image.new("RGB", (round(WIDTH * _SCALE), round(HEIGHT * _SCALE)), _GROUND)
    draw = ImageDraw.Draw(image)
    for mark in sheet.marks:
        if isinstance(mark, Box):
            left, top = mark.x * _SCALE, mark.y * _SCALE
            right, bottom = left + mark.width * _SCALE, top + mark.height * _SCALE
            if mark.width:
                draw.rectangle((left, top, right, bottom), fill=mark.colour)
            continue
        font = _font("Bold" if mark.bold else "Regular", round(mark.size * _SCALE))
        words = mark.words
        while mark.width and len(words) > 1 and font.getlength(words) > mark.width * _SCALE:
            words = f"{words.removesuffix('…')[:-1]}…"
        anchor = "rs" if mark.align == "right" else "ls"
        place = (mark.x * _SCALE, mark.y * _SCALE)
        draw.text(place, words, font=font, fill=mark.colour, anchor=anchor)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


@lru_cache(maxsize=32)
def _font(weight: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(f"Roboto-{weight}"), size)
