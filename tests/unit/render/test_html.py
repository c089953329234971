"""Text is never markup, whatever it holds and wherever it goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controlplane.render.html import el, joined, shown
from tests.unit.render.parsing import parsed


def test_text_and_attributes_are_escaped_and_elements_are_not() -> None:
    inner = el("b", "<i>")
    assert inner == "<b>&lt;i&gt;</b>"
    assert el("p", inner, " & ", None, 3, class_='a"b', open=True, hidden=False) == '<p class="a&quot;b" open><b>&lt;i&gt;</b> &amp; 3</p>'


def test_markup_that_was_joined_as_text_is_text_again() -> None:
    assert el("p", f"{el('b', 'x')}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"
    assert joined(el("b", "x"), "<") == "<b>x</b>&lt;"


def test_what_does_not_print_is_replaced() -> None:
    assert shown("a\u202eb\x00c\ud800d\u200be\nf\tg") == "a\ufffdb\ufffdc\ufffdd\ufffde f g"


@given(st.text())
def test_any_text_comes_back_from_a_parser_as_it_is_shown(text: str) -> None:
    page = parsed(el("p", text, title=text))
    assert page.faults == []
    assert "".join(page.text) == shown(text)
    assert page.tags == [("p", {"title": shown(text)})]
