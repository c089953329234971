"""What pg_amcheck comes to in a move's proof: only what it calls corrupt is a fault."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from controlplane_target import command, path_amcheck
from controlplane_target.command import Said
from controlplane_target.faults import FailedFault


@pytest.mark.parametrize(
    ("said", "came", "corrupt"),
    [
        (Said(0, "", ""), "passed", None),
        (Said(2, "heap table shop.public.t, block 3: corrupt", ""), "corrupt", "heap table shop.public.t, block 3: corrupt"),
        (Said(1, "", 'warning: skipping database "shop": amcheck is not installed'), "the extension is in no database", None),
        (Said(1, "", "fe_sendauth: no password supplied"), "not done: fe_sendauth: no password supplied", None),
    ],
)
def test_what_it_says_is_told_and_only_corruption_is_a_fault(monkeypatch: pytest.MonkeyPatch, said: Said, came: str, corrupt: str | None) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], *, timeout_s: float | None = None) -> Said:
        assert timeout_s is not None
        asked.append(argv)
        return Said(0, "/usr/bin/pg_amcheck\n", "") if "sh" in argv else said

    monkeypatch.setattr(command, "run", run)
    assert path_amcheck.checked("db", "postgres") == (came, corrupt)
    assert asked[1] == ["docker", "exec", "db", "/usr/bin/pg_amcheck", "--all", "--no-password", "--username=postgres"]


def test_a_container_without_it_is_told_so_and_one_that_takes_too_long_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", lambda *_, **__: Said(1, "", ""))
    assert path_amcheck.checked("db", "postgres") == ("not there", None)

    def late(argv: Sequence[str], *, timeout_s: float | None = None) -> Said:
        raise FailedFault(f"{argv[0]} did not end within {timeout_s} s")

    monkeypatch.setattr(command, "run", late)
    assert path_amcheck.checked("db", "postgres")[0].startswith("not done: docker did not end within")
