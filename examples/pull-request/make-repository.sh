#!/bin/sh
# Makes a git repository in DIR with two commits: before and after. The fleet lies beside them, not in git.
set -eu
if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
example=$(cd "$(dirname "$0")" && pwd)
git init --quiet "$1"
cd "$1"
git symbolic-ref HEAD refs/heads/main
commit() {
    rm -rf fleet
    cp -R "$example/$1/fleet" fleet
    git add --all fleet
    git -c user.name=Example -c user.email=example@provost.dev commit --quiet --message "$2"
}
commit before "The standard of the studio"
commit after "Encrypt disks, longer passwords, macOS 26"
cp "$example/devices.json" .
