"""Start a program of the host from an argument list, and read small files."""

from __future__ import annotations

import os

from .supervise import ProbeError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def tool(*argv: str) -> tuple[int, str, str]:
    """Return (exit code, standard output, standard error); the probe's own limit ends it. Raises ProbeError where it can't be started."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    environment = {"PATH": os.environ.get("PATH", PATH), "LC_ALL": "C", "LANG": "C"}
    try:
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    except OSError as error:
        raise ProbeError(f"{argv[0]} can't be started: {error.strerror}") from None
    _, status = os.waitpid(pid, 0)
    texts = []
    for fd in (out, err):
        os.lseek(fd, 0, os.SEEK_SET)
        with os.fdopen(fd, "rb") as stream:
            texts.append(stream.read().decode("utf-8", "replace"))
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, texts[0], texts[1]


def slurp(path: str, most: int = 1 << 20) -> str:
    """Return a file's text (at most `most` bytes, else ProbeError); undecodable bytes are replaced."""
    with open(path, "rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ProbeError(f"{path} is larger than {most} bytes")
    return data.decode("utf-8", "replace")


def slurp_or_none(path: str) -> str | None:
    """Return a file's text, or None where there is no such file; any other obstacle is an OSError."""
    try:
        return slurp(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def word(path: str) -> str | None:
    """Return a one-line file (sysfs) without its newline; None where it isn't there, is empty or can't be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(4096).decode("utf-8", "replace").strip("\0 \t\r\n") or None
    except OSError:
        return None
