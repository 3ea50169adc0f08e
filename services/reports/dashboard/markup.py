"""HTML without a template engine: elements as functions. Whatever is not `Safe` is escaped."""

from html import escape


class Safe(str):
    """Markup made here; anything else is text."""

    __slots__ = ()


Child = object
"""Text, a number, `Safe` markup; None and the empty string are nothing."""

_VOID = frozenset({"input", "link", "meta", "br"})


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
        return Safe(f"<{name}{written}>")
    return Safe(f"<{name}{written}>{''.join(map(text, children))}</{name}>")


def join(*children: Child) -> Safe:
    """Several things in a row."""
    return Safe("".join(map(text, children)))


def table(
    caption: str,
    heads: list[Child],
    rows: list[list[Child]],
    numbers: int = 1,
    sorts: list[str] | None = None,
) -> Safe:
    """A table whose rows are named by their first cell; columns from `numbers` on are figures.

    It scrolls within itself where the screen is narrow. `sorts`: by column `ascending`,
    `descending` or nothing.
    """
    head = tag(
        "tr",
        *(
            tag(
                "th",
                h,
                scope="col",
                class_="n" if i >= numbers else None,
                aria_sort=(sorts[i] or None) if sorts else None,
            )
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


def _attribute(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
