#!/usr/bin/env bash
# Installs the Debian packages that are missing, and nothing when none is.
# Usage: scripts/install-deps.sh GROUP...     groups: build run test clang format container arm64 experiments
set -euo pipefail

packages=()
for group in "$@"; do
  case $group in
    build)
      packages+=(gcc libc6-dev meson ninja-build pkgconf python3)
      packages+=(libmicrohttpd-dev libjansson-dev libopenblas-dev nettle-dev)
      ;;
    run) packages+=(curl python3) ;;
    test) packages+=(check python3 curl) ;;
    experiments) packages+=(python3-numpy python3-matplotlib) ;;
    clang) packages+=(clang libclang-rt-14-dev) ;;
    format) packages+=(clang-format shellcheck) ;;
    arm64) packages+=(gcc-aarch64-linux-gnu qemu-user meson ninja-build pkgconf python3 ca-certificates) ;;
    container) packages+=(buildah debootstrap curl python3 procps) ;;
    *) echo "install-deps.sh: no group '$group' (build run test clang format container arm64 experiments)" >&2; exit 64 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install-deps.sh: not a Debian system; going on with what is here. Debian would need: ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in $(printf '%s\n' "${packages[@]}" | sort -u); do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install-deps.sh: as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
echo "installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
}
# The lists of a fresh machine are empty or old: refresh them only when the first try fails.
apt install -y --no-install-recommends "${missing[@]}" ||
  { apt update && apt install -y --no-install-recommends "${missing[@]}"; } ||
  { cat "$log" >&2; echo "install-deps.sh: apt-get could not install: ${missing[*]}" >&2; exit 1; }
