"""A `lost+found` that a filesystem made is nobody's data; a tenant's folder of that name is, and is never left behind unseen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from controlplane_target import lost_found, path_listing, root_refusals
from controlplane_target.faults import FailedFault
from controlplane_target.state import Home
from controlplane_target.tree_compare import clock_ns, compare_trees
from controlplane_target.tree_copy import copy_tree
from controlplane_target.tree_measure import is_empty

from tests.unit.roles.loading import ROOT

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, and reads trusted attributes")
pytestmark = [root_only, pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")]
# On a real filesystem, in a mount namespace of its own.
_REAL = """
import os, sys
sys.path.insert(0, sys.argv[2])
from controlplane_target import lost_found
top = sys.argv[1]
os.makedirs(top + "/below/lost+found")
print(lost_found.is_own(top), lost_found.is_own(top + "/below"), lost_found.names_in(top), lost_found.names_in(top + "/below"))
"""


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Return a tenant's tree with a folder of that name, and an empty place."""
    (tmp_path / "source/lost+found").mkdir(parents=True)
    (tmp_path / "source/lost+found/x").write_text("a tenant's")
    (tmp_path / "copy").mkdir()
    return tmp_path / "source", tmp_path / "copy"


def roots(monkeypatch: pytest.MonkeyPatch, *tops: Path) -> None:
    """Let these be roots of filesystems that have made their own."""
    monkeypatch.setattr(lost_found, "is_own", lambda top: os.fsdecode(top) in {str(one) for one in tops})


def compared(trees: tuple[Path, Path]) -> list[tuple[bytes, str]]:
    found = compare_trees(str(trees[0]), str(trees[1]), read_since_ns=0, began_ns=clock_ns())
    return [(held.path, held.what) for held in found.differences]


def test_only_the_folder_that_a_filesystem_made_in_its_root_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    with (tmp_path / "disk").open("wb") as disk:
        disk.truncate(4 << 20)
    script = 'mkfs.ext4 -q "$0" && mount -o loop "$0" "$1" && exec "$2" -c "$3" "$1" "$4"'
    words = [str(tmp_path / "disk"), str(tmp_path / "top"), sys.executable, _REAL, str(ROOT / "roles/target_run/files")]
    said = subprocess.run(["unshare", "--mount", "sh", "-c", script, *words], capture_output=True, text=True, check=False)
    if said.returncode != 0 and not said.stdout:
        pytest.skip(f"no ext4 can be mounted here: {said.stderr.strip()[-200:]}")
    assert said.stdout == "True False ['below'] ['lost+found']\n"


def test_a_tenants_folder_is_copied_and_compared_as_all_the_rest(trees: tuple[Path, Path]) -> None:
    source, copy = trees
    copy_tree(str(source), str(copy), live=False)
    assert (copy / "lost+found/x").read_text() == "a tenant's"
    assert compared(trees) == []
    (copy / "lost+found/x").unlink()
    assert (b"lost+found/x", "presence") in compared(trees)
    assert path_listing.listed(str(source), str(copy), 1 << 62)["lost"] == ["lost+found/x"]


def test_a_place_that_holds_a_tenants_folder_is_not_empty_and_no_copy_of_ours(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, copy = trees
    assert (is_empty(str(source)), is_empty(str(copy)), is_empty(str(copy / "gone"))) == (False, True, True)
    run = Home(copy.parent / "home").run("R1")
    run.write(phase="precopied", leg="forward", trees=[{"from": str(copy), "to": str(source), "names": []}])
    assert "holds lost+found, which the copy that was begun there does not" in str(root_refusals.foreign(run.home, str(source), []))
    roots(monkeypatch, source)
    assert (is_empty(str(source)), root_refusals.foreign(run.home, str(source), [])) == (True, None)


def test_a_filesystems_own_is_neither_copied_nor_removed_nor_compared(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, copy = trees
    (source / "file").touch()
    roots(monkeypatch, source)
    copy_tree(str(source), str(copy), live=False)
    assert ([path.name for path in copy.iterdir()], compared(trees)) == (["file"], [])
    assert path_listing.listed(str(source), str(copy), 1 << 62)["objects"] == 1
    # The other way round it is the place's.
    roots(monkeypatch, source)
    (copy / "more").touch()
    copy_tree(str(copy), str(source), live=False)
    assert ((source / "lost+found/x").exists(), compared((copy, source))) == (True, [])
    # And both may have one.
    (copy / "lost+found").mkdir()
    roots(monkeypatch, source, copy)
    (copy / "file").unlink()
    copy_tree(str(copy), str(source), live=False)
    assert (sorted(path.name for path in source.iterdir()), compared(trees)) == (["lost+found", "more"], [])


def test_a_tenants_folder_does_not_become_a_filesystems_own(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, copy = trees
    (copy / "lost+found").mkdir()
    roots(monkeypatch, copy)
    told = f"{source}/lost+found is data, and {copy}, the root of a filesystem, has a lost+found of its own: name a folder below {copy} as the place"
    assert lost_found.clash(str(source), str(copy))[0].startswith(told)
    with pytest.raises(FailedFault, match=r"has a lost\+found of its own"):
        copy_tree(str(source), str(copy), live=True)
    assert list((copy / "lost+found").iterdir()) == []
    assert lost_found.clash(str(copy), str(source)) == []
