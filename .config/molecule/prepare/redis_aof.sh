# A Redis that Compose made, with a dump and without an append-only file.
mkdir -p /opt/stacks/cache
cat > /opt/stacks/cache/compose.yml << 'END'
# the cache
name: cache
services:
  redis:
    image: lab/services:1
    container_name: cache
    command: [redis-server, --dir, /data]   # plain
    volumes: [data:/data]
volumes: {data: {}}
END
docker compose -f /opt/stacks/cache/compose.yml up --detach --wait
docker exec cache redis-cli mset one 1 two 2 three 3
docker exec cache redis-cli save
