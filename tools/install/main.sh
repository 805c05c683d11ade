# The slow half of ./pangu-draw: plan, install, build, test. Sourced by it; uses its $root, $program
# and $stamp. All messages go to stderr, so that the program's own output stays clean.
source "$root/tools/install/packages.sh"
source "$root/tools/install/torch.sh"

say() { printf '== %s\n' "$*" >&2; }
warn() { printf '!! %s\n' "$*" >&2; }
# A thing this machine lacks: exit code 4, as in the program.
lacks() {
  printf 'pangu-draw: error: %s\n' "$*" >&2
  exit 4
}

# Says what is about to happen; asks once where a person can answer. $@: what it is that does it, then the lines
# of the plan.
announce() {
  (($# > 1)) || return 0
  say "$1 will:"
  shift
  printf '     - %s\n' "$@" >&2
  if [[ -t 0 && -t 2 && ${PANGU_YES-} != 1 ]]; then
    read -r -p "   Go on? [Y/n] " answer
    [[ -z $answer || $answer == [yY]* ]] || lacks "not installed, as you wished"
  fi
}

jobs_for_memory() { # One compiler of a libtorch file takes up to about 1.5 GB.
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  local most=$((memory_gb * 2 / 3))
  ((most >= 1)) || most=1
  echo $((cores < most ? cores : most))
}

configure() { # PRESET [cmake arguments...]
  local -a flags=(-DPANGU_CUDA=ON)
  [[ $(torch_variant) != cpu ]] || flags=(-DPANGU_CUDA=OFF)
  (cd "$root" && cmake --preset "$@" "${flags[@]}" >"build/configure-$1.log" 2>&1) ||
    (cd "$root" && cmake --fresh --preset "$@" "${flags[@]}" >"build/configure-$1.log" 2>&1) || {
    cat "$root/build/configure-$1.log" >&2
    lacks "configuring the build failed (above). Hint: rm -r $root/build $root/.venv and run again"
  }
}

compile() { # BUILD_FOLDER TARGET...
  local started=$SECONDS tty=0 folder=$root/build/$1
  local edges=$folder/edges.txt status='@%f %t %e '
  [[ ! -t 2 ]] || tty=1
  # A dry run would stop at CMake, which always looks for new files first.
  ninja -C "$folder" -t commands "${@:2}" >"$edges" 2>/dev/null || true
  NINJA_STATUS=$status ninja -C "$folder" -j "$(jobs_for_memory)" "${@:2}" 2>&1 |
    awk -v tty=$tty -f "$root/tools/install/progress.awk" "$edges" - ||
    { warn "the build of build/$1 failed"; exit 1; }
  say "built build/$1 in $((SECONDS - started)) s"
}

# What is missing for running (and, with `test`, for testing), as lines of a plan.
plan() {
  local missing
  missing=$(missing_packages "$@")
  [[ -z $missing ]] || echo "install Debian packages: ${missing//$'\n'/ }"
  torch_is_there || torch_plan
  [[ ${1-} != test ]] || python_is_there test ||
    echo "install the Python packages of tools/install/requirements-test.txt into .venv/"
  [[ -x $program ]] || echo "compile the program into build/ (a few minutes on two cores, about 2 GB)"
}

install_all() { # [test|server]
  local -a lines
  mapfile -t lines < <(plan "$@")
  announce "This first run" "${lines[@]}"
  install_packages "$@"
  install_torch
  mkdir -p "$root/build"
}

# What `data build` needs beside the program.
install_for_data() {
  local -a lines
  mapfile -t lines < <(
    missing=$(missing_packages data)
    [[ -z $missing ]] || echo "install Debian packages: ${missing//$'\n'/ }"
    python_is_there data || echo "install the Python packages of tools/install/requirements-data.txt into .venv/"
  )
  announce "The first \`data build\`" "${lines[@]}"
  install_packages data
  need_python data
}

# A stamp says what was built from where; it is dated to the beginning of the build, so that a file
# saved meanwhile counts as new.
write_stamps() { # FILE_DATED_THEN NAME...: `launcher` for the program, `training` and `server` for its libraries
  local name file
  for name in "${@:2}"; do
    file=$root/build/release/$name.stamp
    echo "$(torch_variant) $root" >"$file"
    touch -r "$1" "$file"
  done
}

# Builds the program and the libraries that are named; without a name, the program alone.
launcher_compile() { # [training|server...]
  local begun=$root/build/begun ninja=$root/build/release/build.ninja server=
  [[ " $* " != *" server "* ]] || server=server
  install_all $server
  touch "$begun"
  # Ninja configures again by itself, unless libtorch or the folder is another one, or the packages of the server
  # were not there.
  if [[ ! -f $ninja || ! -f $stamp || $(<"$stamp") != "$(torch_variant) $root" ]] ||
    { [[ -n $server ]] && ! grep -q '^build pangu_server:' "$ninja"; }; then
    configure release
  fi
  compile release pangu-draw "${@/#/pangu_}"
  write_stamps "$begun" launcher "$@"
}

launcher_build() { launcher_compile training server; }

# The manual page and the completions of an installation, where man and the shells look for them. $1: its prefix.
write_shell_files() {
  local share=$1/share installed=$1/bin/pangu-draw
  mkdir -p "$share"/{man/man1,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
  "$installed" man >"$share/man/man1/pangu-draw.1"
  "$installed" completion bash >"$share/bash-completion/completions/pangu-draw"
  "$installed" completion zsh >"$share/zsh/site-functions/_pangu_draw"
  "$installed" completion fish >"$share/fish/vendor_completions.d/pangu-draw.fish"
}

# A folder and an archive of it that run elsewhere: program, the libraries that it needs but for those of every
# system, embedded models. Any x86-64 processor with AVX2 runs it. $1: where (default: build/package).
launcher_package() {
  install_all server
  local out=${1:-$root/build/package} name
  configure package
  compile package-build pangu-draw pangu_training pangu_server
  name=pangu-draw-$("$root/build/package-build/pangu-draw" --version | awk '{print $2}')-linux-$(uname -m)
  rm -rf "${out:?}/$name"
  cmake --install "$root/build/package-build" --prefix "$out/$name" >"$root/build/install.log" ||
    { cat "$root/build/install.log" >&2; exit 1; }
  write_shell_files "$out/$name"
  tar -C "$out" -czf "$out/$name.tar.gz" "$name"
  say "$out/$name.tar.gz ($(($(stat -c %s "$out/$name.tar.gz") / 1000000)) MB)"
}

# All tests by ctest: units, properties, parity, end to end, the torch-free rooms again under ASan
# and UBSan, and every fuzzer for a while. Any arguments are patterns of test names.
launcher_test() {
  local pattern fuzz_seconds=${PANGU_FUZZ_SECONDS:-10}
  local -a select=() house=()
  pattern=$(IFS='|'; echo "$*")
  # Named tests say what they say: the parity tests print a line a case.
  [[ -z $pattern ]] || select=(-R "$pattern" --verbose)
  install_all test
  need_python test
  if [[ -z $pattern ]]; then
    # The released program is compiled in units of many files, a developer's in small ones: both must compile.
    configure units -DPANGU_TESTS=OFF
    compile units pangu-draw pangu_training pangu_server
  fi
  if [[ -z $pattern || $pattern == *asan* || $pattern == *fuzz* ]]; then
    configure asan
    compile asan
    house+=(-DPANGU_ASAN_DIR="$root/build/asan" -DPANGU_FUZZ_SECONDS="$fuzz_seconds")
  fi
  touch "$root/build/begun"
  configure release "${house[@]}"
  compile release all
  write_stamps "$root/build/begun" launcher training server
  say "tests"
  exec ctest --test-dir "$root/build/release" --output-on-failure --no-tests=error \
    -j 2 "${select[@]}"
}
