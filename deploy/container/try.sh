#!/usr/bin/env bash
# Builds the image on a Debian 12 without a registry or a container daemon (base from debootstrap, buildah with chroot
# isolation), runs it as its own user and queries it. Needs root. Leaves nothing behind.
#
# Usage: deploy/container/try.sh [--base DIR]     DIR: a debootstrapped bookworm to use again (made there when missing)
set -euo pipefail
cd "$(dirname "$0")/../.."

base=
while [ $# -gt 0 ]; do
  case $1 in
    --base) base=${2:?--base needs a folder}; shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "try.sh: unknown option '$1'" >&2; exit 64 ;;
  esac
  shift
done
[ "$(id -u)" -eq 0 ] || { echo "try.sh: chroot isolation needs root" >&2; exit 1; }
scripts/install-deps.sh container

work=$(mktemp -d "${TMPDIR:-/tmp}/hopfieldd-image.XXXXXX")
[ -n "$base" ] || base=$work/base
runner=
image=localhost/hopfieldd:try
in_store() { buildah --root "$work/root" --runroot "$work/runroot" --storage-driver vfs "$@"; }
# The daemon is below buildah's own process: the one descendant that runs the shipped binary.
daemon_pid() {
  local pid children=$runner
  while [ -n "$children" ]; do
    for pid in ${children//,/ }; do
      if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = hopfieldd ]; then echo "$pid"; return; fi
    done
    children=$(pgrep -d, -P "$children" || true)
  done
}
finish() {
  local pid
  if [ -n "$runner" ]; then
    pid=$(daemon_pid)
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    wait "$runner" 2>/dev/null || true
  fi
  in_store rm --all >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

echo "== base"
if [ ! -x "$base/bin/sh" ]; then
  debootstrap --variant=minbase bookworm "$base" >"$work/build.log" 2>&1 || { tail "$work/build.log" >&2; exit 1; }
fi
container=$(in_store from scratch)
tar -C "$base" --one-file-system --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' \
  -cf "$work/base.tar" .
in_store add --quiet "$container" "$work/base.tar" / >/dev/null
in_store commit --quiet --rm "$container" localhost/bookworm:try >/dev/null

echo "== image"
in_store build --quiet --isolation chroot --format docker --pull-never --build-arg BASE=localhost/bookworm:try \
  -f deploy/container/Containerfile -t "$image" . >"$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log" >&2; exit 1; }
for field in User Entrypoint Healthcheck.Test ExposedPorts StopSignal; do
  echo "$field: $(in_store inspect --type image --format "{{.Docker.Config.$field}}" "$image")"
done
in_store images --format 'size {{.Size}}' "$image"

echo "== run"
container=$(in_store from --pull-never "$image")
# Chroot isolation shares the host's network: a free port on loopback instead of every address.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
in_store config --env HOPFIELDD_LISTEN="127.0.0.1:$port" --env HOPFIELDD_INSECURE=false "$container"
in_store run --isolation chroot "$container" -- /usr/bin/hopfieldd 2>"$work/daemon.log" &
runner=$!
base_url=http://127.0.0.1:$port
for _ in $(seq 100); do
  curl -sf --noproxy '*' "$base_url/livez" -o /dev/null && break
  kill -0 "$runner" 2>/dev/null || { cat "$work/daemon.log" >&2; exit 1; }
  sleep 0.1
done
pid=$(daemon_pid)
awk '/^(Uid|Gid|CapEff|NoNewPrivs)/' "/proc/$pid/status"
ask() {
  echo "\$ curl ${*@Q}"
  curl -sS --fail-with-body --noproxy '*' "$@"
  echo
}
ask "$base_url/readyz"
ask -X PUT --json '{"memories":[[1,0,0],[0,1,0],[0,0,1]]}' "$base_url/v1/admin/sets/axes"
ask --json '{"queries":[[0.9,0.2,0.1]],"beta":8}' "$base_url/v1/sets/axes/retrieve"
echo "health check in the container:"
in_store run --isolation chroot "$container" -- /usr/bin/hopfieldd healthcheck

echo "== stop"
kill -TERM "$pid"
code=0
wait "$runner" || code=$?
runner=
echo "exit code $code after SIGTERM"
[ "$code" -eq 0 ]
