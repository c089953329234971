"""Content is read whole on both sides, in the background, and nothing goes on once it was given up."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from controlplane_target import tree_content
from controlplane_target.tree_content import CHUNK, ContentReader


def outcomes(*pairs: tuple[Path, Path], most: int = 0) -> dict[int, object]:
    reader = ContentReader()
    try:
        for number, (one, other) in enumerate(pairs):
            reader.ask(number, os.fsencode(one), os.fsencode(other))
        return dict(reader.told(most=most))
    finally:
        reader.close()


def file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_the_last_byte_counts_and_so_does_one_more(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    one, same = file(tmp_path, "one", content), file(tmp_path, "same", content)
    other = file(tmp_path, "other", content[:-1] + bytes([content[-1] ^ 1]))
    longer, shorter = file(tmp_path, "longer", content + b"\0"), file(tmp_path, "shorter", content[:-1])
    last = (size - 1) // CHUNK * CHUNK
    assert outcomes((one, same), (one, other)) == {0: None, 1: last}
    assert outcomes((one, longer), (longer, one)) == {0: size // CHUNK * CHUNK, 1: size // CHUNK * CHUNK}
    assert outcomes((one, shorter), (shorter, one)) == {0: last, 1: last}


def test_what_can_not_be_opened_comes_back_as_its_fault(tmp_path: Path) -> None:
    [fault] = outcomes((file(tmp_path, "one", b"x"), tmp_path / "gone")).values()
    assert isinstance(fault, FileNotFoundError)


def test_hundreds_are_told_each_once(tmp_path: Path) -> None:
    pairs = [(file(tmp_path, f"a{n}", b"x" * n), file(tmp_path, f"b{n}", b"x" * n)) for n in range(300)]
    assert outcomes(*pairs) == dict.fromkeys(range(300))


def test_a_start_that_was_cut_off_is_told_as_what_cut_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal comes while the second one starts: what it raises is not lost behind a thread that can't be waited for."""
    one, start = file(tmp_path, "one", b"x"), threading.Thread.start
    started: list[threading.Thread] = []

    def cut(thread: threading.Thread) -> None:
        if started:
            raise KeyboardInterrupt
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", cut)
    with pytest.raises(KeyboardInterrupt):
        outcomes((one, one))
    assert not started[0].is_alive()


def test_who_gives_up_waits_for_the_chunk_that_is_read_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = file(tmp_path, "one", b"x" * (4 * CHUNK))
    begun, go_on, read = threading.Event(), threading.Event(), []

    def slow(_descriptor: int, buffer: bytearray, at: int) -> int:
        read.append(at)
        begun.set()
        assert go_on.wait(10)
        return len(buffer)

    monkeypatch.setattr(tree_content, "read_at", slow)
    reader = ContentReader()
    reader.ask("one", os.fsencode(one), os.fsencode(one))
    assert begun.wait(10)
    closing = threading.Thread(target=reader.close)
    closing.start()
    while not reader._ended.is_set():
        pass
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()
    assert set(read) == {0}
    assert not any(thread.is_alive() for thread in reader._threads)
