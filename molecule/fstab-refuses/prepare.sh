# Another filesystem than the entry says, under the same UUID, and not mounted.
umount /mnt/data
mkfs.xfs -q -f -m uuid=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
