# Nobody guards the mount.
rm /etc/systemd/system/docker.service.d/50-controlplane-mounts.conf
