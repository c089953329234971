"""Run the command line: `python -m controlplane` or the installed `controlplane`."""

from __future__ import annotations

from controlplane.cli import main

if __name__ == "__main__":
    main()
