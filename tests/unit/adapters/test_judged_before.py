"""What earlier verbs found good of signatures is not asked again; whatever differs is, and `receipts verify` asks all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters import signatures
from controlplane.adapters.judged_before import JudgedBefore, cache_folder, key_of
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signatures import signature_of, signatures_by
from controlplane.adapters.signing import SshSigner
from controlplane.usecases.apply_guards import sound_chain
from tests.fakes.chains import grow, make_keys, write_signers

LENGTH = 6


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give what ssh-keygen was asked, with a cache of the test's own; each `another_verb` begins as a process does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    run = subprocess.run

    def watched(argv: list[str], **more: Any) -> Any:
        said.extend(argv[2:3] if argv[:2] == ["ssh-keygen", "-Y"] else [])
        return run(argv, **more)

    monkeypatch.setattr(signatures.subprocess, "run", watched)
    another_verb()
    yield said
    another_verb()


def another_verb() -> None:
    signatures_by.cache_clear()


def chain(tmp_path: Path, keys: Path, *, anew: bool = False) -> ReceiptFiles:
    another_verb()
    return ReceiptFiles(tmp_path / "receipts", SshSigner(keys / "ann", keys / "signers", anew=anew))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """A chain that is copied for each test: signing it takes longer."""
    folder = tmp_path_factory.mktemp("grown")
    grow(chain(folder, keys), LENGTH)
    return folder / "receipts"


@pytest.fixture
def known(tmp_path: Path, keys: Path, asked: list[str], grown: Path) -> list[str]:
    """A chain that a verb before has judged."""
    shutil.copytree(grown, tmp_path / "receipts")
    assert len(sound_chain(chain(tmp_path, keys))) == LENGTH
    assert asked.count("verify") >= LENGTH
    asked.clear()
    return asked


def test_a_chain_that_was_judged_is_not_asked_of_ssh_keygen_again(known: list[str], tmp_path: Path, keys: Path) -> None:
    assert len(sound_chain(chain(tmp_path, keys))) == LENGTH
    assert known == []


def test_verify_judges_every_signature_anew(known: list[str], tmp_path: Path, keys: Path) -> None:
    _, faults = chain(tmp_path, keys, anew=True).examine()
    assert (faults, known.count("verify")) == ((), LENGTH)


@pytest.mark.usefixtures("known")
def test_one_flipped_bit_of_a_receipt_or_a_signature_is_found_all_the_same(tmp_path: Path, keys: Path) -> None:
    last = sorted((tmp_path / "receipts").glob("[0-9]*.json"))[-1]
    for path in (last, signature_of(last)):
        content = path.read_bytes()
        path.write_bytes(content[:90] + bytes([content[90] ^ 1]) + content[91:])
        _, faults = chain(tmp_path, keys).examine()
        assert [fault.file for fault in faults] == [last.name], path
        path.write_bytes(content)
    assert chain(tmp_path, keys).examine()[1] == ()


@pytest.mark.usefixtures("known")
def test_other_allowed_signers_judge_all_of_it_again(tmp_path: Path, keys: Path) -> None:
    fewer = write_signers(tmp_path / "fewer", keys, ben="")
    another_verb()
    _, faults = ReceiptFiles(tmp_path / "receipts", SshSigner(None, fewer)).examine()
    assert len(faults) == LENGTH
    assert "does not name" in faults[0].reason


def test_what_somebody_else_may_write_is_left_alone(known: list[str], tmp_path: Path, keys: Path) -> None:
    [file] = (tmp_path / "cache" / "controlplane" / "signatures").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o666)
    sound_chain(chain(tmp_path, keys))
    assert known.count("verify") == LENGTH


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_broken_memory_costs_time_and_nothing_else(known: list[str], tmp_path: Path, keys: Path, content: bytes) -> None:
    [file] = (tmp_path / "cache" / "controlplane" / "signatures").glob("*.json")
    file.write_bytes(content)
    assert len(sound_chain(chain(tmp_path, keys))) == LENGTH
    assert known.count("verify") == LENGTH
    assert len(json.loads(file.read_bytes())) == LENGTH


def test_a_link_in_its_place_is_not_followed(known: list[str], tmp_path: Path, keys: Path) -> None:
    [file] = (tmp_path / "cache" / "controlplane" / "signatures").glob("*.json")
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    sound_chain(chain(tmp_path, keys))
    assert known.count("verify") == LENGTH


@pytest.mark.parametrize("place", ["controlplane", "controlplane/signatures"])
def test_a_folder_that_others_may_write_is_left_alone(known: list[str], tmp_path: Path, keys: Path, place: str) -> None:
    (tmp_path / "cache" / place).chmod(0o777)
    sound_chain(chain(tmp_path, keys))
    assert known.count("verify") == LENGTH


def test_another_ssh_keygen_judges_all_of_it_again(known: list[str], tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "bin" / "ssh-keygen"
    other.parent.mkdir()
    other.write_bytes(Path(shutil.which("ssh-keygen") or "").read_bytes())
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent), prepend=":")
    sound_chain(chain(tmp_path, keys))
    assert known.count("verify") == LENGTH


def test_what_is_not_asked_any_more_goes_after_a_while(known: list[str], tmp_path: Path, keys: Path) -> None:
    [file] = (tmp_path / "cache" / "controlplane" / "signatures").glob("*.json")
    old, lately = file.with_name("old.json"), file.with_name("lately.json")
    for other, age in ((old, 61), (lately, 59)):
        other.touch()
        os.utime(other, (time.time() - age * 86400,) * 2)
    file.unlink()
    sound_chain(chain(tmp_path, keys))
    assert known.count("verify") == LENGTH
    assert (old.exists(), lately.exists(), file.exists()) == (False, True, True)


def test_a_folder_that_can_t_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "signatures").write_text("in its place")
    before = JudgedBefore(tmp_path, b"x")
    before.add("key", "ann")
    before.keep()
    assert JudgedBefore(tmp_path, b"x").principal("key") is None


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    for given, place in (("/var/cache/ann", "/var/cache/ann/controlplane"), ("relative", "/home/ann/.cache/controlplane")):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == Path(place)
    monkeypatch.delenv("HOME")
    assert cache_folder() is None


def test_no_two_judgements_share_a_key() -> None:
    cases = [(b"ab", b"c", "n", "t"), (b"a", b"bc", "n", "t"), (b"ab", b"c", "nt", ""), (b"ab", b"c", "n", "u")]
    assert len({key_of(*case) for case in cases}) == len(cases)
    assert os.sep not in key_of(*cases[0])
