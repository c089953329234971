"""The board as one page of HTML: no script, nothing loaded from anywhere, the same bytes for the same board.

The style is allowed by its digest and everything else is refused by the page itself, so that even markup that slipped in could neither run, load,
send nor restyle. Built by `render.html`, whose docstring says why not by templates.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

from controlplane import __version__
from controlplane.domain.board import Board
from controlplane.domain.finding import Finding, Verdict
from controlplane.render.board_findings import findings_section, shapes_legend, trends_section
from controlplane.render.board_hosts import hosts_section, is_fine
from controlplane.render.board_releases import releases_section
from controlplane.render.board_style import STYLE
from controlplane.render.board_trail import governance_section, receipts_section, waves_section
from controlplane.render.board_words import ORDER, SHAPES, many, when
from controlplane.render.html import Html, el

_PARTS = (
    ("hosts", "Hosts"),
    ("findings", "Findings"),
    ("trends", "Over time"),
    ("receipts", "Receipts"),
    ("waves", "Waves"),
    ("releases", "Releases"),
    ("governance", "Promotion"),
)


def board_page(board: Board) -> bytes:
    """Return the page, UTF-8."""
    of_host: dict[str, list[Finding]] = {host.host: [] for host in board.hosts}
    for finding in board.report.findings:
        of_host.setdefault(finding.host, []).append(finding)
    fine = frozenset(host.host for host in board.hosts if is_fine(host, of_host[host.host]))
    main = el(
        "main",
        hosts_section(board, of_host),
        findings_section(board, of_host, fine),
        trends_section(board.governance.trends),
        receipts_section(board.trail),
        waves_section(board.governance.waves, board.governance.doubts.waves),
        releases_section(board.governance.releases, board.governance.doubts.releases),
        governance_section(board.governance),
    )
    body = el(
        "body",
        _header(board, of_host),
        main,
        el("footer", el("p", f"Made by controlplane {__version__}. It shows one moment: judge again with 'controlplane audit'.")),
    )
    return f"<!DOCTYPE html>\n{el('html', _head(board), body, lang='en')}\n".encode()


def content_security_policy() -> str:
    """Return what the page may do: look as its own style says, nothing else."""
    return f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; base-uri 'none'; form-action 'none'"


def _head(board: Board) -> Html:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=content_security_policy()),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{board.report.site or 'site'}: storage placement"),
        # Ours, and without a character that could end it: escaped, its digest would not fit.
        el("style", Html(STYLE)),
    )


def _header(board: Board, of_host: Mapping[str, Sequence[Finding]]) -> Html:
    report = board.report
    counts = report.summary.model_dump()
    tiles = [
        el("li", el("b", counts[one.value.lower()]), el("span", el("i", SHAPES[one], aria_hidden="true"), f" {one.value}"), class_=one.value.lower())
        for one in ORDER
    ]
    made = [el("dt", "Made"), el("dd", when(report.judged_at)), el("dt", "Policy"), el("dd", el("code", report.policy_digest or "none"))]
    return el(
        "header",
        el("p", "Storage placement", class_="dim"),
        el("h1", report.site or "site"),
        el("p", _in_one_line(board, of_host), class_="lead"),
        el("ul", tiles, class_="tiles", aria_label="Findings by verdict"),
        el("dl", made),
        shapes_legend(),
        el("nav", [[el("a", title, href=f"#{name}"), " "] for name, title in _PARTS], aria_label="On this page"),
        class_="top",
    )


def _in_one_line(board: Board, of_host: Mapping[str, Sequence[Finding]]) -> str:
    if not board.hosts:
        return "This site governs no host."
    without = sum(1 for host in board.hosts if host.doubt is not None)
    by_verdict = {v: sum(1 for host in board.hosts if any(f.verdict is v for f in of_host[host.host])) for v in (Verdict.DRIFTED, Verdict.UNKNOWN)}
    parts = [many(len(board.hosts), "host")]
    parts += [f"{by_verdict[Verdict.DRIFTED]} with drift"] if by_verdict[Verdict.DRIFTED] else []
    parts += [f"{without} without evidence that counts"] if without else []
    partly = by_verdict[Verdict.UNKNOWN] - without
    parts += [f"{partly} partly unknown"] if partly > 0 else []
    parts += ["nothing drifts and nothing is unknown"] if len(parts) == 1 else []
    parts += [f"{many(len(board.trail.open_runs), 'open run')}"] if board.trail.open_runs else []
    parts += ["the chain of receipts does not hold"] if board.trail.faults or board.trail.unreadable else []
    doubts = board.governance.doubts
    parts += ["not all of the site's files can be read"] if doubts.waves or doubts.links or doubts.releases else []
    return ", ".join(parts) + "."
