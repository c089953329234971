"""Ask a new machine over the network for its host key, and say whether it is the one that it was born with. Reads only."""

from __future__ import annotations

import subprocess
import time

from ansible.module_utils import vm_provision_want as asked
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: vm_provision_answer
short_description: Ask a new machine for its host key
description:
  - Finds the machine's address (the declared one, or that of its lease, its guest agent or the neighbour table) and asks its SSH server for its key,
    again and again until it is the right one or C(wait_s) are over.
  - Answers with C(state) C(silent) where nothing is heard yet, C(right), or C(wrong) with what was offered.
options:
  name: {description: name of the machine, type: str, required: true}
  uri: {description: libvirt's URI, type: str, required: true}
  address: {description: declared address or dhcp, type: str, required: true}
  host_key: {description: public key that it was born with, type: str, required: true}
  wait_s: {description: how long to ask, in seconds, type: int, required: true}
author: controlplane
"""
_SECONDS = 5
_AGAIN_S = 0.5


def addresses(libvirt, name, declared):
    """Return where the machine may be reached."""
    if declared != "dhcp":
        return [declared.partition("/")[0]]
    found = []
    for source in ("lease", "agent", "arp"):
        try:
            rows = libvirt.virsh("domifaddr", name, "--source", source).splitlines()
        except asked.LibvirtError:
            continue  # without a lease or an agent there may still be a neighbour
        found += [row.split()[-1].partition("/")[0] for row in rows if len(row.split()) == 4 and row.split()[0] != "lo"]
    return list(dict.fromkeys(each for each in found if not each.startswith(("127.", "::1", "fe80:"))))


def offered(address):
    """Return the ed25519 key that an address offers, empty where nothing answers."""
    argv = ["ssh-keyscan", "-T", str(_SECONDS), "-t", "ed25519", "--", address]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    rows = [line.split() for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return next((f"{row[1]} {row[2]}" for row in rows if len(row) >= 3), "")


def ask(libvirt, want):
    """Return whom it asked and what was heard, as soon as the right key is among it."""
    ends = time.monotonic() + want["wait_s"]
    while True:
        places = addresses(libvirt, want["name"], want["address"])
        heard = {place: key for place in places if (key := offered(place))}
        if want["host_key"] in heard.values() or time.monotonic() > ends:
            return places, heard
        time.sleep(_AGAIN_S)


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "uri": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            # A public one.
            "host_key": {"type": "str", "required": True, "no_log": False},
            "wait_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    want = module.params
    try:
        places, heard = ask(asked.Libvirt(want["uri"]), want)
    except (asked.LibvirtError, OSError) as error:
        module.fail_json(msg=str(error))
    right = [place for place, key in heard.items() if key == want["host_key"]]
    state = "right" if right else "wrong" if heard else "silent"
    # Somebody else's answer at a declared address is final; at one of several that were found, the machine may still come.
    module.exit_json(changed=False, state=state, address=right[0] if right else "", heard=heard, asked=places)


if __name__ == "__main__":
    main()
