"""The letters that pictures and PDFs are set in: where their fonts lie, and what is in them. Pure.

Their licences lie beside them.
"""

import struct
from functools import cache
from pathlib import Path


def font_file(name: str) -> Path:
    """The file of a font: `Roboto-Regular`, `DejaVuSans`, `Emoji`, …"""
    return Path(__file__).with_name(f"{name}.ttf")


@cache
def covered(name: str) -> frozenset[int]:
    """Code points that a font has letters for: its `cmap`, formats 4 and 12 (OpenType 1.9)."""
    data = font_file(name).read_bytes()
    tables = struct.unpack_from(">H", data, 4)[0]
    for index in range(tables):
        tag, _, offset, _ = struct.unpack_from(">4sIII", data, 12 + 16 * index)
        if tag == b"cmap":
            return frozenset(_mapped(data, offset))
    raise AssertionError(f"{name} has no cmap")


def _mapped(data: bytes, cmap: int) -> set[int]:
    found: set[int] = set()
    for index in range(struct.unpack_from(">H", data, cmap + 2)[0]):
        at = cmap + struct.unpack_from(">I", data, cmap + 8 + 8 * index)[0]
        form = struct.unpack_from(">H", data, at)[0]
        if form == 12:
            groups = struct.unpack_from(">I", data, at + 12)[0]
            for group in range(groups):
                first, last, _ = struct.unpack_from(">III", data, at + 16 + 12 * group)
                found.update(range(first, last + 1))
        elif form == 4:
            count = struct.unpack_from(">H", data, at + 6)[0] // 2
            ends = struct.unpack_from(f">{count}H", data, at + 14)
            begins = struct.unpack_from(f">{count}H", data, at + 16 + 2 * count)
            for first, last in zip(begins, ends, strict=True):
                found.update(range(first, last + 1))
    return found - {0xFFFF}
