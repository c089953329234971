#!/bin/bash
set -euo pipefail
# What an earlier run retired; with fixed times its fingerprint is the one that the variables name.
install -d -m 755 /var/lib/old-root/sub
printf kept > /var/lib/old-root/sub/file
chmod 644 /var/lib/old-root/sub/file
chmod 755 /var/lib/old-root
touch -d @1767225600 /var/lib/old-root/sub/file
touch -d @1767225600 /var/lib/old-root/sub
touch -d @1767225600 /var/lib/old-root
install -d -m 700 /var/lib/controlplane
cat > /var/lib/controlplane/retired.json <<'EOF'
{"version": 1, "retired": [{"path": "/var/lib/old-root", "run": "CAP-20250101-000000__docker.data_root__R0001",
 "retired_at": "2025-01-01T00:00:00Z", "size": 8192, "entries": 2,
 "recorded": "sha256:8e28e40569470591bcbc06b1f9f937bf556d6c22888d5407153fff172e5fe37f", "replaced_by": "/mnt/data/docker"}]}
EOF
