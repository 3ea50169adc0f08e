"""Fonts of pictures and PDFs."""

from pathlib import Path

import pytest

from chassis import fonts

_NAMES = sorted(path.stem for path in Path(fonts.__file__).parent.glob("*.ttf"))


@pytest.mark.parametrize("name", _NAMES)
def test_a_font_lies_where_it_is_said_and_its_letters_are_known(name) -> None:
    assert fonts.font_file(name).read_bytes()[:4] in (b"\x00\x01\x00\x00", b"OTTO")
    assert len(fonts.covered(name)) > 1_000


def test_letters_of_turkish_are_there_and_those_of_pictures_are_not() -> None:
    roboto = fonts.covered("Roboto-Regular")
    assert all(ord(letter) in roboto for letter in "çÇğĞıIiİöÖşŞüÜ₺")
    assert ord("🎉") not in roboto
    assert ord("🎉") in fonts.covered("Emoji")
