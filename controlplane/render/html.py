"""HTML from small functions: text is data and is always escaped, elements are values of a type of their own.

Rules:
- A plain `str` is text wherever it goes, also as an attribute; only what `el` made is markup. What was joined or formatted is text again.
- Characters that print nothing, such as controls, direction overrides and lone surrogates, become U+FFFD; blanks become a space.

Not a template language: a name from a host can't be taken for a template, a value can't be put where it isn't escaped, and mypy sees both.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "br", "col"})


class Html(str):
    """Markup that `el` made."""

    __slots__ = ()


Child = str | int | Iterable["Child"] | None


def shown(text: str) -> str:
    """Return text on one line without characters that don't print, as it may go on a page."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter in "\n\r\t\u00a0" else "\ufffd" for letter in text)


def el(tag: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Return one element; `class_` and `aria_label` are written `class` and `aria-label`, True is an attribute without a value, None is none."""
    said = "".join(_attribute(name, value) for name, value in attributes.items() if value is not None and value is not False)
    if tag in _VOID:
        return Html(f"<{tag}{said}>")
    return Html(f"<{tag}{said}>{''.join(_inside(children))}</{tag}>")


def joined(*children: Child) -> Html:
    """Return elements and text one after the other."""
    return Html("".join(_inside(children)))


def _attribute(name: str, value: str | float | bool) -> str:
    spelled = name.rstrip("_").replace("_", "-")
    return f" {spelled}" if value is True else f' {spelled}="{escape(shown(str(value)), quote=True)}"'


def _inside(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield escape(shown(child), quote=True)
        elif isinstance(child, int):
            yield str(child)
        elif child is not None:
            yield from _inside(child)
