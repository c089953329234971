"""Make a change on the target while the play that makes it holds the lease, and refuse it otherwise."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager

OPTION = {"fence": {"type": "list", "elements": "str", "required": True}}


@contextmanager
def held(module):
    """Keep the lease from being taken as long as the body runs; end the module where it is not this play's."""
    fence = module.params["fence"]
    if not fence:
        module.fail_json(msg="This play took no lease, so it changes nothing. Nothing was changed. Its first role has to be target_run.")
    # It holds on until this process closes its end of the pipe, or is killed.
    command = [*fence, "sh", "-c", "echo held; cat > /dev/null"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as keeper:
        said = keeper.stdout.readline()
        if said != "held\n":
            _, error = keeper.communicate()
            module.fail_json(msg=_message(said) or error.strip() or f"{' '.join(command)} ended with {keeper.returncode}. Nothing was changed.")
        try:
            yield
        finally:
            # Before its output, whose end it would take for a lost connection.
            keeper.stdin.close()
            keeper.wait()


@contextmanager
def unless_dry(module):
    """Do the same, but not in a dry run, which took no lease and changes nothing."""
    if module.check_mode:
        yield
        return
    with held(module):
        yield


def _message(said):
    try:
        return json.loads(said)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
