# A registry that holds a release, and the stack before it, which somebody brought up by tags; the data disk is mounted.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
mkdir -p /mnt/data /opt/stacks/till
echo "UUID=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=60s 0 2" >> /etc/fstab
systemctl daemon-reload
mount /mnt/data
mkdir /mnt/data/till
echo sold > /mnt/data/till/file
cat > /root/registry.yml << 'END'
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: "127.0.0.1:5000"}
END
systemd-run --quiet --unit=registry docker-registry serve /root/registry.yml
for try in $(seq 50); do ! bash -c 'exec 3<>/dev/tcp/127.0.0.1/5000' 2> /dev/null || break; sleep 0.2; done
health='HEALTHCHECK --interval=1s --retries=60 CMD bash -c "exec 3<>/dev/tcp/127.0.0.1/3341"'
for release in 0 1; do
  for name in till page; do
    container=$(docker create lab/services:1 true)
    docker commit --change "ENV RELEASE=$release" ${health:+--change "$health"} "$container" "127.0.0.1:5000/shop/$name:$release"
    docker rm "$container"
    docker push --quiet "127.0.0.1:5000/shop/$name:$release"
  done
done
printf '{"till": "%s", "page": "%s"}\n' $(docker image inspect -f '{{index .RepoDigests 0}}' 127.0.0.1:5000/shop/till:1 127.0.0.1:5000/shop/page:1) > /root/images.json
docker rmi 127.0.0.1:5000/shop/till:1 127.0.0.1:5000/shop/page:1
echo TAG=0 > /opt/stacks/till/.env
cat > /opt/stacks/till/compose.yml << 'END'
name: till   # as it was
services:
  till:
    image: 127.0.0.1:5000/shop/till:${TAG}
    container_name: till
    command: [serve-app, till, "3400"]
    restart: unless-stopped
    healthcheck: {disable: true}
    volumes: ["/mnt/data/till:/srv/till"]
  old: {image: "127.0.0.1:5000/shop/page:0", command: [serve-app, page, "3341"], restart: unless-stopped}
END
docker compose -f /opt/stacks/till/compose.yml up --detach
sha256sum /opt/stacks/till/.env /opt/stacks/till/compose.yml > /root/files
sync
