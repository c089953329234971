"""Packages by dpkg and apt: what is missing, what is half done, and an installation that ends well even where the connection does not.

A machine that was made here fetches its packages by itself from its first boot on (roles/vm_provision/module_utils/vm_provision_shape.py). That is a
saving and nothing else: what came of it is never relied on, and whatever is not there is fetched by the installation.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from .faults import FailedFault
from .state import Run
from .systemd import active, systemctl

UPDATES = Path("/var/lib/dpkg/updates")
# apt waits for dpkg's by itself; of that of its lists it only says that somebody else has it.
LOCKS, LOCK_WAIT_S = (Path("/var/lib/dpkg/lock-frontend"), Path("/var/lib/apt/lists/lock")), 300
_UNIT = "controlplane-vm-bootstrap.service"
# A new machine's own download, and what it leaves once all of apt's lists were read: a file as old as the moment in which the reading began.
PREFETCH_UNIT, LISTS_READ = "controlplane-prefetch.service", Path("/run/controlplane-prefetch/lists")
APT = Path("/etc/apt")
_PREFETCH_WAIT_S, _LISTS_AGE_S = 300, 3600


def _said(*argv: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env=environment)


def missing(names: list[str]) -> list[str]:
    """Return those that dpkg does not call wholly installed."""
    done = _said("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n", "--", *names) if names else None
    held = dict(line.split()[:2] for line in done.stdout.splitlines() if len(line.split()) > 1) if done else {}
    return [name for name in names if held.get(name) not in ("ii", "hi")]


def half_done() -> list[str]:
    """Return the packages that dpkg calls half installed, half configured or unpacked only, or where it was cut off itself. Raises `FailedFault` where it can't tell."""
    done = _said("dpkg", "--audit")
    # It ends with 1 where it found something.
    if done.returncode not in (0, 1):
        raise FailedFault(f"dpkg --audit ended with {done.returncode}: {done.stderr.strip()}")
    audit = done.stdout.strip()
    names = re.findall(r"^ (\S+)", audit, re.MULTILINE) or ([audit] if audit else [])
    # What dpkg had noted and not yet merged when it was cut off: no package is half done by it, and apt refuses all work until it is merged.
    noted = UPDATES.is_dir() and any(name.isdigit() for name in os.listdir(UPDATES))
    return names or ([str(UPDATES)] if noted else [])


def lock_fault(wait_s: float = LOCK_WAIT_S) -> str:
    """Wait until no other package manager works, as after an interruption, whose own work goes on for a while."""
    end = time.monotonic() + wait_s
    while fault := _at_work():
        if time.monotonic() > end:
            return f"{fault}, for {wait_s:.0f} s already: wait for it"
        time.sleep(0.5)
    return ""


def _at_work() -> str:
    # Between two programs, and while apt reads lists, an installation of ours holds no lock.
    if active(_UNIT):
        return f"{_UNIT}, an earlier attempt's, still installs"
    # It holds the lock for nobody's work, and the installation waits for it.
    if active(PREFETCH_UNIT):
        return ""
    for lock in LOCKS:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return f"another package manager holds {lock} ('fuser -v {lock}' tells who that is)"
        finally:
            os.close(descriptor)
    return ""


def _wait_for_prefetch(run: Run) -> None:
    """Wait until a new machine's own download has ended; one that takes longer is stopped, and apt goes on with what it brought."""
    if not active(PREFETCH_UNIT):
        return
    # Whoever asks what this run does is told so.
    run.write(package_unit=PREFETCH_UNIT)
    end = time.monotonic() + _PREFETCH_WAIT_S
    while active(PREFETCH_UNIT):
        if time.monotonic() > end:
            systemctl("stop", PREFETCH_UNIT, check=False)
            break
        time.sleep(1)
    run.write(package_unit=None)


def _lists_are_read(now: float) -> bool:
    """Say whether a new machine's own download read all of apt's lists a while ago, and nothing by which apt finds them was changed since."""
    try:
        read_at = LISTS_READ.stat().st_mtime
        changed_at = max(path.lstat().st_ctime for path in (APT, *APT.rglob("*")))
    except OSError:
        return False
    return changed_at < read_at <= now <= read_at + _LISTS_AGE_S


def forget_lists() -> None:
    """Have the next installation read apt's lists anew."""
    LISTS_READ.unlink(missing_ok=True)


def _as_unit(run: Run, *argv: str, must_end_well: bool = True) -> None:
    """Run a program of the package manager as a unit of its own, which ends well even where the connection does not. Raises `FailedFault`."""
    log = run.folder / "apt.log"
    before = log.stat().st_size if log.exists() else 0
    unit = ["systemd-run", "--quiet", "--collect", "--wait", f"--unit={_UNIT}", "--setenv=DEBIAN_FRONTEND=noninteractive", "--setenv=LC_ALL=C.UTF-8"]
    # Nobody stops it, as is done to a `unit`: half of an installation is no way back.
    run.write(package_unit=_UNIT)
    done = subprocess.run(
        [*unit, f"--property=StandardOutput=append:{log}", f"--property=StandardError=append:{log}", "--", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    run.write(package_unit=None)
    if done.returncode != 0 and must_end_well:
        said = log.read_bytes()[before:].decode(errors="replace") if log.exists() else ""
        told = " ".join(line for line in said.splitlines() if line.startswith(("E:", "dpkg: ", "W: Failed"))) or done.stderr.strip()
        raise FailedFault(
            f"{argv[0]} ended with {done.returncode}: {told[-600:]}. The files are written, and packages may be half done; all it said is in {log}. "
            f"Mend what it names, then plan again. Go back: {run.folder}/undo"
        )


def install(run: Run, names: list[str], *, repair: bool) -> dict[str, Any]:
    """Bring the packages that are missing; finish first what an earlier run left half done. Raises `FailedFault`."""
    keep = ("--force-confdef", "--force-confold")
    lacking = missing(names)
    if lacking or repair:
        _wait_for_prefetch(run)
    if repair:
        # A package that was unpacked before what it depends on can't be configured by dpkg alone; apt, below, brings the rest.
        _as_unit(run, "dpkg", *keep, "--configure", "-a", must_end_well=False)
        lacking = missing(names)
    broken = repair and bool(half_done())
    if lacking or broken:
        options = [f"--option=Dpkg::Options::={option}" for option in keep] + [f"--option=DPkg::Lock::Timeout={LOCK_WAIT_S}"]
        if not _lists_are_read(time.time()):
            if locked := lock_fault():
                raise FailedFault(f"{locked}. The files are written, and no package was changed; then run this again. Go back: {run.folder}/undo")
            _as_unit(run, "apt-get", "--quiet", *options, "update")
        # What another package would push out is no business of a bootstrap.
        install = ["apt-get", "--quiet", "--yes", "--no-remove", "--no-install-recommends", *options, "install"]
        if broken:
            _as_unit(run, *install, "--fix-broken")
        if lacking:
            _as_unit(run, *install, "--", *lacking)
    return {"changed": bool(lacking) or repair, "installed": lacking}
