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
    "${PANGU_TORCH:-cpu}) into it: 0.2 GB to download, 0.8 GB on disk for a CPU build"
}

# Downloads the wheel of $1 (cpu, cu130, ...) into the folder $2: the build that is published with that
# suffix (2.13.0+cpu), else the plain version, which on an index of releases only is a CUDA build.
download_torch() {
  local -a fetch=("${pip[@]}" download -q --no-deps --only-binary=:all: -d "$2")
  [[ -z ${PANGU_TORCH_INDEX-} ]] || fetch+=(--index-url "$PANGU_TORCH_INDEX")
  "${fetch[@]}" "torch==$torch_version+$1" >"$2/pip.log" 2>&1 && return 0
  if [[ $1 == cpu ]]; then
    warn "this package index has no build torch==$torch_version+cpu; its plain build runs on the CPU as"
    warn "well, but may be the CUDA one: up to 5 GB with NVIDIA's libraries."
    warn "PANGU_TORCH_INDEX=ADDRESS names an index that has CPU builds."
    if [[ -t 0 && -t 2 && ${PANGU_YES-} != 1 ]]; then
      read -r -p "   Take the plain build? [Y/n] " answer
      [[ -z $answer || $answer == [yY]* ]] || lacks "no libtorch was installed, as you wished"
    fi
  fi
  "${fetch[@]}" "torch==$torch_version" >"$2/pip.log" 2>&1 && return 0
  cat "$2/pip.log" >&2
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

# A CUDA build needs NVIDIA's libraries beside it, which are packages of their own.
install_cuda_libraries() {
  local metadata
  metadata=$(dirname "$(torch_folder)")/torch-*.dist-info/METADATA
  local -a needed
  mapfile -t needed < <(sed -nE 's/^Requires-Dist: ((nvidia-|cuda-toolkit)[^;]*).*/\1/p' $metadata)
  ((${#needed[@]} > 0)) || return 0
  say "this libtorch is a CUDA build; installing ${needed[*]}"
  "${pip[@]}" install -q "${needed[@]}" >&2 || lacks "pip could not install NVIDIA's libraries"
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
  "${pip[@]}" install -q --no-deps --no-compile --force-reinstall "$wheel" >&2 ||
    lacks "pip could not unpack $wheel"
  rm -r "$work"
  [[ ! -f $(torch_folder)/lib/libtorch_cuda.so ]] || install_cuda_libraries
  echo "$variant" >"$venv/torch.variant"
}

# Python packages of a purpose: requirements-NAME.txt, once for each version of that file.
need_python() {
  local list=$root/tools/install/requirements-$1.txt installed=$venv/requirements-$1.txt
  cmp -s "$list" "$installed" && return 0
  say "pip install -r tools/install/requirements-$1.txt"
  "${pip[@]}" install -q --no-compile -r "$list" >&2 || lacks "pip could not install $list"
  cp "$list" "$installed"
}
