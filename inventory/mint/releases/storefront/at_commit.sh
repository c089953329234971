#!/bin/sh
# Fails where a checkout that is named here is at another commit than the manifest's, or holds what was not committed; and where none is named.
commit=${CONTROLPLANE_RELEASE_COMMIT:?is not set: controlplane release recert sets it}
if [ $# -eq 0 ]; then
    echo "no folder is named, so nobody looked: name each checkout that the manifest was built from"
    exit 1
fi
# In a hook git names another repository, which it would look at whatever the folder.
unset $(git rev-parse --local-env-vars)
ends=0
for folder; do
    # Whatever git's settings on this machine leave out.
    if ! head=$(git -C "$folder" rev-parse HEAD) ||
        ! left=$(git -C "$folder" status --porcelain --untracked-files=all --ignore-submodules=none); then
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
