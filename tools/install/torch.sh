# libtorch of ./pangu-draw: one pinned wheel, checked against torch_wheels.sha256, unpacked by pip into
# .venv/ without its Python dependencies, which libtorch does not need. Sourced by main.sh.
torch_version=2.13.0
venv=$root/.venv
pip=("$PANGU_PYTHON" -m pip --disable-pip-version-check --no-input)

torch_folder() { echo "$venv"/lib/python3.*/site-packages/torch; }

torch_is_there() {
  local folder
  folder=$(torch_folder)
  [[ -f $folder/lib/libtorch_cpu.so && -f $venv/torch.variant ]] || return 1
  [[ $(<"$venv/torch.variant") == "${PANGU_TORCH:-$(<"$venv/torch.variant")}" ]]
}

torch_variant() { cat "$venv/torch.variant"; }

torch_plan() {
  echo "make the Python environment .venv/ and unpack libtorch $torch_version (PyPI wheel \`torch\`," \
    "${PANGU_TORCH:-cpu}) into it: 0.2 GB to download and 0.8 GB on disk for a CPU build; 0.6 GB and" \
    "1.5 GB where the package index only has the CUDA build"
}

# pip with its words kept for when it fails: it calls every missing Python dependency of torch an error.
pip_quietly() {
  "${pip[@]}" "$@" >"$venv/pip.log" 2>&1 || { cat "$venv/pip.log" >&2; return 1; }
}

# Downloads the wheel of $1 (cpu, cu130, ...) into the folder $2: the build that is published with that
# suffix (2.13.0+cpu), else the plain version, which on an index of releases only is a CUDA build.
download_torch() {
  local -a fetch=(download -q --no-deps --only-binary=:all: -d "$2")
  [[ -z ${PANGU_TORCH_INDEX-} ]] || fetch+=(--index-url "$PANGU_TORCH_INDEX")
  pip_quietly "${fetch[@]}" "torch==$torch_version+$1" 2>/dev/null && return 0
  [[ $1 != cpu ]] ||
    warn "this package index has no torch==$torch_version+cpu; taking the plain build (PANGU_TORCH_INDEX=ADDRESS names another index)"
  pip_quietly "${fetch[@]}" "torch==$torch_version" && return 0
  lacks "pip could not download torch $torch_version for $1. Hint: set PANGU_TORCH_INDEX to the" \
    "address of a package index that has it"
}

# The wheel must be one we know by checksum; a wheel of a name we do not know is only warned of.
verify_wheel() {
  local name=${1##*/} found known
  found=$(sha256sum "$1" | cut -d' ' -f1)
  known=$(awk -v name="$name" '$2 == name {print $1}' "$root/tools/install/torch_wheels.sha256")
  if [[ -z $known ]]; then
    warn "UNVERIFIED libtorch: no checksum is pinned for $name"
    warn "its SHA-256 is $found; compare it with the publisher's before you trust it"
  elif [[ $found != "$known" ]]; then
    lacks "$name: expected SHA-256 $known, found $found. The file was not installed"
  else
    say "$name: SHA-256 as pinned"
  fi
}

make_venv() {
  local python=${PANGU_PYTHON3:-python3}
  [[ -x $PANGU_PYTHON ]] && "$PANGU_PYTHON" -m pip --version >/dev/null 2>&1 && return 0
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    { [[ -x /usr/bin/python3 ]] && python=/usr/bin/python3; }
  say "$python -m venv .venv"
  "$python" -m venv --clear "$venv" || lacks "$python could not make .venv. Hint: install python3-venv"
}

# A CUDA build needs NVIDIA's libraries beside it, which are packages of their own. Used on the CPU, it
# wants two small ones of them. $1: the variant.
install_cuda_libraries() {
  local -a metadata=("${torch_lib%/torch/lib}"/torch-*.dist-info/METADATA) needed
  mapfile -t needed < <(sed -nE 's/^Requires-Dist: ((nvidia-|cuda-toolkit)[^;]*).*/\1/p' "${metadata[0]}")
  if [[ $1 == cpu ]]; then
    mapfile -t needed < <(printf '%s\n' "${needed[@]}" | sed -nE 's/^cuda-toolkit\[.*\]/cuda-toolkit[cudart,cupti]/p')
  fi
  ((${#needed[@]} > 0)) || return 0
  say "this libtorch is a CUDA build; installing ${needed[*]}"
  pip_quietly install -q "${needed[@]}" || lacks "pip could not install NVIDIA's libraries"
}

install_torch() {
  torch_is_there && return 0
  local variant=${PANGU_TORCH:-cpu} work wheel
  make_venv
  work=$(mktemp -d "$venv/download.XXXX")
  say "downloading libtorch $torch_version ($variant)"
  download_torch "$variant" "$work"
  wheel=$(echo "$work"/torch-*.whl)
  verify_wheel "$wheel"
  say "unpacking ${wheel##*/} ($(($(stat -c %s "$wheel") / 1000000)) MB)"
  pip_quietly install -q --no-deps --no-compile --force-reinstall "$wheel" ||
    lacks "pip could not unpack $wheel"
  rm -r "$work"
  local torch_lib
  torch_lib=$(torch_folder)/lib
  [[ ! -f $torch_lib/libtorch_cuda.so ]] || install_cuda_libraries "$variant"
  echo "$variant" >"$venv/torch.variant"
}

# Python packages of a purpose: requirements-NAME.txt, once for each version of that file.
python_is_there() { cmp -s "$root/tools/install/requirements-$1.txt" "$venv/requirements-$1.txt"; }

need_python() {
  local list=$root/tools/install/requirements-$1.txt installed=$venv/requirements-$1.txt
  python_is_there "$1" && return 0
  say "pip install -r tools/install/requirements-$1.txt"
  pip_quietly install -q --no-compile -r "$list" || lacks "pip could not install $list"
  cp "$list" "$installed"
}
