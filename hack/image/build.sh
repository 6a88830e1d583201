#!/usr/bin/env bash
# Builds the container image of Provost without a container daemon, and without root.
#
#   hack/image/build.sh                  what `make image` does: the release profile
#   hack/image/build.sh --profile dev    what the tests read back: compiled without optimising
#
# Writes into target/image (below $CARGO_TARGET_DIR where that is set), for the machine's own architecture:
#   provost-VERSION.oci             an OCI image layout, with the tag VERSION
#   provost-VERSION.oci.tar         the same in one file
#   provost-VERSION.sbom.cdx.json   the SBOM, as it also lies in the image
# and prints the path of the layout; progress goes to standard error. Another profile than release is part of the name.
# The same commit gives the same digest. IMAGE_SOURCE becomes the label org.opencontainers.image.source.
# Exits with 3 where a tool is missing, so that callers can leave tests out and say so.
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$tree"

say() { echo "image: $*" >&2; }
unable() {
    say "$*"
    exit 3
}

profile=release
case "$*" in
    "") ;;
    "--profile dev" | "--profile release") profile=$2 ;;
    *)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac

[ "$(uname)" = Linux ] || unable "images are built on Linux"
case $(uname -m) in
    x86_64) triple=x86_64-unknown-linux-gnu platform=amd64 ;;
    aarch64) triple=aarch64-unknown-linux-gnu platform=arm64 ;;
    *) unable "no image for $(uname -m): x86-64 and arm64 only" ;;
esac
for tool in cc make perl jq strip git; do
    command -v "$tool" >/dev/null || unable "'$tool' is missing: hack/system-packages.sh build image"
done
tar --version | grep -q GNU || unable "GNU tar is needed"
authorities=/etc/ssl/certs/ca-certificates.crt
[ -s "$authorities" ] || unable "$authorities is missing: install ca-certificates"
getconf GNU_LIBC_VERSION >/dev/null 2>&1 || unable "the static binary needs glibc"
umoci=$(hack/tools.sh umoci)
cyclonedx=$(hack/tools.sh cargo-cyclonedx)

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
revision=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || revision+=-modified
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
name=provost-$version
[ "$profile" = release ] || name+=-$profile

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/image
mkdir -p "$out"
# Filled beside its place and moved there, so that a broken image is never taken for a whole one.
work=$(mktemp -d "$out/.unfinished.XXXXXX")
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT

# --- the binary: static, position independent, and without a word about the machine that built it
say "compiling ($profile)"
# With --target, build scripts and procedural macros are compiled as ever: these flags are for the binary alone.
flags="-C target-feature=+crt-static -C relocation-model=pie"
# A static binary cannot look at run time whether glibc has getrandom, and would want /dev/urandom: it has.
flags+=" --cfg getrandom_backend=\"linux_getrandom\""
flags+=" --remap-path-prefix=$target=/usr/src/target --remap-path-prefix=$tree=/usr/src/provost"
flags+=" --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/usr/src/cargo"
variable=${triple^^}
quiet=()
[ "$profile" = release ] || quiet=(--quiet)
env -u RUSTFLAGS "CARGO_TARGET_${variable//-/_}_RUSTFLAGS=$flags" CARGO_TARGET_DIR="$target" \
    cargo build "${quiet[@]}" --locked --profile "$profile" --features static --target "$triple" --bin provost >&2
folder=$profile
[ "$profile" != dev ] || folder=debug
mkdir "$work/program" "$work/system"
strip -o "$work/provost" "$target/$triple/$folder/provost"

# --- the SBOM: the crates of this very binary, and what comes from the system
say "writing the SBOM"
# It is written beside the manifest, so it gets one outside the tree.
mkdir "$work/manifest"
for file in Cargo.toml Cargo.lock src tests benches; do ln -s "$tree/$file" "$work/manifest/$file"; done
"$cyclonedx" cyclonedx --quiet --manifest-path "$work/manifest/Cargo.toml" --format json --spec-version 1.5 \
    --features static --target "$triple" --override-filename sbom >&2
package() { # package NAME VERSION DEBIAN-PACKAGE: a component that is no crate, with its version in Debian where that is known
    local debian
    debian=$(dpkg-query --show --showformat '${Version}' "$3" 2>/dev/null || true)
    jq -n --arg name "$1" --arg version "${debian:-$2}" --arg package "$3" --arg known "$debian" \
        '{type: "library", "bom-ref": "system#\($name)", name: $name, version: $version, scope: "required"}
         + if $known == "" then {} else {purl: "pkg:deb/debian/\($package)@\($version | @uri)"} end'
}
# A build script compiles openssl-src into the binary: it is a dependency of the build, and part of what runs.
jq --argjson glibc "$(package glibc "$(getconf GNU_LIBC_VERSION | sed 's/glibc //')" libc6-dev)" \
    --argjson authorities "$(package ca-certificates unknown ca-certificates)" \
    --arg made_at "path+file://$work/manifest#" '
    .components += [$glibc, $authorities]
    | (.components[] | select(.name == "openssl-src") | .scope) = "required"
    | (.. | strings | select(startswith($made_at))) |= ltrimstr($made_at)
    ' "$work/manifest/sbom.json" >"$work/sbom.cdx.json"

# --- two layers: what seldom changes and bears no date, so that it is the same in many versions; and the program
layer() { # layer TIME OPTION...
    local time=$1
    shift
    tar --create --format=ustar --sort=name --mtime="@$time" --numeric-owner "$@"
}
root=(--owner=0 --group=0)
nonroot=(--owner=65532 --group=65532)

cd "$work/system"
install -d -m 755 etc etc/ssl etc/ssl/certs var var/lib
install -m 644 "$authorities" etc/ssl/certs/ca-certificates.crt
# Written down, because without the file resolvers differ in what they ask first.
echo "hosts: files dns" >etc/nsswitch.conf
printf '%s\n' root:x:0:0:root:/:/sbin/nologin nonroot:x:65532:65532:nonroot:/var/lib/provost:/sbin/nologin >etc/passwd
printf '%s\n' root:x:0: nonroot:x:65532: >etc/group
chmod 644 etc/nsswitch.conf etc/passwd etc/group
layer 0 "${root[@]}" --file "$work/system.tar" etc var
install -d -m 1777 tmp
install -d -m 700 var/lib/provost
layer 0 "${nonroot[@]}" --file "$work/owned.tar" tmp var/lib/provost
tar --concatenate --file "$work/system.tar" "$work/owned.tar"

cd "$work/program"
install -d -m 755 usr usr/bin usr/share usr/share/provost
install -m 755 "$work/provost" usr/bin/provost
ln -s provost usr/bin/kubectl-provost
install -m 644 "$work/sbom.cdx.json" usr/share/provost/sbom.cdx.json
install -m 644 "$tree/LICENSE" usr/share/provost/LICENSE
layer "$SOURCE_DATE_EPOCH" "${root[@]}" --file "$work/program.tar" usr

# --- the image
say "putting the image together"
cd "$work"
image=provost.oci:$version
"$umoci" init --layout provost.oci
"$umoci" new --image "$image"
"$umoci" raw add-layer --image "$image" --history.created_by "certificate authorities, users, folders" system.tar
"$umoci" raw add-layer --image "$image" --history.created_by "provost $version" program.tar
about=(
    "org.opencontainers.image.title=provost"
    "org.opencontainers.image.description=$(sed -n 's/^description = "\(.*\)"/\1/p' "$tree/Cargo.toml")"
    "org.opencontainers.image.licenses=$(sed -n 's/^license = "\(.*\)"/\1/p' "$tree/Cargo.toml")"
    "org.opencontainers.image.version=$version"
    "org.opencontainers.image.revision=$revision"
    "org.opencontainers.image.created=$(date --utc --date "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
)
[ -z "${IMAGE_SOURCE:-}" ] || about+=("org.opencontainers.image.source=$IMAGE_SOURCE")
settings=()
for line in "${about[@]}"; do settings+=(--config.label "$line" --manifest.annotation "$line"); done
"$umoci" config --image "$image" --no-history --platform.os linux --platform.arch "$platform" \
    --config.user 65532:65532 --config.workingdir /var/lib/provost --config.entrypoint /usr/bin/provost \
    --config.env PATH=/usr/bin --config.env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "${settings[@]}"
"$umoci" gc --layout provost.oci
chmod -R u=rwX,go=rX provost.oci
tar --create --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --numeric-owner "${root[@]}" \
    --file provost.oci.tar --directory provost.oci .

rm -rf "$out/$name.oci"
mv provost.oci "$out/$name.oci"
mv provost.oci.tar "$out/$name.oci.tar"
mv sbom.cdx.json "$out/$name.sbom.cdx.json"
say "linux/$platform, $(jq -r '.manifests[0].digest' "$out/$name.oci/index.json")"
echo "$out/$name.oci"
