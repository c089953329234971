"""Make a machine up to its first start, go on with one that an interrupted run left half made, or attach disks that one lacks."""

from __future__ import annotations

import re
import secrets
import uuid
import xml.etree.ElementTree as ET

from ansible.module_utils import vm_provision_birth as birth
from ansible.module_utils import vm_provision_fence as fence
from ansible.module_utils import vm_provision_judge as judge
from ansible.module_utils import vm_provision_seed as seed
from ansible.module_utils import vm_provision_shape as shape
from ansible.module_utils import vm_provision_want as asked
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: vm_provision_make
short_description: Make a machine up to its first start
description:
  - Defines the domain first, with a UUID of its own, so that its name is claimed or refused in one step; then volumes, seed, start at boot, start.
  - Marks in the domain's metadata say how far it is. Only a volume that they call half made is made again; nothing else is ever removed.
  - A volume is called half made from the moment before it is made, and no longer where it turns out that somebody else made it.
  - Of a machine that is there already only missing data disks are attached, as they are asked for.
  - Says C(is_there) where the machine is nobody's half-made work, so that nobody has to wait for it, and else the C(host_key) that it is born with.
  - Its C(answer) goes into the run's receipt. It holds what was done, and whether that went on with what an earlier run had left half made.
options:
  name: {description: name of the machine, type: str, required: true}
  hypervisor: {description: "kind, uri and accelerator", type: dict, required: true}
  cores: {description: virtual cores, type: int, required: true}
  memory: {description: memory in bytes, type: int, required: true}
  boot: {description: "boot disk: image or template, size, storage, volume", type: dict, required: true}
  disks: {description: "data disks: serial, size, storage, volume", type: list, elements: dict, required: true}
  network: {description: "network or bridge, vlan", type: dict, required: true}
  address: {description: "address, gateway, nameservers", type: dict, required: true}
  user: {description: login that cloud-init makes, type: str, required: true}
  ssh_keys: {description: public keys that may log in, type: list, elements: str, required: true}
  agent: {description: whether there is a channel to a guest agent, type: bool, required: true}
  prefetch: {description: packages that it fetches at its first boot, type: list, elements: str, default: []}
  existing: {description: whether the plan was made for a machine that is there, type: bool, required: true}
  run: {description: key of the run, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""
# How virsh says that somebody else was quicker: libvirt by its book, by the path, and the system.
_EXISTS = re.compile(r"exists already|already exists|File exists")


class Making:
    """One machine on the way; `done` says what was changed, in the order in which it was, `left_by` whose half-made work is gone on with."""

    def __init__(self, want, check):
        """Look at what is there."""
        self.want = want
        self.check = check
        self.libvirt = asked.libvirt_of(want)
        self.domain = self.libvirt.domain(want["name"])
        self.pools = self.libvirt.pools()
        self.marks = dict(self.domain["volumes"]) if self.domain else {}
        self.left_by = judge.left_by(self.domain)
        self.done, self.again = [], []

    def make(self):
        """Bring the machine from wherever it is to running."""
        if self.domain is None:
            self.define()
        if not self.domain["started"]:
            key = self.key()
            for storage, volume, size in shape.volumes_of(self.want):
                self.volume(storage, volume, size, self.copied if volume == self.want["boot"]["volume"] else self.blank)
            self.seed(key)
        if not self.domain["autostart"]:
            self.say("is started at each boot")
            self.act("autostart", self.want["name"])
        if self.domain["state"] != "running":
            self.say("started")
            if not self.check:
                # Before, not after: from the first start on its volumes are never touched again.
                self.mark(started=True)
                self.libvirt.virsh("start", self.want["name"])

    def act(self, *words, stdin=None):
        """Let virsh do something, in earnest only."""
        if not self.check:
            self.libvirt.virsh(*words, stdin=stdin)

    def say(self, what):
        """Note what is changed."""
        self.done.append(what)

    def define(self):
        """Claim the name: libvirt refuses a second domain of it, because the UUID is a new one."""
        want, identity = self.want, str(uuid.uuid4())
        mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        formats = {storage: shape.volume_format(self.pools[storage]["kind"]) for storage, _, _ in shape.volumes_of(want)}
        self.say(f"defined with {want['cores']} cores, {want['memory'] // 1024**2} MiB")
        self.domain = {"uuid": identity, "mac": mac, "run": want["run"], "made": False, "started": False, "host_key": ""}
        self.domain.update(autostart=False, state="shut off", birth=birth.birth(want))
        if self.check:
            return
        folder = seed.key_folder(asked.HOME, want["run"])
        self.domain["host_key"] = seed.host_key(folder) or seed.make_host_key(folder, want["name"])
        mark = self.machine_mark(started=False)
        self.libvirt.virsh("define", "/dev/stdin", stdin=shape.domain_xml(want, formats, uuid=identity, mac=mac, mark=mark))

    def mark(self, *, started):
        """Write whose the machine is, and which host key it is born with."""
        self.libvirt.set_mark(self.want["name"], shape.MACHINE, self.machine_mark(started=started), running=self.domain["state"] == "running")

    def machine_mark(self, *, started):
        """Return the mark of the machine as it is on the way."""
        domain = self.domain
        return shape.machine_mark(domain["run"], made=False, started=started, host_key=domain["host_key"], birth=domain["birth"])

    def key(self):
        """Return the folder of the host key that the metadata names; a key that was lost before the first start is replaced in both places."""
        folder = seed.key_folder(asked.HOME, self.domain["run"])
        if self.check:
            return folder
        there = seed.host_key(folder)
        if not there:
            there = seed.make_host_key(folder, self.want["name"])
        if there != self.domain["host_key"]:
            self.domain["host_key"] = there
            seed_place = (self.want["boot"]["storage"], shape.seed_volume(self.want["name"]))
            if seed_place in self.marks:
                self.note_volume(*seed_place, "making")
            self.mark(started=False)
        return folder

    def note_volume(self, storage, volume, state):
        """Write how far a volume is; without a state, that it is none of ours."""
        self.marks[(storage, volume)] = state
        if state is None:
            del self.marks[(storage, volume)]
        running = self.domain["state"] == "running"
        self.libvirt.set_mark(self.want["name"], shape.VOLUMES, shape.volumes_mark(self.marks), running=running)

    def volume(self, storage, volume, size, make):
        """Have one volume whole: made, or what an interrupted run left of it made again."""
        # Looked at right now: while another volume was copied, for minutes, somebody may have made one of this name.
        state, there = self.marks.get((storage, volume)), self.libvirt.has_volume(storage, volume)
        if there and state == "whole":
            return
        if there and state is None:
            raise asked.LibvirtError(f"volume {volume} appeared in {storage}, and no run here made it: look at what it holds, then move it away")
        self.say(f"volume {volume} in {storage}: {size} bytes")
        if self.check:
            return
        if there:
            self.libvirt.remove_volume(storage, volume)
            self.again.append(f"{storage}/{volume}")
        self.note_volume(storage, volume, "making")
        try:
            make(storage, volume, size)
        except asked.LibvirtError as error:
            self.disown(storage, volume, error)
            raise
        self.note_volume(storage, volume, "whole")

    def disown(self, storage, volume, error):
        """Take the mark back from a volume that could not be made: whatever comes to lie there is somebody else's, and no later run may remove it."""
        try:
            if _EXISTS.search(str(error)) or not self.libvirt.has_volume(storage, volume):
                self.note_volume(storage, volume, None)
        except asked.LibvirtError as again:
            left = f"the machine's metadata still call {volume} in {storage} half made ({again}): a second run would make it again"
            raise asked.LibvirtError(f"{error}; and {left}. If it is not this machine's, move it away first") from None

    def blank(self, storage, volume, size):
        """Make a blank volume."""
        self.libvirt.create_volume(storage, volume, size, shape.volume_format(self.pools[storage]["kind"]))

    def copied(self, storage, volume, size):
        """Make the boot disk's volume from the image or the template."""
        source = asked.source_of(self.libvirt, self.want, self.pools)
        if source["size"] is None:
            raise asked.LibvirtError(source["why"])
        kind = shape.volume_format(self.pools[storage]["kind"])
        self.libvirt.copy_volume(storage, volume, size, kind, source_pool=source["pool"], source=source["volume"])

    def seed(self, folder):
        """Make the disk that cloud-init reads."""

        def fill(storage, volume, _size):
            path = seed.make_seed(folder, self.want, uuid=self.domain["uuid"], mac=self.domain["mac"], tool=asked.iso_tool())
            self.libvirt.create_volume(storage, volume, path.stat().st_size, "raw")
            self.libvirt.upload(storage, volume, str(path))
            path.unlink()

        self.volume(self.want["boot"]["storage"], shape.seed_volume(self.want["name"]), 0, fill)

    def complete(self):
        """Attach what a machine that is there lacks."""
        for disk in judge.lacking_disks(self.want, self.domain):
            self.volume(disk["storage"], disk["volume"], disk["size"], self.blank)
            self.attach(disk)

    def attach(self, disk):
        """Attach one disk, where it runs and where it is kept."""
        now, kept = ({each["serial"] for each in disks} for disks in (self.domain["disks"], self.domain["kept"]))
        running = self.domain["state"] == "running"
        where = [] if disk["serial"] in kept else ["--config"]
        where += ["--live"] if running and disk["serial"] not in now else []
        self.say(f"disk {disk['serial']} attached")
        taken = {each["device"] for each in (*self.domain["disks"], *self.domain["kept"])}
        device = next(name for name in map(shape.data_device, range(24)) if name not in taken)
        self.domain["disks"].append({"serial": disk["serial"], "device": device})
        kind = shape.volume_format(self.pools[disk["storage"]]["kind"])
        element = shape.disk_element(disk["storage"], disk["volume"], kind, device, serial=disk["serial"])
        self.act("attach-device", self.want["name"], "/dev/stdin", *where, stdin=ET.tostring(element, encoding="unicode"))


def told_of(making):
    """Return what a person is told of it afterwards, also where it broke off."""
    told = {"done": list(making.done)}
    if making.left_by:
        told["went_on_with"] = making.left_by
        what = "; ".join(making.done) or "it was started already, and only waited for"
        told["notes"] = [f"went on with what run {making.left_by} left half made: {what}"]
    if making.again:
        told["removed"] = list(making.again)
        told.setdefault("notes", []).append(f"removed what was half made, and made it again: {', '.join(making.again)}")
    return told


def main():
    """Answer the task."""
    module = AnsibleModule(argument_spec={**asked.SPEC, **fence.OPTION}, supports_check_mode=True)
    making = None
    try:
        with fence.unless_dry(module), asked.alone(module.params["name"]):
            making = Making(module.params, module.check_mode)
            if judge.is_foreign(module.params, making.domain):
                raise asked.LibvirtError("a machine of this name appeared, and no run here made it")
            if judge.is_there(making.domain):
                making.complete()
            else:
                making.make()
    except (asked.LibvirtError, OSError, ValueError) as error:
        so_far = "; ".join(making.done) if making and making.done else "nothing was changed"
        answer = {"answer": {"told": told_of(making)}} if making else {}
        module.fail_json(msg=f"{module.params['name']}: {error}. So far: {so_far}. A second run goes on from here.", **answer)
    name = module.params["name"]
    diff = {"before": "", "after": "".join(f"{name}: {each}\n" for each in making.done)}
    born = {"is_there": judge.is_there(making.domain), "host_key": making.domain["host_key"]}
    module.exit_json(changed=bool(making.done), done=making.done, diff=diff, answer={"told": told_of(making)}, **born)


if __name__ == "__main__":
    main()
