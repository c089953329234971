"""What a dry run shows is what would be done."""

from __future__ import annotations

from typing import Any

import pytest
from controlplane_target import bootstrap_verbs, configs, leg_verbs


def test_a_move_is_shown_with_both_places_and_with_the_file_that_changes() -> None:
    planned = [{"path": "/etc/docker/daemon.json", "before": "", "after": "{}\n"}]
    changes = [{"kind": "move", "target": "docker root", "before": "/var/lib/docker", "after": "/mnt/data/docker"}]
    shown = leg_verbs.shown({"changes": changes}, configs.diffs(planned))
    assert shown["changed"] is True
    assert [(one["before_header"], one["before"], one["after"]) for one in shown["diff"]] == [
        ("docker root", "/var/lib/docker\n", "/mnt/data/docker\n"),
        ("/etc/docker/daemon.json", "", "{}\n"),
    ]
    assert leg_verbs.shown({"changes": []}, []) == {"changed": False, "changes": [], "diff": []}


@pytest.mark.parametrize(
    ("action", "seen", "changed", "after"),
    [
        ("install", {"packages": ["tini"], "repair": False}, True, "tini\n"),
        ("install", {"packages": [], "repair": True}, True, "what dpkg left half done, finished\n"),
        ("install", {"packages": [], "repair": False}, False, None),
        ("switch-on", {"units": ["cron.service"], "repair": True}, True, "cron.service\n"),
        ("configure", {"planned": [{"path": "/a", "before": "", "after": "x\n"}]}, True, "x\n"),
        ("configure", {"planned": []}, False, None),
    ],
)
def test_each_step_of_a_baseline_is_shown_by_itself(action: str, seen: dict[str, Any], changed: bool, after: str | None) -> None:
    shown = bootstrap_verbs._shown(action, {"packages": [], "units": [], "planned": [], "repair": False, **seen})
    assert shown["changed"] is changed
    assert [one["after"] for one in shown["diff"]] == ([] if after is None else [after])
