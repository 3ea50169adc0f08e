"""HTML without a template engine: elements as functions. Whatever is not `Safe` is escaped."""

from html import escape


class Safe(str):
    """Markup made here; anything else is text."""

    __slots__ = ()


Child = object
"""Text, a number, `Safe` markup; None and the empty string are nothing."""

_VOID = frozenset({"input", "link", "meta", "rect", "br"})


def text(value: Child) -> Safe:
    """`value` so that it means itself in markup."""
    if isinstance(value, Safe):
        return value
    return Safe("" if value is None else escape(str(value), quote=True))


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Safe:
    """An element. Attribute names end in `_` where Python has the word, `_` inside is `-`.

    True is an attribute without value; False and None are no attribute.
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Safe(f"<{name}{written}>" if name != "rect" else f"<{name}{written}/>")
    return Safe(f"<{name}{written}>{''.join(map(text, children))}</{name}>")


def join(*children: Child) -> Safe:
    """Several things in a row."""
    return Safe("".join(map(text, children)))


def table(caption: str, heads: list[str], rows: list[list[Child]], numbers: int = 1) -> Safe:
    """A table whose rows are named by their first cell; columns from `numbers` on are figures.

    It scrolls within itself where the screen is narrow.
    """
    head = tag(
        "tr",
        *(
            tag("th", h, scope="col", class_="n" if i >= numbers else None)
            for i, h in enumerate(heads)
        ),
    )
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(
                tag("td", cell, class_="n" if i >= numbers else None)
                for i, cell in enumerate(row[1:], start=1)
            ),
        )
        for row in rows
    ]
    inner = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", inner, class_="scroll", role="region", aria_label=caption, tabindex=0)


def bar(share: float) -> Safe:
    """A bar of `share` (0 to 1) of the width. For the eye alone: the number stands beside it."""
    width = round(max(0.0, min(share, 1.0)) * 100, 2)
    return tag(
        "svg",
        tag("rect", class_="track", width=100, height=10),
        tag("rect", class_="fill", width=width, height=10),
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def columns(values: list[int], label: str) -> Safe:
    """A small column chart; `label` says in words what it shows."""
    highest = max([*values, 1])
    rects = [
        tag(
            "rect",
            class_="fill",
            x=n * 10 + 1,
            y=round(40 - 40 * v / highest, 2),
            width=8,
            height=round(40 * v / highest, 2),
        )
        for n, v in enumerate(values)
    ]
    return tag(
        "svg",
        *(
            tag("rect", class_="track", x=n * 10 + 1, y=39, width=8, height=1)
            for n in range(len(values))
        ),
        *rects,
        class_="columns",
        viewBox=f"0 0 {max(len(values), 1) * 10} 40",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def _attribute(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
