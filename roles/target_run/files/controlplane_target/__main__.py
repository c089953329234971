"""`python3 …/controlplane_target VERB …`: JSON on standard output, one message on standard error; 0 done, 4 refused, 1 failed."""

import sys
from pathlib import Path

# A directory that is run puts itself on the path; the package lies one above.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from controlplane_target.verbs import main  # noqa: E402 - the path has to be set first

sys.exit(main(sys.argv[1:]))
