"""fstab as bytes: what is changed, what is not, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from controlplane_target import fstab_lines as lines
from hypothesis import assume, given
from hypothesis import strategies as st

from controlplane.domain.capabilities.fstab_text import entry_line

UUID = "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11"


def entry(**changes: Any) -> dict[str, Any]:
    return {"spec": f"UUID={UUID}", "file": "/mnt/data", "vfstype": "ext4", "options": ["noatime", "nofail"], "freq": 0, "passno": 2, **changes}


LINE = f"UUID={UUID} /mnt/data ext4 noatime,nofail 0 2\n"


def test_an_entry_is_appended_after_a_missing_newline() -> None:
    assert lines.changed("proc /proc proc defaults 0 0", [entry()]) == "proc /proc proc defaults 0 0\n" + LINE
    assert lines.changed("", [entry()]) == LINE


def test_the_one_line_of_the_mountpoint_is_replaced_and_all_else_stays() -> None:
    before = "# a comment /mnt/data\n\t\n/dev/sdb\t/mnt/data/ ext4\tdefaults\r\nproc /proc proc defaults 0 0\n/mnt/data\n"
    assert lines.changed(before, [entry()]) == f"# a comment /mnt/data\n\t\n{LINE}proc /proc proc defaults 0 0\n/mnt/data\n"


def test_a_line_that_says_the_same_in_other_words_stays_as_it_is() -> None:
    before = f"UUID={UUID}\t/mnt/data   ext4\tnoatime,nofail  0\t2 # mine\n"
    assert lines.changed(before, [entry()]) == before


def test_two_lines_of_one_mountpoint_are_nobodys_to_choose_from() -> None:
    with pytest.raises(lines.FstabError, match="/mnt/data has 2 entries, in lines 1, 3; remove all but one"):
        lines.changed("a:/x /mnt/data nfs ro\n#\nb:/x /mnt/data nfs ro\n", [entry()])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"file": "/mnt/a\nb"}, "control character"),
        ({"file": "/mnt/a\tb"}, "control character"),
        ({"spec": f"UUID={UUID}\n"}, "control character"),
        ({"vfstype": ""}, "is empty"),
        ({"options": []}, "has no options"),
        ({"options": ["ro,nofail"]}, "holds a comma"),
        ({"spec": "/dev/sda1"}, "neither UUID"),
        ({"spec": "LABEL=data"}, "neither UUID"),
        ({"file": "mnt"}, "not an absolute, normalised mountpoint"),
        ({"file": "/mnt/../etc"}, "not an absolute, normalised mountpoint"),
        ({"file": "/mnt/data/"}, "not an absolute, normalised mountpoint"),
        ({"passno": 3}, "passno 0 to 2"),
    ],
)
def test_what_would_read_back_otherwise_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(lines.FstabError, match=reason):
        lines.changed("", [entry(**changes)])


def test_one_mountpoint_twice_is_refused() -> None:
    with pytest.raises(lines.FstabError, match="given twice"):
        lines.changed("", [entry(), entry()])


@given(
    file=st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1).filter(lambda text: text not in (".", "..")),
    others=st.lists(st.text(st.characters(exclude_characters="\n\x00", exclude_categories=["Cs"]), max_size=60), max_size=5),
)
def test_any_name_reads_back_and_every_other_line_survives(file: str, others: list[str]) -> None:
    before = "".join(line + "\n" for line in others)
    wanted = entry(file=f"/mnt/{file}")
    assume(sum((lines.parse(line) or {}).get("file") == wanted["file"] for line in others) < 2)
    after = lines.changed(before, [wanted])
    assert lines.changed(after, [wanted]) == after
    assert [one for one in map(lines.parse, after.split("\n")) if one and one["file"] == wanted["file"]] == [wanted]
    assert after.endswith(lines.line_of(wanted)) or before.count("\n") == after.count("\n")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1).filter(lambda text: text not in (".", "..")))
def test_preview_and_role_write_the_same_line(file: str) -> None:
    assert entry_line(entry(file=f"/mnt/{file}")) + "\n" == lines.line_of(entry(file=f"/mnt/{file}"))


def test_what_would_read_back_otherwise_is_never_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "escape", lambda field: field)
    with pytest.raises(lines.FstabError, match=r"what was to be written for /mnt/a b reads back as \[\]"):
        lines.changed("", [entry(file="/mnt/a b")])


def test_a_missing_uuid_is_an_error_of_the_real_findmnt_whatever_its_exit_code_and_a_missing_device_is_not(tmp_path: Path) -> None:
    """This is why its text is read, and why entries name a UUID."""
    missing = uuid4()
    (tmp_path / "fstab").write_text(f"UUID={missing} /usr ext4 nofail 0 2\n/dev/nope /etc ext4 nofail 0 2\n")
    told = subprocess.run(["findmnt", "--verify", "--tab-file", tmp_path / "fstab"], env={"LC_ALL": "C"}, capture_output=True, text=True, check=False)
    report = told.stdout + told.stderr
    assert lines.faults(report) == {("/usr", f"unreachable on boot required source: UUID={missing}")}
    assert "[W] unreachable source: /dev/nope" in report


def test_only_errors_count_of_what_findmnt_says_and_each_with_its_mountpoint() -> None:
    report = """/mnt/data
   [E] unreachable on boot required target: No such file or directory
   [E] unreachable on boot required source: UUID=1
/mnt/q
   [W] unreachable source: /dev/nope: No such file or directory

findmnt: /tmp/f: parse error at line 4 -- ignored
1 parse error, 4 errors, 2 warnings
"""
    assert lines.faults(report) == {
        ("/mnt/data", "unreachable on boot required target: No such file or directory"),
        ("/mnt/data", "unreachable on boot required source: UUID=1"),
        ("", "parse error at line 4 -- ignored"),
    }
