# There is a memory filesystem at the path.
sed -i 's/init: true/init: true\n    tmpfs: \/tmp\/uploads/' /opt/stacks/page/compose.yml
docker compose -f /opt/stacks/page/compose.yml up --detach --wait
