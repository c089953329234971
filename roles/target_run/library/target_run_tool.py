#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""What the action `target_run_tool` takes and returns; the action itself lies in ../action_plugins and copies nothing to the target."""

from __future__ import annotations

DOCUMENTATION = r"""
module: target_run_tool
short_description: Run a verb of the run's own tool on the target
description:
  - Runs C(<folder>/controlplane_target), which the role target_run laid down, with one round trip.
  - A module costs several, and a fresh start of Ansible's own code on the target each time, which on a slow machine takes seconds.
options:
  words:
    description: The verb and its own words, such as C([fstab, look]). The run's key and the play's claim are added.
    type: list
    elements: str
    required: true
  request:
    description: What the verb is asked, on its standard input as JSON.
    type: dict
  changes:
    description:
      - Whether the verb changes the host. Then it works under the play's lease, and only as long as somebody reads its answer.
      - In a dry run it gets C(--check) in place of the lease.
    type: bool
    default: false
  releases:
    description:
      - Whether the lease is given back once a verb that only looks has found nothing amiss, as the play's last one.
    type: bool
    default: false
  told:
    description:
      - A file on the controller, C({host: {service: {"password"}}}) as JSON, whose part for this host is added to what the verb is asked.
    type: path
  lay_down:
    description: What is laid down before, by C(program), as the role target_run does it. The verb is C(command) then.
    type: dict
    suboptions:
      program: {description: the text of lay_down.py, type: str}
      folder: {description: the run's own folder, type: path}
      files: {description: file name to text, type: dict}
      yaml: {description: whether PyYAML is laid down beside them, type: bool}
  command:
    description: How the tool is run, where no play has taken its lease yet.
    type: list
    elements: str
attributes:
  check_mode: {support: full, description: what changes the host is told to show it}
  diff_mode: {support: full, description: verbs give their own}
author: controlplane
"""

EXAMPLES = r"""
- name: refuse | Look at fstab and say no before anything changes
  target_run_tool:
    words: [fstab, look]
    request: {entries: "{{ fstab_entries }}"}
  register: __fstab_seen
"""

RETURN = r"""
answer:
  description: What the verb answered, without its C(diff), which C(--diff) shows.
  type: dict
  returned: always
rc:
  description: How the tool ended. 4 where it refused, and then nothing was changed.
  type: int
  returned: always
stderr:
  description: Its own words on that; the task's C(msg) has them too.
  type: str
  returned: always
"""
