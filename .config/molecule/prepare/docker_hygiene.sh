# Two releases that nobody runs, one of which has two names, and a container with a log and a volume.
for release in 1 2; do
  echo "release $release" > /root/release
  tar -C /root -c release | docker import - "shop/app:$release"
done
docker tag shop/app:1 shop/app:first
docker run -d --name talks --init --log-driver json-file -v kept:/data lab/services:1 sh -c 'echo kept > /data/file; yes word | head -c 200000; exec sleep infinity'
log=$(docker inspect -f '{{.LogPath}}' talks)
for try in $(seq 50); do [ "$(stat -c %s "$log")" -lt 200000 ] || break; sleep 0.2; done
cat > /root/items.json << END
[{"kind": "image", "id": "$(docker image inspect -f '{{.Id}}' shop/app:1)", "name": "shop/app:1 shop/app:first", "size": 10},
 {"kind": "image", "id": "$(docker image inspect -f '{{.Id}}' shop/app:2)", "name": "shop/app:2", "size": 10},
 {"kind": "log", "id": "$log", "name": "talks", "size": 200000}]
END
sync
