#!/usr/bin/env bash
# Builds hopfieldd, starts it on loopback and shows what it does: half-hidden digits completed, a query that is answered
# almost-linearly, and a million memories answered both ways. Installs what is missing on a Debian 12.
#
# Usage: scripts/quickstart.sh [--keep] [--port N] [--build-dir DIR]
#   --keep           leave the daemon running, with the files that the printed curl lines name
#   --port N         listen on this port (default: a free one)
#   --build-dir DIR  where to build, or where it is built already (default: build)
set -euo pipefail
cd "$(dirname "$0")/.."

keep=false port=0 build=build
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=true ;;
    --port) port=${2:-}; shift ;;
    --build-dir) build=${2:-}; shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "quickstart.sh: unknown option '$1' (--help lists them)" >&2; exit 64 ;;
  esac
  shift || break
done
if ! [[ $port =~ ^[0-9]{1,5}$ ]] || ((10#$port > 65535)); then
  echo "quickstart.sh: --port needs a number from 0 to 65535" >&2; exit 64
fi
if [ -z "$build" ]; then
  echo "quickstart.sh: --build-dir needs a folder" >&2; exit 64
fi

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || title() { printf '\n%s\n' "$*"; }

# ---- build ---------------------------------------------------------------------------------------------------------

title "Build"
scripts/install-deps.sh build run
export PATH="/usr/bin:/bin:$PATH"
daemon=$build/src/server/hopfieldd
mkdir -p "$build"
files=$(mktemp -d "$build/quickstart.XXXX")
pid=
finish() {
  local code=$?
  if [ -n "$pid" ] && ! { $keep && [ $code -eq 0 ]; }; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  if [ $code -ne 0 ] && [ -s "$files/log" ]; then sed 's/^/daemon: /' "$files/log" | tail -n 20 >&2; fi
  if ! { $keep && [ $code -eq 0 ]; }; then rm -rf "$files"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

{
  [ -f "$build/build.ninja" ] || meson setup "$build" -Dtests=false -Dbench=false
  ninja -C "$build" src/server/hopfieldd
} >"$files/build.log" 2>&1 || { tail -n 60 "$files/build.log" >&2; exit 1; }
"$daemon" --version

# ---- start ---------------------------------------------------------------------------------------------------------

start=("$daemon" --listen "127.0.0.1:$port" --port-file "$files/port" --no-persist)
title "Start"
echo "\$ ${start[*]}"
# Its own session and no terminal, so that with --keep it outlives this shell.
setsid "${start[@]}" </dev/null >"$files/log" 2>&1 &
pid=$!
for _ in $(seq 100); do
  [ -s "$files/port" ] && break
  kill -0 "$pid" 2>/dev/null || exit 1
  sleep 0.1
done
base=http://127.0.0.1:$(cat "$files/port")

# ask ARGUMENT...: prints the curl line as one would type it, then runs it. The body goes to $files/out.json.
ask() {
  local word line='$ curl'
  for word in "$@"; do
    case $word in *[\ \{\}\"\?\&\;]*) line+=" '$word'" ;; *) line+=" $word" ;; esac
  done
  echo "$line"
  local status
  status=$(curl -sS --noproxy '*' -o "$files/out.json" -w '%{http_code}' "$@")
  case $status in 2*) ;; *) echo "HTTP $status: $(cat "$files/out.json")" >&2; return 1 ;; esac
}

# field EXPRESSION: evaluates it in Python with the last answer as `a`.
field() {
  python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$files/out.json" "$1"
}

# ready SET: waits until its feature maps are built.
ready() {
  until curl -sS --noproxy '*' "$base/v1/sets/$1" -o "$files/out.json" && [ "$(field 'a["state"]')" = ready ]; do
    [ "$(field 'a["state"]')" != failed ] || { cat "$files/out.json" >&2; exit 1; }
    sleep 0.2
  done
}

ask "$base/readyz"
cat "$files/out.json"

# ---- digits --------------------------------------------------------------------------------------------------------

digits=examples/digits
title "1,797 handwritten digits, the bottom half of six replaced by the mean"
npy=(-H 'Content-Type: application/x-npy')
ask -T $digits/digits-u8.npy "${npy[@]}" "$base/v1/admin/sets/digits?similarity=centered_cosine"
field '"{name}: version {version}, M = {M}, d = {d}, {similarity}, {state}".format(**a)'
echo "\$ python3 $digits/demo.py mask $digits/digits-u8.npy $files/six.json 0 1 2 3 4 5"
python3 $digits/demo.py mask $digits/digits-u8.npy "$files/six.json" 0 1 2 3 4 5
ask --json "@$files/six.json" "$base/v1/sets/digits/retrieve"
echo
python3 $digits/demo.py show "$files/six.json" "$files/out.json" $digits/labels-u8.npy 0 1 2 3 4 5

title "All 1,797, masked the same way, in one batch"
python3 $digits/demo.py mask $digits/digits-u8.npy "$files/all.json"
ask --json "@$files/all.json" "$base/v1/sets/digits/retrieve"
python3 $digits/demo.py rate "$files/out.json" $digits/labels-u8.npy
field '"answered in {:.1f} ms, mode {}".format(a["timing_ms"]["compute"], a["mode"])'

title "The same six at a low beta: almost-linear, with its certificate"
ready digits
sed 's/"beta":40,"return":\["top"\],"top":20/"beta":0.1/' "$files/six.json" >"$files/low.json"
ask --json "@$files/low.json" "$base/v1/sets/digits/retrieve"
field '"mode {}, degree {}, error <= {:.1e} at most".format(a["mode"], a["degree"], max(a["error_bound"]))'
[ "$(field 'a["mode"]')" = almost_linear ]

# ---- a million memories --------------------------------------------------------------------------------------------

title "M = 1,000,000 memories, d = 16, entries uniform in [-1, 1], beta = 1/16"
python3 - "$files" <<'PYTHON'
import array, random, struct, sys
# 2^16 levels, each exact in f32: enough for a demonstration, and quick to draw without other libraries.
levels = [(k + 0.5) / 32768 - 1 for k in range(65536)]
source = random.Random(1)
for name, rows, d in (("million.npy", 1_000_000, 16), ("queries.npy", 256, 16)):
    values = array.array("f", map(levels.__getitem__, array.array("H", source.randbytes(2 * rows * d))))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {d}), }}".ljust(117).encode() + b"\n"
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        values.tofile(file)
PYTHON
ask -T "$files/million.npy" "${npy[@]}" "$base/v1/admin/sets/million?beta=0.0625&max_error=0.001"
ready million
field '"feature maps ready: degree {max_degree}, rank {rank}".format(**a["features"])'
best() { python3 -c 'import sys; print(min(map(float, sys.argv[1:])))' "$@"; }
times=()
for mode in auto dense; do
  request=(--data-binary "@$files/queries.npy" "${npy[@]}" "$base/v1/sets/million/retrieve?mode=$mode")
  ask "${request[@]}"
  field '"{:13s} error <= {:.1e}, degrees {}".format(a["mode"], max(a["error_bound"]), sorted(set(a["degree"])))'
  tries=()
  for _ in 1 2 3 4 5; do
    ask "${request[@]}" >/dev/null
    tries+=("$(field '1e3 * a["timing_ms"]["compute"] / a["L"]')")
  done
  times+=("$(best "${tries[@]}")")
  printf '%-13s %.2f us a query (timing_ms.compute / 256, best of 5)\n' '' "${times[-1]}"
done
python3 -c 'import sys; print(f"auto is {float(sys.argv[2]) / float(sys.argv[1]):.0f} times faster than dense")' "${times[@]}"

# ---- end -----------------------------------------------------------------------------------------------------------

if $keep; then
  title "The daemon keeps running at $base"
  echo "process $pid; stop it with: kill $pid"
  echo "the files of the curl lines, and its log: $files"
else
  title "Done; the daemon is stopped. scripts/quickstart.sh --keep leaves it running."
fi
