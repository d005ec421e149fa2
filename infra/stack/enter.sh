#!/bin/sh
# Run a command with a root file system prepared, in a mount namespace that ends with it.
# usage: enter.sh ROOT DATA COMMAND...   (DATA appears as ROOT/srv, the rest of ROOT is read-only)
set -eu
root=$1 data=$2
shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount --bind "$data" "$root/srv"
mount -o remount,bind,ro "$root"
exec "$@"
