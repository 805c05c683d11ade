#!/bin/sh
# Builds the fuzzers with clang 19 under ASan and UBSan (the preset asan) and runs each for SECONDS (60 if
# not given). Exits non-zero on the first finding, whose input stays in build/asan/findings.
# Usage: tests/fuzz/run.sh [SECONDS] [NAME...]
#   PANGU_FUZZ_BUILD   the build folder (build/asan)
#   PANGU_FUZZ_SEED    1, so that a test that passed passes again; 0 draws a seed
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
[ $# -gt 0 ] && shift
build=${PANGU_FUZZ_BUILD:-$root/build/asan}

[ -f "$build/build.ninja" ] || (cd "$root" && cmake --preset asan -B "$build" >/dev/null)
if [ $# -eq 0 ]; then
  for source in "$root"/tests/fuzz/*_fuzz.cpp; do set -- "$@" "$(basename "$source" .cpp)"; done
fi
ninja -C "$build" "$@"

mkdir -p "$build/findings"
for name in "$@"; do
  kind=${name%_fuzz}
  seeds="$root/tests/fuzz/corpus/$kind"
  [ "$kind" = manifest ] && seeds="$seeds $root/tests/fuzz/corpus/tar"
  found="$build/corpus/$kind"
  mkdir -p "$found"
  options=""
  [ -f "$root/tests/fuzz/$kind.dict" ] && options="-dict=$root/tests/fuzz/$kind.dict"
  echo "== $name: $seconds s"
  # New inputs go to the first folder; the seeds of the repository are only read.
  # shellcheck disable=SC2086
  "$build/$name" -seed="${PANGU_FUZZ_SEED:-1}" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/findings/$name-" $options "$found" $seeds \
    2>"$build/$name.log" || { tail -n 40 "$build/$name.log"; echo "finding in $name"; exit 1; }
  grep -E "stat::number_of_executed_units|stat::peak_rss_mb" "$build/$name.log"
  grep -E "^#[0-9]+.*(DONE|pulse|NEW|REDUCE)" "$build/$name.log" | tail -n 1
done
echo "no findings"
