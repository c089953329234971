"""What pg_amcheck comes to in a move's proof: only what it calls corrupt is a fault, and what it could not do is not proven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from controlplane_target import command, path_amcheck
from controlplane_target.command import Said
from controlplane_target.faults import FailedFault
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import parse

PEER = 'error: FATAL: Peer authentication failed for user "shop"'


@pytest.mark.parametrize(
    ("said", "came", "corrupt"),
    [
        (Said(0, "", ""), "passed", None),
        (Said(2, "heap table shop.public.t, block 3: corrupt", ""), "corrupt", "heap table shop.public.t, block 3: corrupt"),
        (Said(1, "", 'warning: skipping database "shop": amcheck is not installed'), "the extension is in no database", None),
        (Said(1, "", "fe_sendauth: no password supplied"), "not done: fe_sendauth: no password supplied", None),
        (Said(1, "", PEER), f"not done: {PEER}", None),
    ],
)
def test_what_it_says_is_told_and_only_corruption_is_a_fault(monkeypatch: pytest.MonkeyPatch, said: Said, came: str, corrupt: str | None) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], *, timeout_s: float | None = None) -> Said:
        assert timeout_s is not None
        asked.append(argv)
        return Said(0, "999\n/usr/bin/pg_amcheck\n", "") if "sh" in argv else said

    monkeypatch.setattr(command, "run", run)
    assert path_amcheck.checked("db", "postgres", "/data") == (came, corrupt)
    assert asked[0][-2:] == ["sh", "/data"]
    # A link to the data is anybody's.
    assert "stat -L -c %u" in asked[0][-3]
    # As whom the data are: that one `peer` lets in.
    assert asked[1] == ["docker", "exec", "--user=999", "db", "/usr/bin/pg_amcheck", "--all", "--no-password", "--username=postgres"]
    assert path_amcheck.left(came) == (
        [f"pg_amcheck, PostgreSQL's own check of its files ({came})"] if said.code == 1 and "skip" not in said.err else []
    )


def test_a_container_without_it_is_told_so_and_one_that_takes_too_long_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", lambda *_, **__: Said(1, "", ""))
    assert path_amcheck.checked("db", "postgres", "/data") == ("not there", None)
    assert path_amcheck.left("not there") == []

    def late(argv: Sequence[str], *, timeout_s: float | None = None) -> Said:
        raise FailedFault(f"{argv[0]} did not end within {timeout_s} s")

    monkeypatch.setattr(command, "run", late)
    assert path_amcheck.checked("db", "postgres", "/data")[0].startswith("not done: docker did not end within")


def test_where_the_datas_owner_is_not_told_the_containers_own_user_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], **_: Any) -> Said:
        asked.append(argv)
        return Said(0, "/usr/bin/pg_amcheck\n", "stat: cannot stat" if "sh" in argv else "")

    monkeypatch.setattr(command, "run", run)
    assert path_amcheck.checked("db", "postgres", "/data") == ("passed", None)
    assert asked[1][:4] == ["docker", "exec", "db", "/usr/bin/pg_amcheck"]


def test_one_that_lets_nobody_in_is_named_in_what_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def rows(self, query: str) -> list[list[str]]:
            assert query == "SELECT current_user, current_setting('data_directory')"
            return [["shop", "/data/pgdata"]]

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(command, "run", lambda argv, **_: Said(0, "999\n/bin/pg_amcheck\n", "") if "sh" in argv else Said(1, "", PEER))
    engine: Any = None
    proof = Proof(engine, parse({"container": "db", "paths": [{"kind": "postgres", "data": "/data", "place": "/mnt/data/db"}]}))
    monkeypatch.setattr(proof, "_postgres", lambda _: Session())
    told = proof._checked({"lost": [], "not_proven": ["table a.b (busy)"]})
    assert told["lost"] == []
    assert told["not_proven"] == ["table a.b (busy)", f"pg_amcheck, PostgreSQL's own check of its files (not done: {PEER})"]
