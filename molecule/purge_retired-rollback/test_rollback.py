"""What was purged does not come back: the way back refuses, and all that was not purged stays."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

RUN = "CAP-20260101-000000__storage.purge__R0001"
FOLDER = f"/var/lib/controlplane/{RUN}"
MESSAGE = "removed retired data by name, and that can't be undone. Nothing was changed. Restore from a backup."


def test_the_way_back_names_the_run_and_what_is_left_to_do() -> None:
    assert on_machine("cat /run/scenario-said") == f"Run {RUN} {MESSAGE}"


def test_the_undo_on_the_machine_refuses_as_well_and_touches_nothing() -> None:
    listing = "find /var/lib/controlplane /var/lib/kept-root -printf '%p %s %T@\\n' | sort"
    before = on_machine(listing)
    said = on_machine(f"code=0; {FOLDER}/undo 2>&1 || code=$?; echo $code")
    assert said == ("This run removed retired data by name, and that can not be undone. Nothing was changed. Restore from a backup.\n4\n")
    assert on_machine(listing) == before


def test_what_was_purged_stays_gone_and_the_journal_says_so() -> None:
    assert "retired:/var/lib/old-root" not in verdicts()
    assert on_machine("ls -d /var/lib/old-root /var/lib/.controlplane-purging-old-root 2>/dev/null || echo gone") == "gone\n"
    state = json.loads(on_machine(f"cat {FOLDER}/state.json"))
    assert (state["phase"], state["removed"]) == ("done", ["/var/lib/old-root"])


def test_what_was_retired_and_not_purged_stays_with_its_record() -> None:
    assert verdicts()["retired:/var/lib/kept-root"] == "DRIFTED"
    assert on_machine("find /var/lib/kept-root -printf '%P %y %m %U %G %s %T@\\n' | sort | diff - /root/kept-root.before") == ""
    assert on_machine("sha256sum --check /root/kept-root.sums") == "/var/lib/kept-root/sub/file: OK\n"
    [record] = json.loads(on_machine("cat /var/lib/controlplane/retired.json"))["retired"]
    assert (record["path"], record["run"]) == ("/var/lib/kept-root", "CAP-20250102-000000__docker.data_root__R0001")
