# Docker on the boot disk, with one container, its data and a setting of somebody's; the data disk is mounted and empty.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
mkdir -p /mnt/data
mount -o noatime "$disk" /mnt/data
docker run -d --name writer -v writer:/data lab/services:1 sh -c 'trap "exit 0" TERM; echo kept > /data/file; while :; do sleep 1; done'
mkdir -p /etc/docker
printf '{"max-concurrent-downloads": 7}' > /etc/docker/daemon.json
systemctl restart docker
docker start writer
