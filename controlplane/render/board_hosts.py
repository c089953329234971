"""Hosts as pictures of their disks: what lies on each, what is on the wrong one, and what a disk still waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.domain.amounts import show_bytes
from controlplane.domain.board import Awaited, Board, BoardDisk, BoardHost, BoardMount, Resident
from controlplane.domain.finding import Finding, Verdict
from controlplane.render.board_words import STANDINGS, badge, many, rank, section, tally, when
from controlplane.render.html import Html, el

_ORDER = {"wrong-disk": 0, "wrong-path": 1, "unknown": 2, "retired": 3, "no-policy": 4, "right": 5}
# Of a grid of 100; the bar is drawn to the width of its box.
_TICK = 0.6


def hosts_section(board: Board, of_host: Mapping[str, Sequence[Finding]]) -> Html:
    """Return a picture of each host, the worst first; a host on which all is MET is folded."""
    ordered = sorted(board.hosts, key=lambda one: (rank(of_host[one.host]), one.host))
    lead = "Each box is a disk. What lies on it now stands in it; ← marks what belongs there and lies elsewhere."
    return section("hosts", "Hosts and their disks", el("p", lead, class_="lead"), [_host(one, of_host[one.host]) for one in ordered])


def is_fine(host: BoardHost, findings: Sequence[Finding]) -> bool:
    """Say whether everything of a host is MET and nothing of its picture is in doubt or out of place."""
    met = bool(findings) and all(finding.verdict is Verdict.MET for finding in findings)
    clear = host.doubt is None and host.picture.doubt is None
    return met and clear and all(one.standing not in ("wrong-disk", "wrong-path", "unknown") for one in host.picture.residents())


def _host(host: BoardHost, findings: Sequence[Finding]) -> Html:
    tier = el("span", f"tier {host.tier}" if host.tier else "no tier", class_="dim")
    at = el("span", "as of ", when(host.collected_at), class_="dim") if host.collected_at else el("span", "no evidence", class_="dim")
    head = el("summary", el("h3", host.host), " ", el("span", tally(findings), class_="tally"), " ", tier, " ", at)
    return el("details", head, _inside(host), class_="host", open=not is_fine(host, findings))


def _inside(host: BoardHost) -> Html:
    picture = host.picture
    doubt = host.doubt or picture.doubt
    told = [el("p", badge(Verdict.UNKNOWN), " ", doubt, class_="doubt")] if doubt else []
    if doubt and picture.disks:
        told.append(el("p", "The disks below are as they were then; nothing of them is judged.", class_="lead"))
    disks = el("div", [_disk(one) for one in picture.disks], class_="disks") if picture.disks else None
    aside = [el("h4", "On no disk of this host, or nobody can tell where"), _residents(picture.elsewhere)] if picture.elsewhere else None
    return el("div", told, disks, aside, class_="inside")


def _disk(disk: BoardDisk) -> Html:
    size = show_bytes(disk.size) if disk.size is not None else "not found on this host"
    marks = [el("span", "boot disk", class_="mark") if disk.boot else None, None if disk.found else el("span", "missing", class_="mark")]
    head = el("h4", el("span", disk.name, class_="name"), " ", el("span", size, class_="size"), " ", marks)
    serial = el("p", "serial ", el("code", disk.serial), class_="dim") if disk.serial else el("p", "no serial", class_="dim")
    declared = el("p", "policy: ", disk.declared, class_="dim") if disk.declared else None
    content = el("p", disk.content, class_="none") if disk.content else None
    return el(
        "article",
        el("header", head, serial, declared),
        [_mount(one) for one in disk.mounts],
        content,
        _residents(disk.residents) if disk.residents else None,
        el("ul", [_awaited(one) for one in disk.awaited], class_="awaited") if disk.awaited else None,
        class_="disk" if disk.found else "disk absent",
    )


def _mount(mount: BoardMount) -> Html:
    through = f" through {' on '.join(mount.through)}" if mount.through else ""
    also = f", mounted at {many(mount.also, 'more place')}" if mount.also else ""
    name = el("p", el("code", mount.mount), el("span", f" {mount.fstype}{through}{also}", class_="dim"))
    if mount.used is None:
        return el("div", name, el("p", "? how full is unknown: ", mount.doubt or "not observed", class_="dim"), class_="mount")
    free = f"{show_bytes(mount.available or 0)} of {show_bytes(mount.size or 0)} free"
    limits = "".join(f" · {word} {limit}%" for word, limit in (("warn", mount.warn), ("fail", mount.fail)) if limit is not None)
    over = "over its limit, " if _is_over(mount) else ""
    inodes = f" · inodes {mount.inodes:.0f}%" if mount.inodes else ""
    line = el("p", el("strong", f"{mount.used:.0f}%"), f" used, {over}{free}{inodes}", el("span", limits, class_="dim"))
    return el("div", name, _bar(mount, mount.used), line, class_="mount")


def _is_over(mount: BoardMount) -> bool:
    limits = [limit for limit in (mount.warn, mount.fail) if limit is not None]
    return bool(limits) and max(mount.used or 0, mount.inodes or 0) >= min(limits)


def _bar(mount: BoardMount, used: float) -> Html:
    ticks = [
        el("rect", x=limit - _TICK / 2, y="0", width=_TICK, height="10", class_="tick") for limit in (mount.warn, mount.fail) if limit is not None
    ]
    title = el("title", f"{mount.mount}: {used:.0f}% used")
    track = el("rect", x="0", y="2", width="100", height="6", class_="track")
    fill = el("rect", x="0", y="2", width=f"{min(used, 100):.1f}", height="6", class_="fill over" if _is_over(mount) else "fill")
    return el("svg", title, track, fill, ticks, class_="bar", viewBox="0 0 100 10", preserveAspectRatio="none", role="img")


def _residents(residents: Sequence[Resident]) -> Html:
    return el("ul", [_resident(one) for one in sorted(residents, key=lambda one: (_ORDER[one.standing], one.what))], class_="residents")


def _resident(one: Resident) -> Html:
    shape, words, tone = STANDINGS[one.standing]
    what = el("span", el("i", shape, aria_hidden="true"), " ", el("b", one.what), " ", el("span", words, class_="words"), class_="what")
    path = el("code", one.path) if one.path else None
    at = [", ", el("code", one.belongs_at)] if one.belongs_at else None
    belongs = el("span", "→ should be on ", el("b", one.belongs_on), at, class_="belongs") if one.belongs_on else None
    return el("li", what, path, belongs, el("span", one.note, class_="dim note") if one.note else None, class_=tone)


def _awaited(one: Awaited) -> Html:
    return el("li", "← ", el("b", one.what), " belongs here, lies on ", el("b", one.now_on), " now", el("code", one.path))
