"""Rules of accessible pages (WCAG 2.2) that can be seen in their markup."""

import re
from html.parser import HTMLParser
from itertools import pairwise

_VOID = {"input", "link", "meta", "br"}
_FIELDS = {"input", "select", "textarea"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.all: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[int, str] = {}
        self._places: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)
            self._places.append(len(self.all) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
        self.open.pop()
        self._places.pop()

    def handle_data(self, data: str) -> None:
        for place in self._places:
            self.texts[place] = self.texts.get(place, "") + data


def audit(shown: str, path: str) -> None:
    """Fail on the first rule that a page breaks."""
    page = _Reader()
    page.feed(shown)
    assert not page.open, (path, page.open)
    names = [name for name, _ in page.all]
    ids = [told["id"] for _, told in page.all if "id" in told]
    labels = {told["for"] for name, told in page.all if name == "label" and "for" in told}
    assert len(ids) == len(set(ids)), (path, "ids repeat")
    for landmark in ("header", "main", "nav", "h1", "title"):
        assert landmark in names, (path, landmark)
    assert names.count("main") == names.count("h1") == 1, path
    assert re.search(r'<html lang="(en|tr)"', shown), path
    assert 'href="#main"' in shown, path
    assert 'name="viewport"' in shown, path
    assert "maximum-scale" not in shown, path
    assert 'aria-current="page"' in shown, path
    levels = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
    assert all(later - sooner <= 1 for sooner, later in pairwise(levels)), path
    for place, (name, told) in enumerate(page.all):
        said = page.texts.get(place, "").strip() or told.get("aria-label", "")
        if name in ("a", "button", "th", "caption", "label", "summary", "option", "h1", "h2"):
            assert said, (path, name, told)
        if name in _FIELDS and told.get("type") != "hidden":
            assert told.get("id") in labels or told.get("aria-label"), (path, told)
        if name == "svg":
            assert "aria-hidden" in told or (
                told.get("role") == "img" and told.get("aria-labelledby") in ids
            ), (path, told)
        if name == "th":
            assert told.get("scope") in ("col", "row"), (path, told)
        if name == "nav":
            assert told.get("aria-label"), path
        for reference in ("aria-labelledby", "aria-describedby", "for"):
            assert told.get(reference, "") in {*ids, ""}, (path, reference, told)
        assert int(told.get("tabindex", "0")) <= 0, (path, told)
    assert names.count("table") == names.count("caption"), path
