# The data disk's name on this machine, for what follows: by the file behind it, or by its serial. A machine has one kind of them only.
disk=/dev/$({ grep -lx "$SCENARIO_DISK" /sys/block/*/loop/backing_file /sys/block/*/serial 2>/dev/null || true; } | cut -d/ -f4)
