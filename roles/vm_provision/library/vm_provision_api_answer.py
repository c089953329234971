"""Wait until a new machine on Proxmox VE runs, and its guest agent shows the host key that it was born with. Reads only."""

from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.vm_provision_proxmox import Node, ProxmoxError

DOCUMENTATION = r"""
module: vm_provision_api_answer
short_description: Wait until a new machine shows the host key that it was born with
description:
  - Waits for the machine to run, then asks its guest agent for the public host key. That way goes past the network, so it is a witness of its own.
options:
  id: {description: number of the machine, type: int, required: true}
  name: {description: name of the machine, type: str, required: true}
  hypervisor: {description: "api, node and token_id", type: dict, required: true}
  host_key: {description: public key that it was born with, type: str, required: true}
  wait_s: {description: how long it may take, in seconds, type: int, required: true}
author: controlplane
"""
_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
_PAUSE_S = 2
_LOOKS_STOPPED = 3


def answer(node, want):
    """Return why the machine is not as it should be, empty where it is."""
    ends, stopped, shown = time.monotonic() + want["wait_s"], 0, None
    while True:
        if not node.is_running(want["id"]):
            stopped = 0 if node.working(want["id"]) else stopped + 1
            if stopped >= _LOOKS_STOPPED:
                return f"does not run: its start ended with {node.last_end(want['id'], 'qmstart') or 'no word'}"
        else:
            text = node.guest_file(want["id"], _KEY_FILE)
            shown = " ".join(text.split()[:2]) if text is not None else shown
            if shown == want["host_key"]:
                return ""
        if time.monotonic() > ends:
            said = "its guest agent gave no answer: is it in the image?" if shown is None else f"its guest agent shows another host key, {shown}"
            return f"runs, but {said} Waited {want['wait_s']} s"
        time.sleep(_PAUSE_S)


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "int", "required": True},
            "name": {"type": "str", "required": True},
            "hypervisor": {"type": "dict", "required": True},
            # A public one.
            "host_key": {"type": "str", "required": True, "no_log": False},
            "wait_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    want = module.params
    try:
        why = answer(Node(want["hypervisor"]), want)
    except ProxmoxError as error:
        why = f"was made, but can't be asked: {error}"
    if why:
        module.fail_json(msg=f"{want['name']} {why}. Look at its console on {want['hypervisor']['node']}; a second run goes on from here.")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
