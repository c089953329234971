# What a removal leaves that was killed half-way: noted in its run's journal, renamed aside, some of it gone.
journal=/var/lib/controlplane/CAP-20260101-000000__storage.purge__R0001
install -d -m 700 "$journal"
cat > "$journal/state.json" <<END
{"run": "CAP-20260101-000000__storage.purge__R0001", "role": "purge_retired", "phase": "purging", "unit": null, "purging": [
 {"path": "/var/lib/old-root", "run": "CAP-20250101-000000__docker.data_root__R0001", "retired_at": "2025-01-01T00:00:00Z",
  "size": 8192, "entries": 2, "recorded": "$recorded", "replaced_by": "/mnt/data/docker",
  "inode": $(stat -c %i /var/lib/old-root), "generation": $(lsattr -dv /var/lib/old-root 2>/dev/null | awk '{print $1}' | grep . || echo null), "newest_ns": 1767225600000000000}]}
END
mv /var/lib/old-root /var/lib/.controlplane-purging-old-root
rm /var/lib/.controlplane-purging-old-root/sub/file
