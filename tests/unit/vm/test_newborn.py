"""The floor that a newborn machine is measured against: apt's seconds, each once, whoever lets it work."""

from __future__ import annotations

from tests.vm.newborn import INSTALLATION, package_seconds


def journal(*spans: tuple[float, float]) -> str:
    lines = []
    for start, end in spans:
        lines += [
            f"{start:.6f} mint-data systemd[1]: Started {INSTALLATION} - /usr/bin/apt-get --quiet install.",
            f"{end:.6f} mint-data systemd[1]: {INSTALLATION}: Deactivated successfully.",
            f"{end:.6f} mint-data systemd[1]: {INSTALLATION}: Consumed 2min 3.0s CPU time.",
        ]
    return "\n".join(lines)


def test_what_is_read_beside_other_work_counts_as_by_itself() -> None:
    assert package_seconds(journal((150.0, 160.0), (161.0, 180.0)), "100.0 107.5") == 36.5


def test_seconds_in_which_both_work_count_once() -> None:
    assert package_seconds(journal((105.0, 120.0)), "100.0 107.5") == 20.0
    assert package_seconds(journal((101.0, 120.0)), "100.0 130.0") == 30.0
