#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and ends with one line: N passed, N failed.
#
# Usage: scripts/test.sh [VARIANT...] [--werror] [--jobs N]
#   --gcc     release build with gcc in build/ (the default)     --clang   the same with clang in build-clang/
#   --asan    AddressSanitizer and UBSan in build-asan/          --tsan    ThreadSanitizer in build-tsan/
#   --ubsan   UBSan alone in build-ubsan/                        --werror  a compiler warning fails the build
# Several variants run one after another and are counted together.
set -euo pipefail
cd "$(dirname "$0")/.."

variants=() werror=false jobs=()
while [ $# -gt 0 ]; do
  case $1 in
    --gcc | --clang | --asan | --tsan | --ubsan) variants+=("${1#--}") ;;
    --werror) werror=true ;;
    --jobs) jobs=(-j "${2:?--jobs needs a number}"); shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "test.sh: unknown option '$1' (--help lists them)" >&2; exit 64 ;;
  esac
  shift
done
[ ${#variants[@]} -gt 0 ] || variants=(gcc)

groups=(build test)
case " ${variants[*]} " in *" clang "*) groups+=(clang) ;; esac
scripts/install-deps.sh "${groups[@]}"

# Debian's tools first: a python3 or meson of the user's own may lack what the tests take for granted.
export PATH="/usr/bin:/bin:$PATH"
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
# A core call that outlasts the drain is left with _exit: its thread is no leak.
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1:report_thread_leaks=0"

logs=()

# Builds and tests one variant. Its log is removed first, so that a build that fails leaves none behind.
run() {
  local variant=$1 folder=build-$1 compiler=gcc multiplier=1 sanitize='' wrap=()
  local environment=() setup=(meson setup)
  local options=(-Dtests=true -Dbench=true -Dfuzz=false -Dwerror="$werror" -Dc_args=)
  case $variant in
    gcc) folder=build ;;
    clang) compiler=clang ;;
    asan) sanitize=address,undefined ;;
    ubsan) sanitize=undefined ;;
    tsan) sanitize=thread ;;
  esac
  if [ -z "$sanitize" ]; then
    options+=(-Dbuildtype=release -Db_sanitize=none)
  else
    options+=(-Dbuildtype=debugoptimized -Db_sanitize="$sanitize" -Db_lundef=false)
    [ "$sanitize" = thread ] || options+=(-Dc_args=-fno-sanitize-recover=all)
    environment=(HOPFIELDD_TEST_FAST=1 CK_FORK=no)
    multiplier=6
  fi
  # ThreadSanitizer wants the classic address layout, which a kernel with much randomisation does not give it.
  if [ "$variant" = tsan ] && setarch -R true 2>/dev/null; then wrap=(setarch -R); fi

  echo "== $variant, in $folder/"
  local log=$folder/meson-logs/testlog.json output
  output=$(mktemp)
  rm -f "$log"
  logs+=("$log")
  if [ -f "$folder/build.ninja" ]; then setup=(meson configure); fi
  if CC=$compiler "${setup[@]}" "$folder" "${options[@]}" >"$output" 2>&1 &&
    ninja -C "$folder" -k 0 "${jobs[@]}" >>"$output" 2>&1; then
    grep 'warning:' "$output" || true
    env "${environment[@]}" "${wrap[@]}" meson test -C "$folder" --no-rebuild --print-errorlogs -t "$multiplier" || true
  else
    grep -A 3 -E '(error|warning):' "$output" || tail -n 60 "$output"
  fi
  rm -f "$output"
}

for variant in "${variants[@]}"; do run "$variant"; done
exec python3 scripts/tap_summary.py "${logs[@]}"
