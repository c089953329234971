"""A headless Chromium that reaches nothing but this machine, and what a page does in it."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

LIMIT_S = 90
_QUIET = ("--headless=new", "--hide-scrollbars", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
_QUIET += ("--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", "--force-device-scale-factor=1")
# As root it has no sandbox of its own; what it opens is made by the tests. Names lead nowhere, this machine's address alone is one.
_QUIET += ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


def missing_reason() -> str | None:
    """Say why there is no browser to test in; None where there is one."""
    return None if shutil.which("chromium") else "there is no chromium here: script/setup installs it on Debian as root"


def _run(profile: Path, *more: str) -> str:
    argv = ["chromium", *_QUIET, f"--user-data-dir={profile}", *more]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dom_of(url: str, profile: Path, *more: str) -> str:
    """Return the document as it is once the page has been read."""
    return _run(profile, "--virtual-time-budget=4000", "--dump-dom", *more, url)


def picture_of(url: str, profile: Path, to: Path, *more: str) -> bytes:
    """Return a screenshot's pixels as PNG filters left them."""
    _run(profile, f"--screenshot={to}", *more, url)
    return b"".join(_scanlines(to.read_bytes()))


def printed(url: str, profile: Path, to: Path) -> bytes:
    """Return the page as a PDF."""
    _run(profile, "--no-pdf-header-footer", f"--print-to-pdf={to}", url)
    return to.read_bytes()


def _scanlines(png: bytes) -> Iterator[bytes]:
    packed, at = b"", 8
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        packed += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    yield zlib.decompress(packed)


@contextmanager
def served(pages: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve pages by path on this machine; yield the address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = pages.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 - the base class' signature
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
