"""Findings as a matrix and as a list with reasons; what doubts or drifts comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controlplane.domain.board import Board, BoardTrend
from controlplane.domain.checks import CHECKS
from controlplane.domain.finding import Finding, Verdict
from controlplane.render.board_words import ORDER, SHAPES, badge, many, nothing, section, table, when
from controlplane.render.html import Child, Html, el

# Up to here a host has a column and each check its title; beyond, hosts become the rows.
_FEW = 6
# More columns would not fit on paper; further checks get a table of their own.
_COLUMNS = 12
_WEIGHT = {"high": 0, "medium": 1, "low": 2}
# Height of a run's bar of 12: drift and doubt stand out by shape.
_HEIGHTS = {Verdict.MET: 4, Verdict.WAIVED: 7, Verdict.DRIFTED: 12, Verdict.UNKNOWN: 12}

Cell = tuple[str, str]


def findings_section(board: Board, of_host: Mapping[str, Sequence[Finding]], fine: frozenset[str]) -> Html:
    """Return matrix and list; hosts in `fine` are named under the matrix instead of having a row each."""
    findings = board.report.findings
    if not findings:
        return section("findings", "Findings", nothing("No findings: nothing was judged."))
    groups = _groups(findings)
    anchors: dict[Cell, str] = {}
    for number, group in enumerate(groups, start=1):
        for finding in group:
            anchors.setdefault((finding.check, finding.host), f"f{number}")
    met = [finding for finding in findings if finding.verdict is Verdict.MET]
    folded = el("details", el("summary", many(len(met), "finding"), " MET"), _met(met), class_="rest") if met else None
    listed = el("ol", [_group(group, f"f{number}") for number, group in enumerate(groups, start=1)], class_="findings") if groups else None
    return section(
        "findings",
        "Findings by check and host",
        _matrix(of_host, anchors, fine),
        el("h3", "Reasons"),
        listed or nothing("Nothing drifts, and nothing is unknown or waived."),
        folded,
    )


def _matrix(of_host: Mapping[str, Sequence[Finding]], anchors: Mapping[Cell, str], fine: frozenset[str]) -> Html:
    cells: dict[Cell, list[Finding]] = {}
    for findings in of_host.values():
        for finding in findings:
            cells.setdefault((finding.check, finding.host), []).append(finding)
    checks = list(dict.fromkeys(check for check, _ in cells))
    few = len(of_host) <= _FEW
    hosts = [host for host in of_host if few or host not in fine]
    rest = [host for host in of_host if host not in hosts]
    named = (
        el("details", el("summary", many(len(rest), "more host"), ": every check is MET"), el("p", _listed(rest)), class_="rest") if rest else None
    )
    if few:
        rows: list[list[Child]] = [
            [_check(check), *(_cell(cells.get((check, host)), anchors.get((check, host))) for host in hosts)] for check in checks
        ]
        return el("div", table("Verdict of each check on each host", ["Check", *hosts], rows, name="matrix"), named)
    parts = [checks[at : at + _COLUMNS] for at in range(0, len(checks), _COLUMNS)]
    legend = el("p", [[el("b", check), f" {_title(check)}. "] for check in checks], class_="dim legend")
    return el("div", [_part(cells, anchors, hosts, part) for part in parts] if hosts else None, legend, named)


def _part(cells: Mapping[Cell, Sequence[Finding]], anchors: Mapping[Cell, str], hosts: Sequence[str], checks: Sequence[str]) -> Html:
    rows: list[list[Child]] = [
        [el("code", host), *(_cell(cells.get((check, host)), anchors.get((check, host))) for check in checks)] for host in hosts
    ]
    return table(f"Verdict of each host on {checks[0]} to {checks[-1]}", ["Host", *checks], rows, name="matrix wide")


def _listed(hosts: Sequence[str]) -> Iterable[Child]:
    return [[el("code", host), " "] for host in hosts]


def _check(check: str) -> Html:
    return el("span", el("b", check), " ", el("span", _title(check), class_="dim"))


def _title(check: str) -> str:
    return CHECKS[check].title if check in CHECKS else "the site's own"


def _cell(findings: Sequence[Finding] | None, anchor: str | None) -> Child:
    if not findings:
        return el("span", "– not asked", class_="dim")
    count = {verdict: sum(1 for finding in findings if finding.verdict is verdict) for verdict in ORDER}
    told = [verdict for verdict in ORDER if count[verdict] and (verdict is not Verdict.MET or len(findings) == count[verdict])]
    badges = [
        [badge(verdict, words=f"{count[verdict]} {verdict.value}" if count[verdict] > 1 and verdict is not Verdict.MET else None), " "]
        for verdict in told
    ]
    return el("a", badges, href=f"#{anchor}") if anchor else badges


def _groups(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return what isn't MET, worst first; a host's doubts of one reason are one entry."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for number, finding in enumerate(findings):
        if finding.verdict is Verdict.MET:
            continue
        one: object = finding.reason if finding.verdict is Verdict.UNKNOWN else number
        groups.setdefault((ORDER.index(finding.verdict), _WEIGHT[finding.severity] if one == number else 0, finding.host, one), []).append(finding)
    return [groups[key] for key in sorted(groups, key=lambda key: key[:3])]


def _group(group: Sequence[Finding], anchor: str) -> Html:
    first = group[0]
    checks = ", ".join(dict.fromkeys(finding.check for finding in group))
    many_of_them = len(group) > 1
    surfaces = f"{many(len(group), 'surface')} of {many(checks.count(',') + 1, 'check')}" if many_of_them else first.surface
    marks = [] if many_of_them else [el("span", f"{first.severity}, {'enforced' if first.mode == 'enforce' else 'reported'}", class_="dim")]
    marks += [el("span", ", ".join(first.stor), class_="dim")] if first.stor else []
    head = el("p", badge(first.verdict), " ", el("b", checks if not many_of_them else surfaces), " ", el("code", first.host), class_="head")
    about = el("p", el("code", surfaces if not many_of_them else checks), " ", [[mark, " "] for mark in marks], class_="about")
    return el("li", head, about, el("p", first.reason, class_="reason"), id=anchor, class_=first.verdict.value.lower())


def _met(findings: Sequence[Finding]) -> Html:
    rows: list[list[Child]] = [[finding.check, el("code", finding.host), el("code", finding.surface), finding.reason] for finding in findings]
    return table("What is MET", ["Check", "Host", "Surface", "Reason"], rows, name="met")


def trends_section(trends: Sequence[BoardTrend]) -> Html:
    """Return each check and host over earlier gate runs."""
    if not trends:
        return section("trends", "Over time", nothing("No earlier gate runs are on record for this site."))
    rows = [_trend(one) for one in sorted(trends, key=lambda one: (one.check, one.host))]
    return section(
        "trends", "Over time", table("Earlier gate runs, oldest to newest", ["Check", "Host", "Runs", "Now", "Since"], rows, name="trends")
    )


def _trend(one: BoardTrend) -> list[Child]:
    if not one.points:
        return [one.check, el("code", one.host), "none", "–", "–"]
    now, since = one.points[-1], one.points[-1]
    for point in reversed(one.points):
        if point.verdict is not now.verdict:
            break
        since = point
    return [one.check, el("code", one.host), _sparkline(one), badge(now.verdict), when(since.at)]


def _sparkline(one: BoardTrend) -> Html:
    told = ", ".join(point.verdict.value for point in one.points)
    bars = [
        el(
            "rect",
            x=8 * at + 1,
            y=13 - _HEIGHTS[point.verdict],
            width="6",
            height=_HEIGHTS[point.verdict],
            class_=f"run {point.verdict.value.lower()}",
        )
        for at, point in enumerate(one.points)
    ]
    width = 8 * len(one.points)
    return el(
        "svg",
        el("title", f"{many(len(one.points), 'run')}: {told}"),
        bars,
        class_="spark",
        viewBox=f"0 0 {width} 14",
        width=width,
        height="14",
        role="img",
    )


def shapes_legend() -> Html:
    """Say once what each shape stands for."""
    words = {
        Verdict.MET: "as the policy wants it",
        Verdict.DRIFTED: "differs from the policy",
        Verdict.WAIVED: "a drift that a person accepted until a day",
        Verdict.UNKNOWN: "could not be observed; never a pass",
    }
    return el("p", [[el("span", f"{SHAPES[one]} {one.value}", class_="nowrap"), f": {words[one]}. "] for one in ORDER], class_="dim legend")
