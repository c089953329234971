"""The page says what the board says, to everybody, and can do nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from itertools import pairwise

import pytest

from controlplane.domain.board import Board, BoardDoubts, BoardGovernance
from controlplane.domain.desired import DesiredState
from controlplane.domain.finding import AuditReport, Summary
from controlplane.render.board_page import board_page
from controlplane.render.html import shown
from tests.fakes.board import HOSTILE, board_evidence, board_site, drawn, governance, hostile_board, on_lvm
from tests.fakes.evidence_builder import desired_mint_data
from tests.unit.render.parsing import Page, parsed


def empty() -> Board:
    report = AuditReport(
        site="none",
        policy_digest=None,
        judged_at="2026-01-02T12:00:00Z",
        summary=Summary(met=0, drifted=0, waived=0, unknown=0),
        hosts=(),
        findings=(),
    )
    whole = drawn()
    return Board(report=report, hosts=(), trail=whole.trail)


KINDS = {"full": lambda: drawn(governance=governance()), "hostile": hostile_board, "empty": empty}


def page_of(board: Board) -> Page:
    return parsed(board_page(board).decode())


def words_of(board: Board) -> str:
    return " ".join(" ".join(page_of(board).text).split())


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_well_formed_and_loads_and_runs_nothing(kind: str) -> None:
    page = page_of(KINDS[kind]())
    assert page.faults == []
    assert {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "image", "use", "a:href"} == set()
    for tag, attributes in page.tags:
        assert [
            name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset", "xlink:href", "action", "background")
        ] == [], tag
        assert (attributes.get("href") or "#").startswith("#")
    style = "".join(re.findall(r"<style>(.*?)</style>", board_page(KINDS[kind]()).decode(), re.DOTALL))
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_of_the_page_allows_its_own_style_alone(kind: str) -> None:
    text = board_page(KINDS[kind]()).decode()
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1
    digest = b64encode(sha256(style[0].encode()).digest()).decode()
    policy = next(one["content"] for one in parsed(text).all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert text.index("Content-Security-Policy") < text.index("<style>")


@pytest.mark.parametrize("kind", KINDS)
def test_headings_go_down_one_level_at_a_time_and_every_link_has_its_end(kind: str) -> None:
    page = page_of(KINDS[kind]())
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert [pair for pair in pairwise(levels) if pair[1] > pair[0] + 1] == []
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert {(one["href"] or "#")[1:] for one in page.all("a")} <= set(names)


def test_tables_have_captions_and_scopes_and_drawings_have_titles() -> None:
    page = page_of(drawn(governance=governance()))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert {one.get("scope") for one in page.all("th")} == {"row", "col"}
    drawings = [at for at, (tag, _) in enumerate(page.tags) if tag == "svg"]
    assert drawings
    assert {page.tags[at + 1][0] for at in drawings} == {"title"}
    assert {page.tags[at][1]["role"] for at in drawings} == {"img"}


def test_a_hostile_name_is_text() -> None:
    text = board_page(hostile_board()).decode()
    for raw in ("<script", "<img", "\u202e", "\x00", "\x1b"):
        assert raw not in text
    words = "".join(parsed(text).text)
    assert words.count(shown(HOSTILE)) > 15
    assert "<script>alert('1')</script>" in words


def test_the_same_board_is_the_same_page() -> None:
    assert board_page(drawn(governance=governance())) == board_page(drawn(governance=governance()))


def test_an_empty_site_says_so_in_each_section() -> None:
    words = words_of(empty())
    for told in (
        "This site governs no host.",
        "No findings: nothing was judged.",
        "No earlier gate runs are on record for this site.",
        "No run is open.",
        "No receipts yet",
        "No waves: this site has no waves/ folder.",
        "No promotion is under way",
        "No register: this site has no registers/ folder.",
    ):
        assert told in words


def test_a_part_whose_files_can_not_be_read_says_so_and_never_that_there_is_none() -> None:
    fault = "waves/W8C.yml:3: goal: is empty <b>"
    doubts = BoardDoubts(waves=(fault,), links=("registers/gaps.yml:1: is no YAML",), releases=("releases/web.yml:3: is empty",))
    words = words_of(drawn(governance=BoardGovernance(doubts=doubts)))
    for told in (
        f"✗ The files of the waves can't be read: of them only those are shown that go on {fault}",
        "✗ The registers can't be read registers/gaps.yml:1: is no YAML",
        "✗ Not all that is to be said of releases can be read releases/web.yml:3: is empty",
        ", not all of the site's files can be read.",
    ):
        assert told in words
    for untrue in ("has no waves/ folder", "has no registers/ folder", "has no releases/ folder"):
        assert untrue not in words
    whole = governance().model_copy(update={"doubts": doubts})
    assert "W8B placement" in words_of(drawn(governance=whole))


def test_what_lies_wrong_is_said_in_words_on_both_disks() -> None:
    words = words_of(drawn())
    assert "✗ Docker's root on the wrong disk /var/lib/docker → should be on vdb (serial DATA0001) , /mnt/data/docker" in words
    assert "← Docker's root belongs here, lies on vda now /mnt/data/docker" in words
    assert "✓ mint-modules-redis data where policy wants it /mnt/data/mint-data/redis" in words
    assert "◇ retired data retired, awaits its purge /opt/old-docker 34.0 GB, replaced by /mnt/data/docker" in words
    assert "✗ unlisted data on the wrong disk /srv/exports exporter, /exports: the policy names it nowhere" in words


def test_a_host_without_evidence_is_unknown_and_open_and_a_fine_one_is_folded() -> None:
    board = drawn()
    page = page_of(board)
    assert [one.get("open", "folded") for one in page.all("details") if one.get("class") == "host"] == [None, None, "folded", "folded"]
    words = words_of(board)
    assert "4 hosts, 1 with drift, 1 without evidence that counts." in words
    assert "? UNKNOWN the host was not reached: ssh: connect to host 10.0.0.9 port 22: No route to host" in words
    assert re.search(r"mint-lost \? \d+ UNKNOWN tier data-disk no evidence", words)


def test_drift_comes_before_doubt_and_doubts_of_one_reason_are_one_entry() -> None:
    page = page_of(drawn())
    listed = [one["class"] for one in page.all("li") if (one.get("id") or "").startswith("f")]
    assert listed == ["drifted"] * (len(listed) - 1) + ["unknown"]


def test_each_run_of_a_trend_has_its_shape_and_its_word() -> None:
    words = words_of(drawn(governance=governance()))
    assert "4 runs: DRIFTED, UNKNOWN, MET, MET" in words
    assert "✓ MET 2025-12-22 06:00:00 UTC" in words
    assert "2 of 3" in words
    assert "✗ no gap" in words


def test_of_many_hosts_those_that_are_met_take_a_name_each_and_no_row() -> None:
    more = [desired_mint_data(host=f"node-{number}") for number in range(9)]
    seen = board_evidence() | {one.host: on_lvm(one.host).build(one.host) for one in more}
    words = words_of(drawn(board_site(*more), seen))
    assert "11 more hosts: every check is MET" in words
    assert words.index("Verdict of each host on D234 to D245") < words.index("11 more hosts")


def test_a_site_without_hosts_of_a_tier_still_has_its_page() -> None:
    site = board_site().model_copy(update={"desired": DesiredState(hosts=(desired_mint_data(tier=None, data=None, services={}, disks=()),))})
    assert "no tier" in words_of(drawn(site))
