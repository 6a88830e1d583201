#!/usr/bin/env bash
# Installs the system packages that building (`build`), testing (`test`) or making the container image (`image`) needs and
# that are missing: through apt when run as root, otherwise it says what to install. What only some tests need is never a reason to stop.
set -euo pipefail

missing=()
unless() { # unless PROBE... -- PACKAGE
    local probe=()
    while [ "$1" != -- ]; do probe+=("$1"); shift; done
    "${probe[@]}" >/dev/null 2>&1 || missing+=("$2")
}

required=true
for purpose in "$@"; do
    case $purpose in
        build)
            unless command -v cc -- gcc
            unless command -v make -- make
            # libgit2 reaches https and ssh remotes through the system's OpenSSL and zlib.
            unless command -v pkg-config -- pkg-config
            unless pkg-config --exists openssl -- libssl-dev
            unless pkg-config --exists zlib -- zlib1g-dev
            [ "$(uname)" != Linux ] || unless test -s /etc/ssl/certs/ca-certificates.crt -- ca-certificates
            ;;
        test)
            [ ${#missing[@]} -gt 0 ] || required=false
            unless command -v git -- git
            unless command -v ssh-keygen -- openssh-client
            unless command -v openssl -- openssl
            unless command -v scepclient -- scep
            # Installing a server package starts its service where systemd runs; no test is worth an open port.
            [ -d /run/systemd/system ] || unless test -x /usr/sbin/sshd -- openssh-server
            ;;
        image)
            # OpenSSL, which goes into the static binary, is configured by Perl programs beyond the minimal Perl.
            unless perl -MIPC::Cmd -MFindBin -e 1 -- perl
            unless command -v jq -- jq
            unless command -v strip -- binutils
            unless command -v git -- git
            unless test -s /etc/ssl/certs/ca-certificates.crt -- ca-certificates
            ;;
        *)
            echo "usage: $0 [build] [test] [image]" >&2
            exit 2
            ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing system packages: ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    if apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; then exit 0; fi
    echo "apt-get could not install: ${missing[*]}" >&2
else
    echo "Missing system packages (Debian's names): ${missing[*]}" >&2
    echo "Install them, for example: sudo apt-get install ${missing[*]}" >&2
fi
if $required; then exit 1; fi
echo "Going on: only some tests need them." >&2
