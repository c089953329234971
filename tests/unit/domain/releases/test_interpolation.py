"""${VARIABLES} are replaced as Compose replaces them, and only by what the contract says."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.releases.interpolation import Reference, UnresolvedError, references, resolved

KNOWN = {"DIR": "/mnt/data", "TAG": "v1", "SECRET": None, "X_1": "x"}


@pytest.mark.parametrize(
    ("text", "value", "by"),
    [
        ("plain", "plain", set()),
        ("$DIR/a", "/mnt/data/a", {"DIR"}),
        ("${DIR}/a", "/mnt/data/a", {"DIR"}),
        ("${DIR}${TAG}", "/mnt/datav1", {"DIR", "TAG"}),
        ("${DIR:-/srv}", "/mnt/data", {"DIR"}),
        ("${DIR-/srv}", "/mnt/data", {"DIR"}),
        ("${DIR:?no dir}", "/mnt/data", {"DIR"}),
        ("${NONE:-/srv}", "/srv", set()),
        ("${NONE-}", "", set()),
        ("${NONE:-${DIR}/x}", "/mnt/data/x", {"DIR"}),
        ("${NONE:-${NEITHER:-y}}z", "yz", set()),
        ("${DIR:+set}", "set", {"DIR"}),
        ("${NONE:+set}", "", set()),
        ("$$DIR", "$DIR", set()),
        ("$${DIR}", "${DIR}", set()),
        ("a$5 $ b$", "a$5 $ b$", set()),
        ("$X_1Y", None, set()),
    ],
)
def test_a_text_is_what_compose_makes_of_it(text: str, value: str | None, by: set[str]) -> None:
    if value is None:
        with pytest.raises(UnresolvedError, match="needs X_1Y, which the contract does not declare"):
            resolved(text, KNOWN)
    else:
        assert resolved(text, KNOWN) == (value, by)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${SECRET}", "needs SECRET, of which the contract says no value"),
        ("${SECRET:-x}", "needs SECRET, of which the contract says no value"),
        ("${SECRET:+x}", "needs SECRET, of which the contract says no value"),
        ("${NONE}", "needs NONE, which the contract does not declare"),
        ("${NONE:?}", "needs NONE, which the contract does not declare"),
        ("${NONE:-$NEITHER}", "needs NEITHER, which the contract does not declare"),
        ("${DIR", "holds ${ without its }"),
        ("${}", "holds ${ that begins no variable"),
        ("${1}", "holds ${ that begins no variable"),
        ("${DIR!x}", "has something behind DIR that is no default"),
        ("${DIR/a/b}", "has something behind DIR that is no default"),
    ],
)
def test_what_can_not_be_told_says_why(text: str, why: str) -> None:
    with pytest.raises(UnresolvedError) as doubt:
        resolved(text, KNOWN)
    assert str(doubt.value).startswith(why)


def test_every_variable_is_seen_also_those_within_defaults() -> None:
    found = list(references("$A ${B} ${C:-${D:-$E}} ${F:?$G} $$H"))
    assert [one.name for one in found] == ["A", "B", "C", "D", "E", "F"]
    assert found[2] == Reference("C", ":-", "${D:-$E}")


def test_defaults_that_go_on_for_ever_are_not_followed() -> None:
    with pytest.raises(UnresolvedError, match="too deep"):
        list(references("${A:-" * 50 + "}" * 50))


@given(st.text(alphabet=string.printable.replace("$", "")))
def test_a_text_without_a_dollar_is_itself(text: str) -> None:
    assert resolved(text, {}) == (text, frozenset())


@given(st.text(alphabet=string.printable))
def test_a_text_whose_dollars_are_doubled_is_itself(text: str) -> None:
    assert resolved(text.replace("$", "$$"), {}) == (text, frozenset())
