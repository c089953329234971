"""Show what a file would become, as Ansible shows every other change, from texts that hold no secrets any more."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: target_run_preview
short_description: Show what a file would become
description:
  - Reads and writes nothing. The file itself may hold a password, so its texts come from the tool that planned the change, which took them out.
options:
  path: {description: the file, type: str, required: true}
  before: {description: its text now, type: str, required: true}
  after: {description: its text then, type: str, required: true}
author: controlplane
"""


def main() -> None:
    """Tell the change and its diff."""
    texts = {"path": {"type": "str", "required": True}, "before": {"type": "str", "required": True}, "after": {"type": "str", "required": True}}
    module = AnsibleModule(argument_spec=texts, supports_check_mode=True)
    path, before, after = (module.params[name] for name in ("path", "before", "after"))
    headers = {"before_header": path, "after_header": path}
    module.exit_json(changed=before != after, diff={**headers, "before": before, "after": after})


if __name__ == "__main__":
    main()
