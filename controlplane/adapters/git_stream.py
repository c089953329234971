"""A repository's contents as streams: what every commit brought, and the bytes of it, in memory that does not grow with the history."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from controlplane.adapters.git_command import git_argv, git_environment

PIECE = 1 << 20
# Written at once, so that their ids fit into a pipe while git writes the first of them.
AT_ONCE = 500
_SUBMODULE = "160000"


class Brought(NamedTuple):
    """A file as one commit brought it; `commit` is empty for the index. The path is from the repository's top, as git keeps it.

    Without a path it is a message: that of the commit or the annotated tag which `commit` and `blob` both name.
    """

    commit: str
    path: bytes
    blob: str


class GitFailedError(Exception):
    """Git did not answer, or not to the end; the message says what it said."""


class GitStreams:
    """The streams of one repository; they end together, after `limit_s` at the latest."""

    def __init__(self, folder: Path, *, limit_s: float) -> None:
        self._folder, self._limit_s = folder, limit_s
        self._processes: list[subprocess.Popen[bytes]] = []
        self._open = ExitStack()
        self._late = threading.Event()
        self.commits = 0

    def __enter__(self) -> GitStreams:
        timer = threading.Timer(self._limit_s, self._end)
        timer.daemon = True
        self._open.callback(timer.cancel)
        timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()
        for process in self._processes:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            process.wait()

    def history(self) -> Iterator[Brought]:
        """Yield each commit of any branch, tag or stash, and each file that it brought or changed, the oldest first. Raises `GitFailedError`.

        Of a merge that is what none of its parents has; what one of them has was brought before.
        """
        listing = self._start(["rev-list", "--topo-order", "--reverse", "--all", *self._head(), *self._stashes()])
        differing = self._start(
            ["diff-tree", "--stdin", "-r", "-c", "--root", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff"], stdin=listing.stdout
        )
        commit = ""
        tokens = _tokens(_output(differing))
        for token in tokens:
            if not token.startswith(b":"):
                commit = token.strip().decode("ascii", "replace")
                self.commits += 1
                yield Brought(commit, b"", commit)
                continue
            path = next(tokens, None)
            if path is None:
                break
            blob = _blob(token.decode("ascii", "replace"))
            if blob is not None:
                yield Brought(commit, path, blob)
        self._ended(listing, differing)

    def tags(self) -> Iterator[Brought]:
        """Yield each annotated tag. Raises `GitFailedError`."""
        process = self._start(["for-each-ref", "--format=%(objecttype) %(objectname)"])
        for line in _output(process):
            kind, _, tag = line.decode("ascii", "replace").strip().partition(" ")
            if kind == "tag":
                yield Brought(tag, b"", tag)
        self._ended(process)

    def index(self) -> Iterator[Brought]:
        """Yield each file that is staged for a commit, or in the last one. Raises `GitFailedError`."""
        process = self._start(["ls-files", "--stage", "-z", "--full-name", ":/"])
        for token in _tokens(_output(process)):
            meta, _, path = token.partition(b"\t")
            mode, blob, _ = meta.decode("ascii", "replace").split(" ")
            if mode != _SUBMODULE:
                yield Brought("", path, blob)
        self._ended(process)

    def contents(self, wanted: Iterator[Brought]) -> Iterator[tuple[Brought, Iterator[bytes] | None]]:
        """Yield each with the pieces of its bytes, None where git does not have them. Each is read to its end before the next one comes."""
        process = self._start(["cat-file", "--batch"], stdin=subprocess.PIPE)
        source, sink = _output(process), process.stdin
        if sink is None:
            raise GitFailedError("git takes no input")
        while batch := list(islice(wanted, AT_ONCE)):
            writer = threading.Thread(target=_write, args=(sink, batch), daemon=True)
            writer.start()
            for one in batch:
                header = source.readline().split()
                if not header:
                    raise self._why(process)
                if header[-1] == b"missing" or len(header) != 3:
                    yield one, None
                    continue
                reading = _Reading(source, int(header[2]))
                yield one, reading.pieces()
                reading.finish()
            writer.join()

    def _head(self) -> list[str]:
        """Return HEAD where there is one: a detached one is on no branch."""
        process = self._start(["rev-parse", "--verify", "--quiet", "HEAD"])
        _output(process).read()
        return ["HEAD"] if process.wait() == 0 else []

    def _stashes(self) -> list[str]:
        """Return every stash: of those before the newest one only its log knows."""
        process = self._start(["rev-list", "--walk-reflogs", "--ignore-missing", "refs/stash", "--"])
        held = _output(process).read().decode("ascii", "replace").split()
        # Without any it fails.
        return held if process.wait() == 0 else []

    def _start(self, words: Sequence[str], stdin: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                git_argv(self._folder, words),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=git_environment(),
            )
        except OSError as error:
            raise GitFailedError(f"git can't be started ({error.strerror})") from None
        self._processes.append(process)
        if self._late.is_set():
            # The time ended before this one was there to be ended with the others.
            process.kill()
        return process

    def _ended(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            if process.stdout is not None:
                process.stdout.close()
            if process.wait() != 0:
                raise self._why(process)

    def _why(self, process: subprocess.Popen[bytes]) -> GitFailedError:
        if self._late.is_set():
            return GitFailedError(f"git was not done within {self._limit_s:.0f} s")
        return GitFailedError(f"git ended with {process.wait()} before its time: try 'git fsck'")

    def _end(self) -> None:
        self._late.set()
        for process in self._processes:
            process.kill()


class _Reading:
    """One blob of known size in the output of cat-file."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._left = source, size

    def pieces(self) -> Iterator[bytes]:
        while self._left:
            piece = self._source.read(min(PIECE, self._left))
            if not piece:
                raise GitFailedError("git ended in the midst of a file")
            self._left -= len(piece)
            yield piece

    def finish(self) -> None:
        for _ in self.pieces():
            pass
        self._source.readline()


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise GitFailedError("git gives no output")
    return process.stdout


def _tokens(source: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while piece := source.read(1 << 16):
        *whole, rest = (rest + piece).split(b"\0")
        yield from whole


def _blob(meta: str) -> str | None:
    """Return the id of the new content of a raw entry, None where there is none."""
    parents = len(meta) - len(meta.lstrip(":"))
    fields = meta.lstrip(":").split(" ")
    mode, blob = fields[parents], fields[2 * parents + 1]
    return None if mode == _SUBMODULE or not blob.strip("0") else blob


def _write(sink: IO[bytes], batch: Sequence[Brought]) -> None:
    with suppress(OSError, ValueError):
        sink.write(b"".join(f"{one.blob}\n".encode() for one in batch))
        sink.flush()
