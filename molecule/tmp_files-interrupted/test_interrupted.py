"""A removal whose power went half-way goes on and ends."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

ONE, TWO, OTHER = (f"tmp:/tmp/{name}" for name in ("one", "deep/two", "other"))
JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__storage.tmp_files__R0001/state.json"


def test_the_rest_is_gone_too_and_nothing_else() -> None:
    assert on_machine("cd /tmp; ls -d one deep/two many/* other 2>/dev/null || true").split() == ["many/kept", "other"]
    found = verdicts()
    assert {ONE, TWO} & found.keys() == set()
    assert found[OTHER] == "DRIFTED"


def test_the_journal_names_each_once_in_the_order_of_the_plan() -> None:
    journal = json.loads(on_machine(f"cat {JOURNAL}"))
    assert journal["phase"] == "done"
    assert [f"tmp:{path}" for path in journal["removed"]] == [ONE, *(f"tmp:/tmp/many/{number:02}" for number in range(1, 31)), TWO]
