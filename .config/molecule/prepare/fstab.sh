# The data disk is mounted by hand; fstab does not know it yet.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
mkdir -p /mnt/data
chattr +i /mnt/data
mount -o noatime "$disk" /mnt/data
cp -a /etc/fstab /root/fstab.before
