"""What a person waits for before the first word."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"ansible", "ansible_runner", "testinfra", "pytest", "pydantic", "yaml", "rich", "sqlalchemy", "alembic", "psycopg", "sqlite3"}


def test_help_loads_click_and_little_else() -> None:
    script = (
        "import sys\nsys.argv = ['controlplane', '--help']\n"
        "from controlplane.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Example: controlplane audit --target" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    assert "click" in loaded
    assert loaded & HEAVY == set()
