#!/bin/sh
# The release in force: one that came over the air, else the packaged one.
current=/var/lib/allyarm-releases/current/bin/allyarm
if [ -x "$current" ]; then
    exec "$current" "$@"
fi
exec /usr/lib/allyarm/bin/allyarm "$@"
