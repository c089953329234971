#!/bin/bash
set -euo pipefail
disk=/dev/$(grep -lx /var/lib/controlplane-lab/machines/molecule/data.img /sys/block/loop*/loop/backing_file | cut -d/ -f4)
echo "$disk is blank"
