# What a removal leaves that was killed half-way: renamed aside, some of it gone.
mv /var/lib/old-root /var/lib/.controlplane-purging-old-root
rm /var/lib/.controlplane-purging-old-root/sub/file
