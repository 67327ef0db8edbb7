#!/usr/bin/env bash
# Builds for arm64 on another Debian machine, runs the tests under qemu, and ends with one line: N passed, N failed.
#
# Usage: scripts/test-arm64.sh [--clang] [--full] [--werror] [--jobs N]
#   (default) gcc, in build-arm64/                --clang  clang, in build-arm64-clang/
#   --full    all sets of the soundness suite     --werror a compiler warning fails the build
# The libraries are Debian's arm64 packages, unpacked in build-arm64-sysroot/: the machine's own packages stay as they
# are, apart from a cross compiler and qemu, which are installed when they are missing. Left out are the tests that need
# the daemon's real speed or other programs of its machine. DEBIAN_MIRROR names another mirror than deb.debian.org.
set -euo pipefail
cd "$(dirname "$0")/.."

compiler=gcc command="['aarch64-linux-gnu-gcc']" folder=build-arm64 fast=1 werror=false jobs=()
while [ $# -gt 0 ]; do
  case $1 in
    --clang) compiler=clang command="['clang', '--target=aarch64-linux-gnu']" folder=build-arm64-clang ;;
    --full) fast=0 ;;
    --werror) werror=true ;;
    --jobs) jobs=(-j "${2:?--jobs needs a number}"); shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "test-arm64.sh: unknown option '$1' (--help lists them)" >&2; exit 64 ;;
  esac
  shift
done

groups=(arm64 test)
[ "$compiler" = gcc ] || groups+=(clang)
scripts/install-deps.sh "${groups[@]}"
# Debian's tools first: a python3 or meson of the user's own may lack what the tests take for granted.
export PATH="/usr/bin:/bin:$PATH"

sysroot=$PWD/build-arm64-sysroot
packages=(libc6-dev libopenblas-dev libmicrohttpd-dev libjansson-dev nettle-dev check)
libraries=usr/lib/aarch64-linux-gnu

# Downloads the packages and all that they need, as apt would for an empty arm64 system, and unpacks them.
make_sysroot() {
  local work=$sysroot.new codename package link target
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  rm -rf "$work"
  mkdir -p "$work"/apt/{lists,cache/archives}/partial "$work/root"
  : >"$work/apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
    "${DEBIAN_MIRROR:-http://deb.debian.org/debian} $codename main" >"$work/apt/sources.list"
  local apt=(apt-get -qq -y -o "Dir::State=$work/apt" -o "Dir::State::status=$work/apt/status"
    -o "Dir::Cache=$work/apt/cache" -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o Debug::NoLocking=true)
  "${apt[@]}" update
  "${apt[@]}" install --download-only --no-install-recommends "${packages[@]}"
  for package in "$work"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  # The packages' links are those of a root; make them relative. And what update-alternatives would have linked.
  find "$work/root" -type l -lname '/*' | while read -r link; do
    target=$(readlink "$link")
    ln -sfnr "$work/root$target" "$link"
  done
  ln -sfn openblas-pthread/libopenblas.so.0 "$work/root/$libraries/libopenblas.so.0"
  ln -sfn ../openblas-pthread/pkgconfig/openblas.pc "$work/root/$libraries/pkgconfig/openblas.pc"
  rm -rf "$sysroot"
  mv "$work/root" "$sysroot"
  rm -rf "$work"
}

logs=()

# Runs tests into the log of this name. Arguments: name, then those of meson test.
run() {
  local log=$folder/meson-logs/$1.json
  logs+=("$log")
  meson test -C "$folder" --no-rebuild --print-errorlogs -t 6 --logbase "$1" "${@:2}" || true
}

if [ ! -d "$sysroot" ]; then
  echo "== arm64 packages, in ${sysroot##*/}/"
  make_sysroot
fi
echo "== $compiler for arm64, in $folder/"
rm -f "$folder"/meson-logs/*.json
output=$(mktemp)
trap 'rm -f "$output"' EXIT
mkdir -p "$folder"
printf '[constants]\nsysroot = %s\ncompiler = %s\n' "'$sysroot'" "$command" >"$folder/constants.ini"
options=(-Dbuildtype=release -Dtests=true -Dclients=false -Dwerror="$werror")
setup=(meson setup "$folder" --cross-file "$folder/constants.ini" --cross-file scripts/arm64.ini)
if [ -f "$folder/build.ninja" ]; then setup=(meson configure "$folder"); fi
if ! { "${setup[@]}" "${options[@]}" >"$output" 2>&1 && ninja -C "$folder" -k 0 "${jobs[@]}" >>"$output" 2>&1; }; then
  grep -A 3 -E '(error|warning):' "$output" || tail -n 60 "$output"
  exec python3 scripts/tap_summary.py "$folder/meson-logs/testlog.json"
fi
grep 'warning:' "$output" || true

export CK_DEFAULT_TIMEOUT=600 # an emulated CPU is some thirty times slower
export HOPFIELDD_TEST_FAST=$fast HOPFIELDD_TEST_WRAPPER="qemu-aarch64 -L $sysroot"
HOPFIELDD_ISA=neon run core-neon --suite core
HOPFIELDD_ISA=reference run core-reference --suite core --no-suite soundness
run server --suite store --suite server
HOPFIELDD_TEST_FAST=1 run http http-retrieve http-conform http-metrics http-hostile http-bad_input http-bad_http
exec python3 scripts/tap_summary.py "${logs[@]}"
