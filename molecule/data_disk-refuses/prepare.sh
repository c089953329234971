#!/bin/bash
set -euo pipefail
disk=/dev/$(grep -lx /var/lib/controlplane-lab/machines/molecule/data.img /sys/block/loop*/loop/backing_file | cut -d/ -f4)
mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 "$disk"
sha256sum "$disk" > /root/before
