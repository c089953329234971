"""The board in a browser: hostile names do nothing, nothing leaves, a phone needs no sideways scrolling, and there is something to see."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from controlplane.domain.board import Board
from controlplane.render.board_page import board_page, content_security_policy
from controlplane.render.html import shown
from tests.browser.chromium import dom_of, missing_reason, picture_of, printed, served
from tests.fakes.board import HOSTILE, board_evidence, board_site, drawn, governance, hostile_board, on_lvm
from tests.fakes.evidence_builder import desired_mint_data

_REASON = missing_reason()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]

# Runs in a copy of the page only: opens what is folded, lays out what is far below, and tells the frame around it how wide it is.
MEASURE = """<script>
const SCROLLS = ".scroll";
for (const one of document.querySelectorAll("details")) one.open = true;
const far = document.createElement("style"); far.textContent = "* { content-visibility: visible !important; }"; document.head.append(far);
const wide = document.documentElement, cut = [...document.querySelectorAll("body *")].filter(one => !one.closest(SCROLLS)
  && one.getBoundingClientRect().right > wide.clientWidth + 1).map(one => one.outerHTML.slice(0, 120));
for (const one of document.querySelectorAll(".badge"))
  if (one.offsetHeight > 2.5 * parseFloat(getComputedStyle(one).lineHeight) + 4) cut.push("split: " + one.textContent);
parent.postMessage({scroll: wide.scrollWidth, view: wide.clientWidth, cut: cut.slice(0, 5)}, "*");
</script>"""
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe src="/copy" style="width:{width}px;height:800px;border:0"></iframe>
<script>addEventListener("message", told => document.body.dataset.told = JSON.stringify(told.data));</script>"""

Measured = tuple[int, int, str]
Measure = Callable[..., Measured]


def copy_of(page: bytes, *more: str) -> bytes:
    """Return the page without its policy, with `more` at its end: what a test measures with would be refused otherwise."""
    text = page.decode().replace(f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy().replace(chr(39), "&#x27;")}">', "")
    assert "Content-Security-Policy" not in text
    return text.replace("</body>", "".join(more) + "</body>").encode()


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Return the width of a page's content and of its view at a width, and what stands out."""

    def at(board: Board, width: int, *, on_paper: bool = False) -> Measured:
        copy = copy_of(board_page(board), MEASURE)
        if on_paper:
            copy = copy.replace(b"@media print", b"@media all").replace(b'SCROLLS = ".scroll"', b'SCROLLS = "nothing"')
        pages = {"/": FRAME.replace("{width}", str(width)).encode(), "/copy": copy}
        with served(pages) as (address, _):
            dom = dom_of(f"{address}/", tmp_path / "profile")
        found = re.search(r'data-told="([^"]*)"', dom)
        assert found is not None, "the copy told nothing"
        told = unescape(found[1])
        scroll, view = (int(re.findall(rf'"{name}":(\d+)', told)[0]) for name in ("scroll", "view"))
        return scroll, view, told.partition('"cut":')[2]

    return at


@pytest.mark.parametrize("kind", [lambda: drawn(governance=governance()), hostile_board], ids=["full", "hostile"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_scrolls_sideways_and_nothing_is_cut_off(measure: Measure, kind: Callable[[], Board], width: int) -> None:
    scroll, view, cut = measure(kind(), width)
    assert view == width
    assert scroll <= view
    assert cut == "[]}"


def many_hosts() -> Board:
    more = [desired_mint_data(host=f"node-{number}.rack-7.example.org") for number in range(9)]
    seen = {one.host: on_lvm(one.host).fail("docker_usage").build(one.host) for one in more}
    return drawn(board_site(*more), board_evidence() | seen, governance=governance())


@pytest.mark.parametrize("kind", [many_hosts, hostile_board], ids=["many", "hostile"])
def test_on_paper_what_would_scroll_fits_between_the_margins(measure: Measure, kind: Callable[[], Board]) -> None:
    # 186 mm of A4, at 96 to the inch.
    scroll, view, cut = measure(kind(), 703, on_paper=True)
    assert (scroll, cut) == (view, "[]}")


def test_what_is_too_wide_would_be_noticed(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.browser.test_board.MEASURE", f'<div style="width:900px">wide</div>{MEASURE}')
    scroll, view, cut = measure(drawn(), 360)
    assert scroll >= 900 > view == 360
    assert "wide" in cut


def test_a_hostile_name_is_text_in_the_document(tmp_path: Path) -> None:
    page = tmp_path / "board.html"
    page.write_bytes(board_page(hostile_board()))
    dom = dom_of(page.as_uri(), tmp_path / "profile")
    assert re.findall(r"<(script|img)\b", dom) == []
    body = unescape(re.sub(r"<[^>]*>", "", dom.partition("<body>")[2]))
    assert body.count(shown(HOSTILE)) > 15
    assert "Hosts and their disks" in body


def test_the_page_asks_for_nothing_and_its_policy_would_refuse_it(tmp_path: Path) -> None:
    page = board_page(hostile_board())
    hole = '<img src="/image"><link rel="stylesheet" href="/style"><script src="/script"></script><style>body{background:url(/background)}</style>'
    pages = {"/board": page, "/hole": page.replace(b"</body>", hole.encode() + b"</body>"), "/control": copy_of(page, hole)}
    asked: dict[str, set[str]] = {}
    for path in pages:
        with served(pages) as (address, seen):
            dom_of(f"{address}{path}", tmp_path / "profile")
        asked[path] = set(seen) - {"/favicon.ico"}
    assert asked == {"/board": {"/board"}, "/hole": {"/hole"}, "/control": {"/control", "/image", "/style", "/script", "/background"}}


@pytest.mark.parametrize("scheme", [(), ("--blink-settings=preferredColorScheme=0",)], ids=["light", "dark"])
def test_there_is_something_to_see(tmp_path: Path, scheme: tuple[str, ...]) -> None:
    page, blank = tmp_path / "board.html", tmp_path / "blank.html"
    page.write_bytes(board_page(drawn(governance=governance())))
    blank.write_text("<!DOCTYPE html><title>x</title>")
    runs = {
        file: picture_of(file.as_uri(), tmp_path / "profile", tmp_path / "shot.png", "--window-size=1000,1200", *scheme) for file in (page, blank)
    }
    distinct = {file: len({pixels[at : at + 32] for at in range(0, len(pixels), 32)}) for file, pixels in runs.items()}
    assert distinct[page] > 2000
    assert distinct[blank] < 100


def test_it_can_be_printed(tmp_path: Path) -> None:
    page = tmp_path / "board.html"
    page.write_bytes(board_page(drawn(governance=governance())))
    paper = printed(page.as_uri(), tmp_path / "profile", tmp_path / "board.pdf")
    assert paper.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 8
    # A4 in points.
    assert {(round(float(w)), round(float(h))) for w, h in re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", paper)} == {(595, 842)}
