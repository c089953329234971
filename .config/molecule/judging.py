"""What the scenarios' verifications share: the machine, and the product's own judgement of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".config/molecule" / ("site-vm" if os.environ.get("MOLECULE_LANE") == "vm" else "site")
SSH_CONFIG = "/var/lib/controlplane-lab/ssh_config"


def on_machine(script: str) -> str:
    """Run a shell script on the machine and return its output; it has to succeed."""
    done = subprocess.run(["ssh", "-F", SSH_CONFIG, "molecule", script], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def verdicts() -> dict[str, str]:
    """Audit the machine and return each surface's verdict."""
    command = [str(ROOT / ".venv/bin/controlplane"), "audit", "--site", str(SITE), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in {0, 3, 5}, done.stderr
    return {finding["surface"]: finding["verdict"] for finding in json.loads(done.stdout)["findings"]}
