# Two large files in /tmp that nobody wrote to for days, and one that nobody named.
mkdir -p /tmp/deep
for name in one deep/two other; do
  head -c 12000000 /dev/zero > "/tmp/$name"
  touch -d '3 days ago' "/tmp/$name"
done
name_for_removal() {
  python3 - "$@" > /root/items.json <<'END'
import json, os, sys
def item(path):
    info = os.lstat(path)
    return {"path": path, "mark": f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"}
print(json.dumps([item(path) for path in sys.argv[1:]]))
END
}
name_for_removal /tmp/one /tmp/deep/two
sync
