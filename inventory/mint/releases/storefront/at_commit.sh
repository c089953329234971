#!/bin/sh
# Fails where a checkout that is named here is at another commit than the manifest's, or holds what was not committed.
commit=${CONTROLPLANE_RELEASE_COMMIT:?is not set: controlplane release recert sets it}
ends=0
for folder; do
    if ! head=$(git -C "$folder" rev-parse HEAD) || ! left=$(git -C "$folder" status --porcelain); then
        echo "$folder: nobody can tell its commit"
        ends=1
        continue
    fi
    case $head in
        "$commit"*) ;;
        *)
            echo "$folder is at $head, not at $commit, from which manifest $CONTROLPLANE_RELEASE_MANIFEST was built"
            ends=1
            ;;
    esac
    if [ -n "$left" ]; then
        echo "$folder holds what was not committed:"
        echo "$left"
        ends=1
    fi
done
exit $ends
