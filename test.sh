#!/usr/bin/env bash
# All tests: formatting, lints, unit tests, whole-program tests against real servers, conformance with Flink.
# On Debian or Ubuntu as root it installs what is missing; otherwise it says what is missing and fails.
set -euo pipefail
cd "$(dirname "$0")"
say() { printf '\n== %s (%s)\n' "$*" "$(date +%H:%M:%S)"; }

need() { # need PROGRAM PACKAGE…
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing ${*:2}"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${@:2}" >/dev/null
  else
    echo "$1 is missing; install it with: sudo apt-get install -y ${*:2}" >&2
    exit 1
  fi
}
need cc build-essential
need perl perl
need java default-jdk-headless
need mvn maven
need mariadbd mariadb-server
need python3 python3-venv
need psql postgresql-client
need chromium chromium
need tmux tmux
command -v cargo >/dev/null || { echo "cargo is missing; see https://rustup.rs" >&2; exit 1; }

say "format"
cargo fmt --all --check
say "build"
cargo build --workspace --bins
say "unit and whole-program tests"
cargo test --workspace --no-fail-fast
say "lints"
cargo clippy --workspace --all-targets -- -D warnings

target="${CARGO_TARGET_DIR:-target}"
corpus="$(realpath -m "${CONFORMANCE:-../shared/conformance}")"
if [ -f "$corpus/check.py" ]; then
  say "conformance with Flink: must-cases of the finished areas"
  engine="$(realpath "$target")/debug/eddyline run --output jsonl {file}"
  work="$(mktemp -d)"
  for area in ddl formats group-agg; do
    (cd "$work" && python3 "$corpus/check.py" --engine "$engine" --jobs 2 --priority must --only "$area/*" "$corpus/visible")
  done
  say "conformance with Flink: all areas, for information"
  (cd "$work" && python3 "$corpus/check.py" --engine "$engine" --jobs 2 "$corpus/visible" | grep -v '^FAIL') || true
  rm -rf "$work"
else
  echo "no conformance corpus at $corpus (set CONFORMANCE): its cases were not run"
fi
say "all tests passed"
