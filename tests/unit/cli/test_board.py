"""`controlplane board` as an operator and a script meet it."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.cli.app import main
from controlplane.domain.board import BoardGovernance
from tests.fakes.board import board_evidence, board_site
from tests.fakes.interruption import Interruption
from tests.fakes.ports import FakeAnchors, FakeClock, FakeReceipts

Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the verb on the example site; beside it lies its evidence, evidence.json."""
    monkeypatch.chdir(tmp_path)
    wiring.evidence_files().write("evidence.json", board_evidence())
    monkeypatch.setattr(wiring, "site_view", lambda *_, **__: board_site())
    monkeypatch.setattr(wiring, "receipts", lambda _given: FakeReceipts(Interruption()))
    monkeypatch.setattr(wiring, "anchors", lambda *_given: FakeAnchors())
    monkeypatch.setattr(wiring, "clock", FakeClock)
    monkeypatch.setattr(wiring, "board_governance", lambda *_: BoardGovernance())

    def collecting(*_: object) -> None:
        pytest.fail("it collected")

    monkeypatch.setattr(wiring, "evidence_source", collecting)

    def call(*argv: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["controlplane", "board", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return call


def test_the_page_is_written_offline_and_ends_with_0_whatever_it_shows(run: Run) -> None:
    code, out, err = run("--evidence", "evidence.json", "--out", "board.html")
    assert (code, err) == (0, "")
    assert out == "4 hosts in board.html: 43 met, 10 drifted, 0 waived, 21 unknown.\n"
    page = Path("board.html")
    assert page.read_text().startswith("<!DOCTYPE html>\n<html lang=")
    assert stat.S_IMODE(page.stat().st_mode) == 0o644 & ~_umask()
    assert sorted(one.name for one in Path().iterdir()) == ["board.html", "evidence.json"]


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_program_gets_the_counts_and_the_file(run: Run) -> None:
    code, out, _ = run("--evidence", "evidence.json", "--out", "board.html", "-o", "json")
    told = json.loads(out)
    assert (code, told["site"], told["out"], told["bytes"]) == (0, "mint", "board.html", Path("board.html").stat().st_size)
    assert told["summary"] == {"met": 43, "drifted": 10, "waived": 0, "unknown": 21}


def test_an_existing_page_is_replaced_and_a_reader_of_the_old_one_keeps_it(run: Run) -> None:
    Path("board.html").write_text("old")
    with Path("board.html").open() as reader:
        assert run("--evidence", "evidence.json", "--out", "board.html")[0] == 0
        assert reader.read() == "old"
    assert "old" not in Path("board.html").read_text()[:9]


def test_only_the_named_host_is_shown(run: Run) -> None:
    assert (
        run("--evidence", "evidence.json", "--host", "mint-fine", "--out", "b.html")[1]
        == "1 host in b.html: 21 met, 0 drifted, 0 waived, 0 unknown.\n"
    )
    assert "mint-lost" not in Path("b.html").read_text()


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("folder", "folder: --out: is a folder: name the file that the page goes to\n"),
        ("pipe", "pipe: --out: is no regular file, and would be replaced by one: name another file for the page\n"),
        ("evidence.json/board.html", "/evidence.json is no folder that this user may write to\n"),
        ("x" * 300, "--out: can't be written (File name too long): name a file in a folder of yours\n"),
    ],
)
def test_where_no_page_can_be_written_nothing_is_collected(run: Run, tmp_path: Path, out: str, why: str) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    code, said, err = run("--out", out)
    assert (code, said) == (2, "")
    assert err.endswith(why)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evidence.json", "folder", "pipe"]


def test_a_page_never_replaces_the_evidence_that_it_is_made_from(run: Run) -> None:
    before = Path("evidence.json").read_bytes()
    Path("link.json").symlink_to("evidence.json")
    for out in ("evidence.json", "link.json"):
        code, _, err = run("--evidence", "evidence.json", "--out", out)
        assert (code, err) == (2, f"{out}: --out: is the evidence itself, which the page would replace: name another file\n")
    assert Path("evidence.json").read_bytes() == before


@pytest.mark.parametrize("option", [("--max-age", "1h"), ("--inventory",)])
def test_what_is_for_a_file_of_evidence_alone_is_refused_without_one(run: Run, option: tuple[str, ...]) -> None:
    code, _, err = run("--out", "board.html", *option)
    assert code == 2
    assert "is for --evidence" in err
    assert not Path("board.html").exists()


def test_older_evidence_counts_for_as_long_as_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(FakeClock):
        def now(self):  # type: ignore[no-untyped-def]
            return super().now().replace(hour=20)

    monkeypatch.setattr(wiring, "clock", Late)
    assert ": 0 met, 0 drifted, 0 waived, 74 unknown." in run("--evidence", "evidence.json", "--out", "old.html")[1]
    assert ": 43 met, 10 drifted, 0 waived, 21 unknown." in run("--evidence", "evidence.json", "--out", "b.html", "--max-age", "24h")[1]
