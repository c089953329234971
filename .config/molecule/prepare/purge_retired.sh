# What earlier runs retired: the variables name old-root, and nobody names kept-root. With fixed times the fingerprint is known.
recorded=sha256:8e28e40569470591bcbc06b1f9f937bf556d6c22888d5407153fff172e5fe37f
for root in /var/lib/old-root /var/lib/kept-root; do
  install -d -m 755 "$root" "$root/sub"
  printf kept > "$root/sub/file"
  chmod 644 "$root/sub/file"
  touch -d @1767225600 "$root/sub/file"
  touch -d @1767225600 "$root/sub"
  touch -d @1767225600 "$root"
done
install -d -m 700 /var/lib/controlplane
cat > /var/lib/controlplane/retired.json <<END
{"version": 1, "retired": [
 {"path": "/var/lib/kept-root", "run": "CAP-20250102-000000__docker.data_root__R0001", "retired_at": "2025-01-02T00:00:00Z",
  "size": 8192, "entries": 2, "recorded": "$recorded", "replaced_by": "/mnt/data/other"},
 {"path": "/var/lib/old-root", "run": "CAP-20250101-000000__docker.data_root__R0001", "retired_at": "2025-01-01T00:00:00Z",
  "size": 8192, "entries": 2, "recorded": "$recorded", "replaced_by": "/mnt/data/docker"}]}
END
