"""Try whether a machine would really run with an accelerator: that /dev/kvm is there proves nothing."""

from __future__ import annotations

import json
import subprocess
import time
import xml.etree.ElementTree as ET

from ansible.module_utils.vm_provision_libvirt import LibvirtError

# Time in which a processor that can't run says so.
_RUNS_S = 1.0
_LIMIT_S = 30


def accelerator_fault(libvirt, accelerator):
    """Return why machines of this kind can't run here, empty where they can."""
    try:
        capabilities = ET.fromstring(libvirt.virsh("domcapabilities", "--virttype", accelerator, "--arch", "x86_64", "--machine", "q35"))  # noqa: S314 - libvirt's own
    except LibvirtError as error:
        return f"libvirt makes no machine of type {accelerator} here ({error})"
    if accelerator == "qemu":
        return ""
    emulator = capabilities.findtext("path") or "qemu-system-x86_64"
    said = try_machine([emulator, "-accel", accelerator, "-machine", "q35", "-m", "64", "-nodefaults", "-display", "none", "-qmp", "stdio"])
    return f"a machine with {accelerator} was tried and does not run: {said}" if said else ""


def try_machine(argv):
    """Start an empty machine for a moment; return what went wrong, empty where its processor ran."""
    try:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        return f"{argv[0]} can't be started: {error.strerror}"
    try:
        try:
            process.stdin.write('{"execute": "qmp_capabilities"}\n')
            process.stdin.flush()
            time.sleep(_RUNS_S)
            out, err = process.communicate('{"execute": "query-status"}\n{"execute": "quit"}\n', timeout=_LIMIT_S)
        except BrokenPipeError:
            out, err = process.communicate(timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        return "it did not answer"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return judge_answers(out, err)


def judge_answers(out, err):
    """Return what the monitor's answers and the error output say against the machine, empty where it was running."""
    for line in out.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        status = answer.get("return", {}).get("status") if isinstance(answer.get("return"), dict) else None
        if status == "running":
            return ""
        if status is not None:
            return f"its state was {status}"
    return " ".join(err.split())[:300] or "it ended at once"
