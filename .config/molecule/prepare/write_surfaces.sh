# A container that Compose made and that keeps its uploads in its own layer, below a /tmp that holds more; the data disk is mounted and empty.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
mkdir -p /mnt/data /opt/stacks/page
echo "UUID=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=60s 0 2" >> /etc/fstab
systemctl daemon-reload
mount /mnt/data
cat > /opt/stacks/page/compose.yml << 'END'
name: page
services:
  page:
    image: lab/services:1
    container_name: page
    restart: unless-stopped
    init: true
    command: [sleep, infinity]   # serves nothing
END
docker compose -f /opt/stacks/page/compose.yml up --detach --wait
docker exec page sh -c 'mkdir /tmp/uploads && echo one > /tmp/uploads/one && chown -R 4242:4343 /tmp/uploads && echo other > /tmp/other'
sync
