# Debian packages of ./pangu-draw. Sourced by main.sh.
run_packages=(g++ cmake ninja-build ccache pkg-config python3 python3-venv nlohmann-json3-dev
  libcli11-dev libtomlplusplus-dev libspng-dev libturbojpeg0-dev libwebp-dev libutf8proc-dev zlib1g-dev
  libmimalloc-dev)
# The compiler of the fuzzers and the formatter are pinned: another version formats otherwise.
# Chromium and npm are for the tests of the page in web/, nginx and openssl for the server behind a proxy, PostgreSQL for
# the queue that several servers share.
test_packages=(doctest-dev librapidcheck-dev clang-19 libclang-rt-19-dev clang-format-19 git chromium npm
  nginx-light openssl postgresql)
data_packages=(librsvg2-bin npm)
server_packages=(libboost-dev libsqlite3-dev libpq-dev libcurl4-openssl-dev libssl-dev)

# Names of the missing packages, one a line. $1: `test`, `data` or `server` adds those of the tests (which test the
# server too), of `data build` or of the server.
missing_packages() {
  local -a wanted=("${run_packages[@]}")
  case ${1-} in
    test) wanted+=("${test_packages[@]}" "${server_packages[@]}") ;;
    server) wanted+=("${server_packages[@]}") ;;
    data) wanted+=("${data_packages[@]}") ;;
  esac
  if ! command -v dpkg-query >/dev/null; then
    # Another distribution: its names differ, so only the tools can be looked for.
    local tool
    local -a tools=(g++ cmake ninja pkg-config python3)
    [[ ${1-} != data ]] || tools+=(rsvg-convert npm)
    for tool in "${tools[@]}"; do
      command -v "$tool" >/dev/null || echo "$tool"
    done
    return
  fi
  local installed name
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
    sed -n 's/^installed //p') || true
  for name in "${wanted[@]}"; do
    # pkgconf provides pkg-config under another name; npm often comes with a Node.js from elsewhere.
    [[ $name == pkg-config || $name == npm ]] && command -v "$name" >/dev/null && continue
    # Debian's other version of Boost excludes the usual one.
    [[ $name == libboost-dev && -e /usr/include/boost/version.hpp ]] && continue
    grep -qxF -- "$name" <<<"$installed" || echo "$name"
  done
}

install_packages() { # [test|data|server]
  local -a missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]} > 0)) || return 0
  command -v apt-get >/dev/null ||
    lacks "missing: ${missing[*]}. Hint: install them with this system's package manager"
  local -a as_root=()
  if ((EUID != 0)); then
    local by_hand="apt-get install --no-install-recommends ${missing[*]}"
    command -v sudo >/dev/null || lacks "not root, no sudo; as root, run: $by_hand"
    as_root=(sudo)
    [[ -t 0 ]] || as_root=(sudo -n)
    "${as_root[@]}" true || lacks "sudo refused; as root, run: $by_hand"
  fi
  say "apt-get install ${missing[*]}"
  local log=$root/build/apt.log
  mkdir -p "$root/build"
  "${as_root[@]}" apt-get update -qq >"$log" 2>&1 ||
    warn "apt-get update failed, trying with the old lists"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
    cat "$log" >&2
    lacks "apt-get could not install ${missing[*]}"
  }
}
