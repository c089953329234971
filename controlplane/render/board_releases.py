"""Releases on the board: what was brought where, and whether it was proven."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.board import BoardRelease
from controlplane.render.board_words import alarm, nothing, section, table, when
from controlplane.render.html import Child, Html, el


def releases_section(releases: Sequence[BoardRelease], doubt: Sequence[str] = ()) -> Html:
    """Return each stack in each of its environments; `doubt` says why not all of them are known."""
    unread = alarm("Not all that is to be said of releases can be read", doubt) if doubt else None
    if not releases:
        return section("releases", "Releases", unread or nothing("No releases: this site has no releases/ folder."))
    rows = [_row(one) for one in releases]
    told = table("What was brought where, by the receipts", ["Stack", "Environment", "Hosts", "Manifest", "Since", "Proven"], rows, name="releases")
    return section("releases", "Releases", unread, told, el("p", "Whether it still runs: 'controlplane release status'.", class_="dim"))


def _row(one: BoardRelease) -> list[Child]:
    hosts: Child = [[el("code", host), " "] for host in one.hosts]
    if one.manifest is None:
        return [one.stack, one.environment, hosts, f"? {one.doubt}" if one.doubt else "nothing", "–", "–"]
    proven: Child = ["✓ ", el("code", one.proof)] if one.proven else ["✗ ", el("code", one.proof)] if one.proof else "? no smoke run since"
    return [one.stack, one.environment, hosts, one.manifest, when(one.since) if one.since else "–", proven]
