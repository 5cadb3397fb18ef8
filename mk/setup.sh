# setup.sh - what ./run, ./test and .ci/run share: installs what is missing to build, and builds.  Sourced, POSIX sh.
# Nothing is asked of the network when everything is there.  Messages go to standard error.

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" > /dev/null 2>&1; }
lib() { have pkg-config && pkg-config --exists "$1" 2> /dev/null; }
cpus() { getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2; }
compiler() { have "${CC:-cc}"; }

# Runs a command quietly; when it fails, shows the end of what it said.
quietly()
{
    mkdir -p build
    "$@" > build/setup.log 2>&1 < /dev/null && return 0
    say "This failed: $*"
    tail -n 25 build/setup.log >&2
    return 1
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Who only wants to use it may have a compiler that came later and warns of more.
[ -n "${CI:-}" ] || export WERROR=

# ---- Debian, Ubuntu ----

installed() { dpkg-query -W -f='${Status}' "$1" 2> /dev/null | grep -q 'ok installed'; }
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 "$@"; }

# Installs those of the packages that are missing; asks the archive for news only when that is needed.
apt_need()
{
    wanted=
    for p in "$@"; do installed "$p" || wanted="$wanted $p"; done
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! have sudo; then
        say "Please run as root:  apt-get install$wanted   and then this again."
        return 1
    fi
    say "Installing with apt-get:$wanted"
    [ "$(id -u)" -eq 0 ] || sudo -v || return 1      # asks for the password while the terminal is still ours
    known=$(apt-cache policy $wanted 2> /dev/null | grep 'Candidate:' | grep -vc '(none)')
    updated=
    if [ "$known" -lt "$(echo $wanted | wc -w)" ]; then quietly apt update; updated=1; fi
    quietly apt install --no-install-recommends $wanted && return 0
    [ -z "$updated" ] && say "Trying again with fresh package lists." && quietly apt update &&
        quietly apt install --no-install-recommends $wanted
}

setup_debian()
{
    list=
    compiler && have make && installed libc6-dev || list=build-essential
    have pkg-config || list="$list pkg-config"
    have xz || list="$list xz-utils"
    for p in jansson:libjansson-dev libutf8proc:libutf8proc-dev libedit:libedit-dev cmocka:libcmocka-dev \
             libcurl:libcurl4-openssl-dev sqlite3:libsqlite3-dev libcrypto:libssl-dev libmicrohttpd:libmicrohttpd-dev; do
        lib "${p%%:*}" || list="$list ${p#*:}"
    done
    [ -z "$list" ] || apt_need $list
}

# What only tests want; without it they skip what needs it.
setup_tests()
{
    have apt-get && have dpkg-query || return 0
    [ "$(id -u)" -eq 0 ] || have sudo || return 0
    apt_need python3-jsonschema haproxy
}

# ---- macOS ----

setup_macos()
{
    if ! xcode-select -p > /dev/null 2>&1; then
        say "Apple's compiler is missing.  Please run:  xcode-select --install   and then this again."
        return 1
    fi
    list=
    have pkg-config || list=pkg-config
    have xz || list="$list xz"
    for p in jansson:jansson libutf8proc:utf8proc cmocka:cmocka libcurl:curl sqlite3:sqlite libcrypto:openssl@3 \
             libmicrohttpd:libmicrohttpd; do
        lib "${p%%:*}" || { have brew && brew list --versions "${p#*:}" > /dev/null 2>&1; } || list="$list ${p#*:}"
    done
    [ -n "$list" ] || return 0
    if ! have brew; then
        say "Missing:$list.  Please install Homebrew (https://brew.sh), which this script then uses."
        return 1
    fi
    say "Installing with brew: $list"
    HOMEBREW_NO_AUTO_UPDATE=1 quietly brew install $list
}

# ---- others ----

setup_other()
{
    list=
    compiler || list="$list C-compiler"
    for p in make pkg-config xz; do have $p || list="$list $p"; done
    for p in jansson libutf8proc libedit cmocka libcurl sqlite3 libcrypto libmicrohttpd; do lib $p || list="$list $p"; done
    [ -n "$list" ] || return 0
    say "Hearth needs these, with their header files:$list"
    if have dnf; then say "Try:  sudo dnf install gcc make pkgconf-pkg-config xz jansson-devel utf8proc-devel libedit-devel libcmocka-devel libcurl-devel sqlite-devel openssl-devel libmicrohttpd-devel"
    elif have pacman; then say "Try:  sudo pacman -S base-devel xz jansson libutf8proc libedit cmocka curl sqlite openssl libmicrohttpd"
    elif have zypper; then say "Try:  sudo zypper install gcc make pkg-config xz libjansson-devel utf8proc-devel libedit-devel libcmocka-devel libcurl-devel sqlite3-devel libopenssl-devel libmicrohttpd-devel"
    fi
    return 1
}

setup()
{
    case $(uname -s) in
    Darwin) setup_macos ;;
    *) if have apt-get && have dpkg-query; then setup_debian; else setup_other; fi ;;
    esac
}

# The packages of the clients that tests/clients_test.c runs, where there are node and npm; without them it skips.
clients()
{
    have node && have npm || return 0
    there=tests/clients/node_modules/.package-lock.json
    if [ -f $there ] && [ ! tests/clients/package-lock.json -nt $there ]; then return 0; fi
    mkdir -p build
    npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund --fetch-retries=1 > build/npm.log 2>&1 < /dev/null ||
        say "npm ci in tests/clients failed (build/npm.log); tests with these clients are skipped"
    return 0
}

# build GOAL...: make, with a line that counts on a terminal, and the end of its output when it fails.
build()
{
    make -q "$@" > /dev/null 2>&1 && return 0
    mkdir -p build
    total=$(make -n "$@" 2> /dev/null | grep -c '"CC   ')
    say "Building Hearth ($total files)"
    make -j"$(cpus)" "$@" > build/make.log 2>&1 < /dev/null &
    maker=$!
    while [ -t 2 ] && kill -0 $maker 2> /dev/null; do
        printf '\r  %s of %s ' "$(grep -c '^CC   ' build/make.log)" "$total" >&2
        sleep 1
    done
    wait $maker
    rc=$?
    if [ -t 2 ]; then printf '\r                    \r' >&2; fi
    [ $rc -eq 0 ] && return 0
    say "make $* failed; the end of build/make.log:"
    tail -n 30 build/make.log >&2
    return $rc
}

# Copies lines as they come, but not the sums of test runs.
without_sums()
{
    while IFS= read -r line; do
        case $line in
        [0-9]*' passed, '[0-9]*' failed, '[0-9]*' skipped') ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

# sum_of LOG: its last sum; a run that never came to one has failed.
sum_of()
{
    awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { sum = $0 }
        END { print sum == "" ? "0 passed, 1 failed, 0 skipped" : sum }' "$1"
}
