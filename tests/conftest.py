"""How every run of tests begins, and golden files: a missing one fails, and only `--update-golden` writes one."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
BYTECODE = Path(__file__).parents[1] / ".cache" / "bytecode"


def pytest_configure() -> None:
    """Begin as at a terminal: a shell's background job ignores Ctrl-C, nohup ignores SIGHUP, and so would all that a test starts."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    # Who wants no bytecode beside the source (PYTHONDONTWRITEBYTECODE) gets it in a folder of its own: else each process compiles everything anew,
    # which is two thirds of what it takes to collect the tests, and a good part of every start of a program.
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(BYTECODE)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(BYTECODE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those begin first that share one long start: processes get many tests in a row at first, and single ones at the end."""
    items.sort(key=lambda item: "contract" not in item.path.parts)


def pytest_collection_finish() -> None:
    """Spare each look for garbage what was collected: ten thousand tests, which stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write golden files instead of comparing with them.")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what verbs remember for their user out of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that compares text with tests/golden/NAME."""

    def compare(name: str, text: str) -> None:
        if request.config.getoption("--update-golden"):
            (GOLDEN / name).write_text(text)
        assert (GOLDEN / name).exists(), f"tests/golden/{name} is missing; run pytest --update-golden and read it"
        assert text == (GOLDEN / name).read_text()

    return compare
