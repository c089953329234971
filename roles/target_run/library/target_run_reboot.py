#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""What the action `target_run_reboot` takes; the action itself lies in ../action_plugins and copies nothing to the target."""

from __future__ import annotations

DOCUMENTATION = r"""
module: target_run_reboot
short_description: Reboot a host that runs systemd, and wait until it is back
description:
  - C(ansible.builtin.reboot) without its gathering of facts, which costs a slow machine ten seconds, and asking each second.
options:
  reboot_command: {description: an absolute command and its arguments, type: str, required: true}
  reboot_timeout: {description: seconds until the host has to be back, type: int, default: 600}
  connect_timeout: {description: seconds that one attempt to connect may take, type: int}
  post_reboot_delay: {description: seconds to wait before the first attempt, type: int, default: 0}
author: controlplane
"""
