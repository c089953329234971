# The data disk's name on this machine, for what follows.
disk=/dev/$(grep -lx /var/lib/controlplane-lab/machines/molecule/data.img /sys/block/loop*/loop/backing_file | cut -d/ -f4)
