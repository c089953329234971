# Killed after the entry was written and before systemd read it.
echo "UUID=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=10s 0 2" >> /etc/fstab
