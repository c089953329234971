# What earlier steps of a plan have done: the data disk is mounted, and Docker's guard waits for Docker.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
mkdir -p /mnt/data
chattr +i /mnt/data
mount -o noatime "$disk" /mnt/data
mkdir -p /etc/systemd/system/docker.service.d
printf '[Unit]\nRequiresMountsFor=/mnt/data\nAssertPathIsMountPoint=/mnt/data\n' > /etc/systemd/system/docker.service.d/50-controlplane-mounts.conf
systemctl daemon-reload
