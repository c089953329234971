"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from controlplane_target import files


def test_mode_and_content_are_kept_and_a_new_file_gets_its_own(tmp_path: Path) -> None:
    path = tmp_path / "fstab"
    path.write_bytes(b"before\n")
    path.chmod(0o640)
    files.write_like(path, b"after\n", mode=0o644)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after\n", 0o640)
    files.write_like(tmp_path / "new", b"x", mode=0o600)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["fstab", "new"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fstab"
    path.write_bytes(b"before\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_like(path, b"after\n", mode=0o644)
    assert path.read_bytes() == b"before\n"
    assert [one.name for one in tmp_path.iterdir()] == ["fstab"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_writer_killed_at_any_call_leaves_one_whole_file_and_the_next_cleans_up(tmp_path: Path, call: str) -> None:
    if not Path("/usr/bin/strace").exists():
        pytest.skip("strace is not installed")
    path = tmp_path / "fstab"
    path.write_bytes(b"before\n")
    folder = str(Path(files.__file__).parents[1])
    script = f"import sys; sys.path.insert(0, {folder!r}); from controlplane_target import files; from pathlib import Path; "
    script += f"files.write_like(Path({str(path)!r}), b'after' * 1000, mode=0o644)"
    inject = f"inject=?{call},?{call}at,?{call}at2:signal=KILL:when=1" if call == "rename" else f"inject={call}:signal=KILL:when=1"
    killed = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", inject, sys.executable, "-B", "-c", script], check=False)
    assert killed.returncode != 0
    assert path.read_bytes() in {b"before\n", b"after" * 1000}
    files.write_like(path, b"done\n", mode=0o644)
    assert [one.name for one in tmp_path.iterdir()] == ["fstab"]
