# Somebody changed the file and has not brought the container up to it.
sed -i 's/container_name: cache/container_name: cache\n    environment: {TZ: UTC}/' /opt/stacks/cache/compose.yml
