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
    ("seen", "shown"),
    [
        ({}, []),
        ({"packages": ["tini"]}, [("packages", "tini\n")]),
        ({"repair": True}, [("packages", "what dpkg left half done, finished\n")]),
        ({"units": ["cron.service"]}, [("units that are on", "cron.service\n")]),
        ({"planned": [{"path": "/a", "before": "", "after": "x\n"}]}, [("/a", "x\n")]),
        (
            {"units": ["cron.service"], "packages": ["tini"], "repair": True, "planned": [{"path": "/a", "before": "", "after": "x\n"}]},
            [("/a", "x\n"), ("packages", "what dpkg left half done, finished\ntini\n"), ("units that are on", "cron.service\n")],
        ),
    ],
)
def test_each_step_of_a_baseline_is_shown_by_itself(seen: dict[str, Any], shown: list[tuple[str, str]]) -> None:
    told = bootstrap_verbs._shown({"packages": [], "units": [], "planned": [], "repair": False, **seen})
    assert told["changed"] is bool(shown)
    assert [(one["after_header"], one["after"]) for one in told["diff"]] == shown
