"""The words and shapes of the board: every verdict and standing has both, so that nothing depends on colour."""

from __future__ import annotations

import re
from collections.abc import Sequence

from controlplane.domain.board import Standing
from controlplane.domain.finding import Finding, Verdict
from controlplane.render.html import Child, Html, el

_FRACTION = re.compile(r"\.\d+")
# Doubt and drift come first, wherever something is listed.
ORDER = (Verdict.DRIFTED, Verdict.UNKNOWN, Verdict.WAIVED, Verdict.MET)
SHAPES = {Verdict.MET: "✓", Verdict.DRIFTED: "✗", Verdict.WAIVED: "◇", Verdict.UNKNOWN: "?"}
STANDINGS: dict[Standing, tuple[str, str, str]] = {
    # shape, words, tone
    "right": ("✓", "where policy wants it", "met"),
    "wrong-disk": ("✗", "on the wrong disk", "drifted"),
    "wrong-path": ("✗", "right disk, wrong path", "drifted"),
    "no-policy": ("·", "the policy asks nothing of it", "plain"),
    "retired": ("◇", "retired, awaits its purge", "waived"),
    "unknown": ("?", "unknown", "unknown"),
}


def badge(verdict: Verdict, *, words: str | None = None) -> Html:
    """Return a verdict as shape and word."""
    return el("span", el("i", SHAPES[verdict], aria_hidden="true"), " ", words or verdict.value, class_=f"badge {verdict.value.lower()}")


def tally(findings: Sequence[Finding]) -> list[Child]:
    """Return a badge with the count of each verdict that there is; none at all is said in words."""
    count = {verdict: sum(1 for finding in findings if finding.verdict is verdict) for verdict in ORDER}
    return [el("span", badge(verdict, words=f"{count[verdict]} {verdict.value}"), " ") for verdict in ORDER if count[verdict]] or ["nothing judged"]


def rank(findings: Sequence[Finding]) -> int:
    """Return where the worst of the findings stands in the order; nothing judged is no better than doubt."""
    return min((ORDER.index(finding.verdict) for finding in findings), default=1)


def when(at: str) -> Html:
    """Return a UTC stamp for people, with what a program reads."""
    return el("time", _FRACTION.sub("", at).replace("T", " ").replace("Z", " UTC"), datetime=at)


def many(count: int, one: str, more: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Child]], *, name: str) -> Html:
    """Return a table in a box of its own that scrolls; the first cell of each row is its header."""
    head = el("tr", [el("th", column, scope="col") for column in columns])
    body = [el("tr", el("th", row[0], scope="row"), [el("td", cell) for cell in row[1:]]) for row in rows]
    whole = el("table", el("caption", caption), el("thead", head), el("tbody", body))
    return el("div", whole, class_=f"scroll {name}", role="region", aria_label=caption, tabindex="0")


def nothing(text: str) -> Html:
    """Return a plain statement that there is none."""
    return el("p", text, class_="none")


def alarm(title: str, lines: Sequence[str]) -> Html:
    """Return what nobody may overlook, with its lines."""
    return el("div", el("p", el("b", "✗ ", title)), el("ul", [el("li", line) for line in lines]), class_="alarm")


def section(name: str, title: str, *children: Child) -> Html:
    """Return a section with its heading."""
    return el("section", el("h2", title, id=name), *children, aria_labelledby=name)
