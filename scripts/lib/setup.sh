# Gets what scripts/demo and scripts/test need, once a machine; source it. What is built or installed lands under
# $FEDBOOT_CACHE, named after what it was made from, so a second clone finds it; each thing is made in a temporary
# place and renamed at the end, so an interrupted run leaves nothing that looks finished.
# Functions that answer with a path print it on stdout; everything for people goes to stderr.
# shellcheck shell=bash

FEDBOOT_CACHE=${FEDBOOT_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/fedboot}
# With a file name in here, every skip is also a line of that file, for a summary at the end.
FEDBOOT_SKIPS=${FEDBOOT_SKIPS:-}
BEAM_VERSION=2.77.0
BEAM_NEEDS_GO=1.26

# say WORDS…: one heading for people.
say() {
    if [[ -t 2 ]]; then
        printf '\n\033[1m== %s\033[0m\n' "$*" >&2
    else
        printf '\n== %s\n' "$*" >&2
    fi
}

# note WORDS…: one plain line for people.
note() {
    printf '   %s\n' "$*" >&2
}

# skip NAME REASON: says, and keeps for the summary, that something did not run.
skip() {
    local line="SKIP $1: $2"
    printf '%s\n' "$line" >&2
    if [[ -n $FEDBOOT_SKIPS ]]; then
        printf '%s\n' "$line" >>"$FEDBOOT_SKIPS"
    fi
}

# need_apt PACKAGE…: installs those that are missing, as root or through sudo; else says what to install and fails.
need_apt() {
    local package missing=() sudo=()
    if ! command -v dpkg-query >/dev/null; then
        note "no dpkg here, so make sure by hand that the equivalents are installed of: $*"
        return 0
    fi
    for package in "$@"; do
        if [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    if ((EUID != 0)); then
        # Asks for a password only where somebody can type it.
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
            sudo=(sudo)
        else
            note "missing, and neither root nor sudo to install it: apt-get install ${missing[*]}"
            return 1
        fi
    fi
    note "apt-get install ${missing[*]}"
    local install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends)
    # A fresh machine has no package lists, an old one has stale ones: either way the first try fails.
    if ! "${install[@]}" "${missing[@]}" >/dev/null 2>&1; then
        "${sudo[@]}" apt-get update -qq >&2 && "${install[@]}" "${missing[@]}" >/dev/null
    fi
}

# need_target TRIPLE: makes the Rust toolchain of the current directory able to build for it.
need_target() {
    local libraries
    if ! command -v cargo >/dev/null; then
        note "no cargo on PATH: install a Rust toolchain first"
        return 1
    fi
    libraries=$(rustc --print target-libdir --target "$1" 2>/dev/null || true)
    if compgen -G "$libraries/libstd-*.rlib" >/dev/null; then
        return 0
    fi
    if ! command -v rustup >/dev/null; then
        note "this Rust toolchain cannot build for $1, and there is no rustup to add it"
        return 1
    fi
    note "rustup target add $1"
    rustup target add "$1" >&2
}

# need_python: prints the interpreter behind python3; fails without one that is new enough and can make a venv.
need_python() {
    local python
    if ! python=$(python3 -c 'import sys; assert sys.version_info >= (3, 11); print(sys.executable)' 2>/dev/null); then
        note "python3 of version 3.11 or newer is needed"
        return 1
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        need_apt python3-venv || return 1
    fi
    printf '%s\n' "$python"
}

# need_venv NAME REQUIREMENTS_FILE: prints the directory of a venv with exactly those packages.
need_venv() {
    local python identity place temporary
    python=$(need_python) || return 1
    identity=$({ "$python" -c 'import sys; print(sys.version, sys.base_prefix)' && cat "$2"; } | hash_of) || return 1
    place=$FEDBOOT_CACHE/venv-$1-$identity
    # A venv dies with the interpreter that it was made from.
    if ! "$place/bin/python" -c '' 2>/dev/null; then
        rm -rf "$place"
        temporary=$(temporary_in_cache) || return 1
        note "a venv for $1 with $(grep -m1 -E '^[a-z]' "$2") and what it needs (about a minute, once a machine)"
        # The scripts in bin/ name the directory that they were made in, so its final name is written over it.
        if ! { "$python" -m venv "$temporary" &&
            "$temporary/bin/python" -m pip install -q --disable-pip-version-check -r "$2" >&2 &&
            grep -rlIF --null "$temporary" "$temporary/bin" | xargs -0 -r sed -i "s|$temporary|$place|g" &&
            keep "$temporary" "$place"; }; then
            rm -rf "$temporary"
            return 1
        fi
    fi
    printf '%s\n' "$place"
}

# have_go_for_beam: succeeds when Go is there and new enough for Beam; else says why not, on stdout.
have_go_for_beam() {
    local version
    if ! command -v go >/dev/null; then
        echo "no go on PATH"
        return 1
    fi
    version=$(go env GOVERSION)
    version=${version#go}
    if [[ $(printf '%s\n' "$BEAM_NEEDS_GO" "$version" | sort -V | head -n1) != "$BEAM_NEEDS_GO" ]]; then
        echo "Beam $BEAM_VERSION needs Go $BEAM_NEEDS_GO or newer, this is $version"
        return 1
    fi
}

# need_go_boot python|go: prints the path of Beam's own boot program for that SDK, static as in Beam's images.
need_go_boot() {
    local place=$FEDBOOT_CACHE/beam-$BEAM_VERSION-boot-$1 temporary reason
    if [[ ! -x $place/boot ]]; then
        if ! reason=$(have_go_for_beam); then
            note "$reason"
            return 1
        fi
        temporary=$(temporary_in_cache) || return 1
        note "Beam's boot program for the ${1^} SDK (go install; up to two minutes, once a machine)"
        if ! { GOBIN=$temporary CGO_ENABLED=0 \
            go install "github.com/apache/beam/sdks/v2/$1/container@v$BEAM_VERSION" >&2 &&
            mv "$temporary/container" "$temporary/boot" && keep "$temporary" "$place"; }; then
            rm -rf "$temporary"
            return 1
        fi
    fi
    printf '%s\n' "$place/boot"
}

# need_go_program DIRECTORY: prints the path of the static program made of the Go module in there.
need_go_program() {
    local name=${1##*/} place
    place=$(made "go-$name" "$1" go_build "$name") || return 1
    printf '%s\n' "$place/$name"
}

go_build() {
    local reason
    if ! reason=$(have_go_for_beam); then
        note "$reason"
        return 1
    fi
    CGO_ENABLED=0 go build -C "$1" -mod=readonly -ldflags="-s -w" -o "$2/$3" .
}

hash_of() {
    sha256sum | cut -c1-12
}

# A new directory beside the finished things, on the same file system; what interrupted runs left goes first.
temporary_in_cache() {
    mkdir -p "$FEDBOOT_CACHE" || return 1
    find "$FEDBOOT_CACHE" -maxdepth 1 -name '.tmp-*' -mmin +120 -exec rm -rf {} + || true
    mktemp -d "$FEDBOOT_CACHE/.tmp-XXXXXX"
}

# keep TEMPORARY PLACE: gives a finished directory its name; where another run was quicker, its result stands.
keep() {
    chmod 755 "$1" || return 1
    if ! mv -T "$1" "$2" 2>/dev/null; then
        rm -rf "$1"
        [[ -d $2 ]]
    fi
}

# static_target: prints the Rust target that makes fedboot one file for any Linux of this machine's kind.
static_target() {
    printf '%s-unknown-linux-musl\n' "$(uname -m)"
}

# build_fedboot: prints the path of the static release build, which is the one in images and packages.
build_fedboot() {
    need_apt gcc libc6-dev && need_target "$(static_target)" || return 1
    note "packaging/binary (a minute or two, the first time)"
    packaging/binary
}

# build_sandbox: prints the path of the sandbox's program, built as the tests build it.
build_sandbox() {
    need_apt gcc libc6-dev || return 1
    build -p fedboot-sandbox || return 1
    printf '%s\n' "$(target_directory)/debug/fedboot-sandbox"
}

# Progress is for a terminal; a log gets the errors.
build() {
    local quiet=(--quiet)
    if [[ -t 2 ]]; then
        quiet=()
    fi
    note "cargo build $* --locked (a minute or two, the first time)"
    cargo build "${quiet[@]}" "$@" --locked >&2
}

target_directory() {
    cargo metadata --format-version 1 --no-deps --offline |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# made NAME DIRECTORY FUNCTION [WORD…]: prints the place in the cache that `FUNCTION DIRECTORY TEMPORARY WORD…` filled from
# that directory: another one whenever a file in there or a word is another.
made() {
    local name=$1 directory=$2 function=$3 identity place temporary
    shift 3
    identity=$({ printf '%s\n' "$@" && find -L "$directory" -type f -print0 | sort -z | xargs -0 cat; } | hash_of) || return 1
    place=$FEDBOOT_CACHE/$name-$identity
    if [[ ! -d $place ]]; then
        temporary=$(temporary_in_cache) || return 1
        note "making $name (up to two minutes, once a machine)"
        if ! { "$function" "$directory" "$temporary" "$@" >&2 && keep "$temporary" "$place"; }; then
            rm -rf "$temporary"
            return 1
        fi
    fi
    printf '%s\n' "$place"
}

# need_node_program DIRECTORY: prints the directory with that npm package and all that its package-lock.json names.
need_node_program() {
    made "node-${1##*/}" "$1" npm_install "$(node --version)"
}

npm_install() {
    cp -r "$1/." "$2" && npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund --loglevel=error
}

# need_java_program DIRECTORY PROGRAM [MAVEN_OPTION…]: prints the directory with the classes and the jars of PROGRAM: the
# Java files in DIRECTORY and DIRECTORY/PROGRAM, with what DIRECTORY/PROGRAM/pom.xml names.
need_java_program() {
    made "java-$2" "$1" maven_and_javac "${@:2}"
}

maven_and_javac() {
    local directory=$1 temporary=$2 program=$3
    mvn --batch-mode --quiet --file "$directory/$program/pom.xml" "${@:4}" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$temporary" &&
        javac --release 11 -classpath "$temporary/*" -d "$temporary" "$directory"/*.java "$directory/$program"/*.java
}

# need_cargo_program DIRECTORY: prints the path of the program made of the Cargo package in there, called `client`.
need_cargo_program() {
    local place
    place=$(made "cargo-${1##*/}" "$1" cargo_build "$(rustc --version)") || return 1
    printf '%s\n' "$place/client"
}

cargo_build() {
    build --manifest-path "$1/Cargo.toml" --target-dir "$2/target" &&
        mv "$2/target/debug/client" "$2" && rm -rf "$2/target"
}
