#!/usr/bin/env bash
# The one entry point for building, testing and checking. Every verb prints the commands it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'END'
usage: ./build.sh VERB

  deps [--yes] [--check] [STEP...]
                           list what is missing and install it; --check: what check needs, too;
                           STEP: what this step of it needs
  build                    the native library, its tests and bench programs, build/bin/smf and smfc
  run [--yes]              deps and build, then start the demo service and call it for 3 seconds
  test [--short]           every test of both languages
  bench NAME [--full]      measure; NAME: rpc, blocking, client, hostile,
                           metrics, placement, wal
  fuzz [SECONDS]           every fuzzer of both languages, each for so long (default 60)
  soak [COUNT]             the tests over and over (default 20), with every sanitizer
  soak wal [WORKLOADS]     the log's promises: power cuts in so many workloads (default 1000000), every
                           deliberate bug, 1000 kills, a list beside a log for every 2000 workloads
  soak rpc [SEEDS]         the engine's promises: so many stories on a simulated network (default 100000),
                           a hundredth of them with a sanitizer, too, and every deliberate bug
  soak mixed [MINUTES]     everything that ordinary peers do, at once, with servers in Go and in C (default
                           10 minutes): outcomes are right; memory, descriptors and goroutines do not grow
  check [--rest] [STEP...] what has to pass before a change goes in; --rest: all but what test runs
  fmt                      format C and Go
  docs                     the reference of the C API, to build/docs
  clean                    remove everything that was built
  install [--prefix DIR]   headers, libraries, pkg-config and CMake files (/usr/local); smf and smfc,
                           too, where Go is

END
    echo "steps of check: ${check_steps[*]}"
}

run() {
    printf '+' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
    "$@"
}

die() {
    echo "build.sh: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null; }

# --- deps -----------------------------------------------------------------------------------------

arm64_root=/usr/aarch64-linux-gnu # headers and libraries for check_arm64
compress_headers=/usr/include     # where those of zstd and lz4 are

# Prints the Debian packages that are missing for the native library alone.
missing_for_library() {
    local compiler=${CC:-cc}
    has "${compiler%% *}" || compiler=gcc
    has "${compiler%% *}" || has clang || echo gcc libc6-dev
    has cmake || echo cmake
    has ninja || has make || echo make
    [[ -e /usr/include/xxhash.h ]] ||
        { has "${compiler%% *}" && $compiler -E -include xxhash.h -x c /dev/null >/dev/null 2>&1; } ||
        echo libxxhash-dev
}

# Prints the Debian packages that are missing for a build, and for these steps of check.
missing_packages() {
    local step
    has gcc || echo gcc libc6-dev
    missing_for_library
    has pkg-config || echo pkg-config
    has flatc || echo flatbuffers-compiler
    for step; do
        missing_for "$step"
    done
}

# What Go's tests need: they compile FlatBuffers' own verifier, and what smfc generates with every compiler, and have
# the stock zstd read what was compressed.
missing_for_go() {
    has g++ || echo g++
    has clang || echo clang
    has zstd || echo zstd
    [[ -e /usr/include/flatbuffers/flatbuffers.h ]] ||
        { has g++ && g++ -E -include flatbuffers/flatbuffers.h -x c++ /dev/null >/dev/null 2>&1; } ||
        echo libflatbuffers-dev
}

# What libsmf_compress needs. Without it a build leaves that library out; check has to see it.
missing_for_compress() {
    [[ -e $compress_headers/zstd.h ]] || echo libzstd-dev
    [[ -e $compress_headers/lz4hc.h ]] || echo liblz4-dev
}

# What one step of check needs beyond a build.
missing_for() {
    case $1 in
    format) has clang-format || echo clang-format ;;
    shell) has shellcheck || echo shellcheck ;;
    reference) has doxygen || echo doxygen ;;
    cost) has valgrind || echo valgrind ;;
    tidy)
        has clang-tidy || echo clang-tidy
        missing_for_compress
        ;;
    test | race | older)
        missing_for_go
        [[ $1 != test ]] || missing_for_compress
        [[ $1 != test || -x /usr/sbin/mkfs.xfs ]] || echo xfsprogs
        [[ $1 != test || -x /usr/sbin/mkfs.btrfs ]] || echo btrfs-progs
        [[ $1 != test || -x /usr/sbin/mkfs.ext4 ]] || echo e2fsprogs
        ;;
    asan | tsan | fuzz)
        missing_for_compress
        [[ $1 != fuzz ]] || missing_for_go
        has clang || echo clang
        { has clang && [[ -e $(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a") ]]; } ||
            { has clang && [[ -e $(clang -print-runtime-dir)/libclang_rt.fuzzer.a ]]; } ||
            echo libclang-rt-dev
        ;;
    arm64)
        [[ $(uname -m) != aarch64 ]] || return 0
        has aarch64-linux-gnu-gcc || echo gcc-aarch64-linux-gnu
        [[ -e $arm64_root/include/stdio.h && -e $arm64_root/lib/libc.so.6 ]] ||
            echo libc6-dev-arm64-cross
        has qemu-aarch64-static || echo qemu-user-static
        ;;
    esac
}

# Installs packages. $1: not empty: without asking.
get_packages() {
    local yes=$1 answer sudo=()
    shift
    echo "deps: missing: $*"
    has apt-get || die "no apt-get here: install what these Debian packages hold: $*"
    if [[ -z $yes && ! (${CI:-} == true && $EUID == 0) ]]; then
        [[ -t 0 ]] || die "nobody to ask; as root: apt-get install $* (or ./build.sh deps --yes)"
        read -rp "Install them with apt-get? [Y/n] " answer
        [[ ${answer:-y} == [Yy]* ]] || die "not installed: $*"
    fi
    ((EUID == 0)) || sudo=(sudo)
    run "${sudo[@]}" apt-get update
    run "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"
}

verb_deps() {
    local yes='' steps=() argument packages
    for argument; do
        case $argument in
        --yes) yes=1 ;;
        --check) steps=("${check_steps[@]}") ;;
        *)
            [[ " ${check_steps[*]} " == *" $argument "* ]] || die "deps: unknown argument $argument"
            steps+=("$argument")
            ;;
        esac
    done
    has go || die "the go command is missing: install Go 1.25 or newer and put it on PATH"
    mapfile -t packages < <(missing_packages "${steps[@]}" | tr ' ' '\n' | sort -u)
    if ((${#packages[@]} == 0)); then
        echo "deps: nothing is missing"
        return
    fi
    get_packages "$yes" "${packages[@]}"
}

# --- build ----------------------------------------------------------------------------------------

# Configures and builds the native side. $1: folder under build/; the rest: options for CMake.
native_build() {
    local folder=build/$1 generator=() werror=ON
    [[ $1 != install ]] || werror=OFF # a compiler that nobody has tried yet may warn
    shift
    if [[ ! -e $folder/CMakeCache.txt ]] && has ninja; then
        generator=(-G Ninja)
    fi
    run cmake -S . -B "$folder" --log-level=NOTICE "${generator[@]}" -DSMF_WERROR=$werror "$@"
    run cmake --build "$folder" --parallel "$(nproc)"
}

clang_build() { native_build "$@" -DCMAKE_C_COMPILER=clang; }

# Prints what tells the programs the commit that this tree is at: nothing without git, or outside of a
# clone. The go command notes it by itself, but not where -buildvcs=false is set.
commit_flag() {
    local commit
    commit=$(git rev-parse --show-cdup HEAD 2>/dev/null) || return 0
    commit=${commit#$'\n'} # the way up to the root: none
    [[ $commit =~ ^[0-9a-f]+$ ]] || return 0
    [[ -z $(git status --porcelain) ]] || commit+=" with changes"
    echo "-X 'main.builtFrom=$commit'"
}

verb_build() {
    [[ -z $(missing_packages) ]] || verb_deps "$@"
    native_build native -DSMF_IN_TREE=ON
    mkdir -p build/bin
    run go build -ldflags "$(commit_flag)" -o build/bin/ ./go/cmd/smf ./go/cmd/smfc
}

# Writes a file's lines into a log, reads them back, and compares.
run_log() {
    local log=build/run/log
    rm -rf "$log"
    run build/bin/smf log create lines --dir "$log" &&
        run build/bin/smf log append lines --dir "$log" <README.md &&
        run build/bin/smf log read lines --dir "$log" >build/run/lines &&
        run cmp build/run/lines README.md &&
        run build/bin/smf log verify --dir "$log"
}

verb_run() {
    [[ $# == 0 || $* == --yes ]] || die "run: unknown argument $1"
    verb_build "$@"
    mkdir -p build/run
    # Port 0: the system chooses a free one, and the server says which.
    echo "+ build/bin/smf serve --demo --listen 127.0.0.1:0 --admin 127.0.0.1:0 &" >&2
    build/bin/smf serve --demo --listen 127.0.0.1:0 --admin 127.0.0.1:0 >build/run/server.log 2>&1 &
    local server=$! address='' tries status=0 ended=0 shown
    # shellcheck disable=SC2064 # the process of now
    trap "kill $server 2>/dev/null || true" EXIT
    for ((tries = 0; tries < 100; tries++)); do
        address=$(sed -nE 's/^listening on ([^ ]+).*/\1/p;T;q' build/run/server.log)
        if [[ -n $address ]] || ! kill -0 "$server" 2>/dev/null; then
            break
        fi
        sleep 0.1
    done
    cat build/run/server.log
    [[ -n $address ]] || die "the demo service did not start"
    run build/bin/smf call "$address" SmfStorage.Get '{"name": "Hello, smf!"}' || status=$?
    run build/bin/smf load "$address" SmfStorage.Get --duration 3s || status=$?
    shown=$(wc -l <build/run/server.log)
    run_log || status=$?
    run kill -TERM "$server" || true # it has ended, and its status says how
    wait "$server" || ended=$?
    trap - EXIT
    tail -n +$((shown + 1)) build/run/server.log
    ((ended == 0)) || die "the demo service ended with status $ended"
    ((status == 0)) || die "a program that was started ended with status $status"
    cat <<'END'

That was a native loop serving Go handlers over TCP, and a log that kept every line of README.md. What to
try next:
  build/bin/smf serve --demo                             a server of your own, on port 11225
  build/bin/smf load 127.0.0.1:11225 SmfStorage.Get      call it, from another terminal
  build/bin/smf check                                    what this machine offers, and what would help
  build/bin/smf log --help                               logs: append, read, follow, verify
  ./build.sh test                                        every test
  README.md                                              a service of your own in five minutes
END
}

# --- tests ----------------------------------------------------------------------------------------

# Results of one verb's runs; tally counts them at the end.
results=build/results

# Runs the native tests of build/$1. The rest: a command to run ctest under.
native_test() {
    local folder=$1
    shift
    run "$@" ctest --test-dir "build/$folder" --output-on-failure --no-tests=error \
        --parallel "$(nproc)" --output-junit "$PWD/$results/$folder.xml"
}

# Runs go test -json, shows it like go test, keeps it for the count. $1: a name for it.
# The tests of the Go module in the folder $module, this one by default.
go_test() {
    local name=$1
    shift
    run go -C "${module:-.}" test -json -count=1 "$@" | build/bin/tally show "$results/$name.json"
}

start_count() {
    rm -rf "$results"
    mkdir -p "$results" build/bin
    go build -o build/bin/tally ./go/internal/tally
}

count() { build/bin/tally sum "$results"/*; }

verb_test() {
    local short=() failed=0
    case "${1:-}" in
    '') ;;
    --short) short=(-short) ;;
    *) die "test: unknown argument $1" ;;
    esac
    verb_build
    start_count
    native_test native || failed=1
    go_test go "${short[@]}" ./... || failed=1
    module=bench/peers go_test peers "${short[@]}" ./... || failed=1
    count || failed=1
    return $failed
}

verb_bench() {
    has go || verb_deps
    mkdir -p build/bin
    go build -o build/bin/runner ./bench/go/runner
    build/bin/runner --check "$@" # before minutes go into a build
    verb_build
    run build/bin/runner "$@"
}

# Fuzzes with Go. When the time is over, the go command now and then calls its own deadline a failure
# (golang/go#75804): then no input has failed, and it is done again. What it says of a failure is shown when
# it is one.
go_fuzz() {
    local log=build/corpus/$1.log
    mkdir -p build/corpus
    for _ in 1 2 3; do
        run go test -run '^$' -fuzz "^$1\$" -fuzztime "$3s" -fuzzminimizetime 100x "$2" 2>&1 |
            tee "$log" | sed '/^--- FAIL/,$d' && return
        if grep -q 'Failing input written' "$log" || ! grep -q '^    context deadline exceeded$' "$log"; then
            break
        fi
        echo "its time ended in the middle of an input, none has failed: again"
    done
    sed -n '/^--- FAIL/,$p' "$log"
    return 1
}

# One fuzzer in C, for so many seconds.
fuzz_step() {
    local name corpus
    name=$(basename "$1" .c)
    corpus=(build/corpus/"$name")
    mkdir -p "${corpus[0]}"
    [[ ! -d native/fuzz/seeds/$name ]] || corpus+=(native/fuzz/seeds/"$name")
    run "build/fuzz/$name" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="build/corpus/$name-" "${corpus[@]}"
}

verb_fuzz() {
    local seconds=${1:-60} name package failed=0
    [[ $seconds =~ ^[0-9]+$ ]] || die "fuzz: not a number of seconds: $seconds"
    clang_build fuzz -DSMF_FUZZ=ON -DSMF_COMPRESS=ON -DSMF_SANITIZE=address,undefined -DBUILD_TESTING=OFF || return
    printf '%s\n' native/fuzz/fuzz_*.c | # each has one thread
        xargs -P "$(nproc)" -I '{}' bash ./build.sh fuzz-step '{}' "$seconds" || failed=1
    # Minimising what is new takes up to a minute each time, in which nothing else is tried.
    while IFS=: read -r package name; do
        go_fuzz "$name" "./$package" "$seconds" || failed=1
    done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' go cgo |
        sed -E 's|/[^/]*:func |:|' | sort -u)
    # In 60 seconds ten million buffers: so many take about as long.
    run env SMF_BUFFERS=$((seconds * 10000000 / 60 + 1)) go test -count=1 -v -timeout 2h \
        -run '^TestAgreesWithTheStockVerifier$' ./go/flatverify/internal/differ || failed=1
    return $failed
}

# So many seeds of a test that has one thread, on all processors: each process has seeds of its own, and says
# which. $1: how many, $2: the variable that tells the test, the rest: the test.
many_seeds() {
    local each=$((($1 + $(nproc) - 1) / $(nproc))) name=$2 pids=() pid i failed=0
    local base=$(((RANDOM << 30 | RANDOM << 15 | RANDOM) + 1))
    shift 2
    trap 'exit 130' INT
    trap 'exit 143' TERM
    for ((i = 0; i < $(nproc); i++)); do
        run exec env "$name=$each" "$@" --seed $((base + i * each)) &
        pids+=($!)
        # shellcheck disable=SC2064 # the processes until now
        trap "kill ${pids[*]} 2>/dev/null || true" EXIT
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    trap - EXIT INT TERM
    return $failed
}

# The log against its promises. $1: workloads that are cut off (of real files: a thousandth), $2: processes
# that are killed, the rest: to mutate.sh.
prove_wal() {
    local workloads=$1 kills=$2
    shift 2
    many_seeds "$workloads" SMF_WORKLOADS build/native/test_wal_crash
    run env -C build/native SMF_WORKLOADS=$((workloads / 1000 + 1)) ./test_wal_replay
    run native/test/mutate.sh "$@"
    run env SMF_KILLS="$kills" go test -count=1 -v -timeout 2h -run LogIsKilled ./go/cmd/smf
    run env SMF_MODELS=$((workloads / 2000 + 2)) go test -count=1 -v -timeout 2h -run '^TestCrashes$' ./go/wal
}

# The engine against its promises, in so many stories.
prove_rpc() {
    many_seeds "$1" SMF_SEEDS build/native/test_rpc_seeds stories
    clang_build soak-address -DSMF_SANITIZE=address,undefined -DSMF_INVARIANTS=ON
    many_seeds $(($1 / 100 + 1)) SMF_SEEDS build/soak-address/test_rpc_seeds stories
    run native/test/mutate.sh --room rpc
}

# Minutes of mixed traffic.
soak_mixed() {
    [[ $1 =~ ^[0-9]+$ ]] || die "soak mixed: not a number of minutes: $1"
    verb_build
    run env SMF_MIXED_MINUTES="$1" go test -count=1 -v -timeout "$(($1 + 5))m" -run '^TestMixedTraffic$' ./go/internal/traffic
}

verb_soak() {
    if [[ ${1:-} == mixed ]]; then
        soak_mixed "${2:-10}"
        return
    fi
    if [[ ${1:-} == rpc ]]; then
        [[ ${2:-1} =~ ^[1-9][0-9]*$ ]] || die "soak rpc: not a number of seeds: $2"
        verb_build
        prove_rpc "${2:-100000}"
        return
    fi
    if [[ ${1:-} == wal ]]; then
        verb_build
        run env SMF_WAL_FLIPS=1 build/native/test_wal_damage
        prove_wal "${2:-1000000}" 1000
        return
    fi
    local count=${1:-20} sanitizers folder
    [[ $count =~ ^[0-9]+$ ]] || die "soak: not a count: $count"
    verb_build
    for sanitizers in address,undefined memory thread; do
        folder=soak-${sanitizers%,*}
        clang_build "$folder" -DSMF_SANITIZE=$sanitizers -DSMF_INVARIANTS=ON
        run setarch -R ctest --test-dir "build/$folder" --output-on-failure -L native \
            --repeat "until-fail:$count"
    done
    run ctest --test-dir build/native --output-on-failure -L native --repeat "until-fail:$count"
    run go test -count="$count" -timeout 2h ./...
    run go test -race -count="$count" -timeout 2h ./...
}

# --- check ----------------------------------------------------------------------------------------

check_steps=(format shell vet static rules generated reference test wal rpc cost tidy asan tsan race older arm64 fuzz)
in_test=(rules test) # what verb_test runs already

c_files() { find native bench go/flatverify/internal/differ -name '*.[ch]' -o -name '*.cc' | sort; }

check_format() {
    c_files | run xargs clang-format --dry-run -Werror
    local unformatted
    unformatted=$(run gofmt -l go cgo bench)
    [[ -z $unformatted ]] || die "not formatted (./build.sh fmt): $unformatted"
}

check_shell() { run shellcheck build.sh .ci/run native/test/mutate.sh native/test/call_cost.sh; }

check_vet() {
    run go vet ./...
    run go mod tidy -diff
    run go -C bench/peers vet ./...
}

check_static() { run go tool -modfile=tools/go.mod staticcheck ./...; }

check_rules() { go_test rules ./go/internal/tidy/...; }

# Generated code in the tree is what the generator makes today, in the languages that are there.
check_generated() {
    local schema failed=0
    while read -r schema; do
        run build/bin/smfc --check --lang go,c "$schema" || failed=1
    done < <(find schema -name '*.smf.go' | sed 's/\.smf\.go$/.fbs/' | sort)
    return $failed
}

# Every public declaration has its comment: Doxygen fails on those that have none.
check_reference() { verb_docs; }

check_test() {
    local failed=0
    [[ -e build/native/test_compress ]] || die "libsmf_compress was not built: see what ./build.sh build says of it"
    native_test native || failed=1
    go_test go ./... || failed=1
    module=bench/peers go_test peers ./... || failed=1
    return $failed
}

check_wal() { prove_wal 2000 50 --every 10; }

check_rpc() { run native/test/mutate.sh --room rpc --every 10; }

# Instructions and system calls of a call, against those that are known.
check_cost() { run native/test/call_cost.sh build/bin/smf-bench-call-cost; }

# Not the tests: they break rules on purpose. XXH_DEBUGLEVEL: the analyser then sees the assertion that
# only an empty input may be NULL. The commands are GCC's: clang does not know all of its switches.
# One file at a time: of two, its check of va_list takes the second one's va_start for another function.
check_tidy() {
    find native/src native/examples bench -name '*.c' | sort |
        run xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p build/native \
            --extra-arg=-DXXH_DEBUGLEVEL=1 --extra-arg=-Wno-ignored-optimization-argument
}

check_asan() {
    clang_build asan -DSMF_COMPRESS=ON -DSMF_SANITIZE=address,undefined -DSMF_INVARIANTS=ON
    native_test asan
}

# setarch -R: ThreadSanitizer of older compilers does not know today's address-space layouts.
check_tsan() {
    clang_build tsan -DSMF_COMPRESS=ON -DSMF_SANITIZE=thread -DSMF_INVARIANTS=ON
    native_test tsan setarch -R
}

# Not linktest: it runs other programs, which are built without the detector.
check_race() {
    local packages
    mapfile -t packages < <(go list ./... | grep -v '/internal/linktest$')
    ((${#packages[@]} > 0)) || return
    go_test race -race "${packages[@]}"
}

# The newest release of the Go version before: the go command fetches it.
older_go=go1.25.8
check_older() {
    GOTOOLCHAIN=$older_go run go version
    GOTOOLCHAIN=$older_go run go vet ./...
    # Not what C programs find in an installed library: Go has no part in that.
    local in_c='^Test(Examples(AreShortAndRun|FromAnInstalledTree)|CompressorsAreInALibraryOfTheirOwn|'
    in_c+='ExportedSymbolsAreTheList|TheSonameIsTheABI)$'
    GOTOOLCHAIN=$older_go go_test older -skip "$in_c" ./...
}

# Another processor, and one that shows stores to other threads in any order: what is built for it runs
# under an emulator, which finds wrong sizes and system calls, but not a missing barrier. Go finds this
# library the way a user's program does, installed.
check_arm64() {
    local prefix=$PWD/build/arm64-prefix emulator
    if [[ $(uname -m) == aarch64 ]]; then
        echo "this is such a machine: the other steps test it"
        return
    fi
    run rm -rf "$prefix" # nothing of an earlier library
    emulator="qemu-aarch64-static -L $arm64_root"
    native_build arm64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc "-DCMAKE_CROSSCOMPILING_EMULATOR=${emulator// /;}"
    SMF_TEST_EMULATED=1 native_test arm64
    run cmake --install build/arm64 --prefix "$prefix"
    export GOARCH=arm64 CGO_ENABLED=1 CC=aarch64-linux-gnu-gcc PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    run go build -tags smf_system ./...
    run go vet -tags smf_system ./cgo ./go/internal/loop ./go/rpc
    go_test arm64 -tags smf_system -exec "$emulator -E LD_LIBRARY_PATH=$prefix/lib" ./cgo
}

check_fuzz() { verb_fuzz 10; }

# What a step that failed said of it: of a long output that may be far up.
why_failed() {
    echo "== why $1 failed (all of it: build/check/$1.log)"
    grep -nE 'FAIL|CHECK|check failed|broken promise|SURVIVED|DOES NOT|rror:|panic|Sanitizer' "build/check/$1.log" |
        tail -n 12 | cut -c 1-300 || true
    echo ...
    tail -n 8 "build/check/$1.log" | cut -c 1-300
}

# One step runs here; several run one after the other, each in a shell of its own, all of them even
# when one fails.
verb_check() {
    local step steps=() failed=() started
    case "${1:-}" in
    '') steps=("${check_steps[@]}") ;;
    --rest)
        for step in "${check_steps[@]}"; do
            [[ " ${in_test[*]} " == *" $step "* ]] || steps+=("$step")
        done
        ;;
    *) steps=("$@") ;;
    esac
    for step in "${steps[@]}"; do
        [[ " ${check_steps[*]} " == *" $step "* ]] || die "check: no step $step; there are: ${check_steps[*]}"
    done
    [[ -z $(missing_packages "${steps[@]}") ]] || verb_deps "${steps[@]}"
    verb_build
    start_count
    mkdir -p build/check
    for step in "${steps[@]}"; do
        started=$SECONDS
        echo "== $step"
        if bash ./build.sh check-step "$step" 2>&1 | tee "build/check/$step.log"; then
            echo "== $step passed ($((SECONDS - started)) s)"
        else
            echo "== $step failed ($((SECONDS - started)) s)"
            failed+=("$step")
        fi
    done
    for step in "${failed[@]}"; do
        why_failed "$step"
    done
    if compgen -G "$results/*" >/dev/null; then
        count || failed+=(tests)
    fi
    ((${#failed[@]} == 0)) || die "check failed: ${failed[*]}"
}

# --- the rest -------------------------------------------------------------------------------------

verb_fmt() {
    c_files | run xargs clang-format -i
    run gofmt -w go cgo bench
}

verb_docs() {
    has doxygen || die "doxygen is missing: ./build.sh deps reference installs it"
    mkdir -p build/docs
    run doxygen native/doc/Doxyfile
    echo "build/docs/c-api/index.html"
}

verb_clean() { run rm -rf build cgo/link_tree.go; }

# Builds smf and smfc with the library that is installed. The linker finds it before that of the working
# copy, and the go command sees that it has changed, since its folder is called after what is in it.
build_programs() {
    local archive=build/install/libsmf.a folder name
    name=$(sed -nE 's/^#cgo LDFLAGS:.* -l(smf[^ ]*).*/\1/p' cgo/link.go)
    folder=$PWD/build/install/link-$(sha256sum <$archive | cut -c 1-16)
    rm -rf build/install/link-* &&
        mkdir -p "$folder" build/install/bin &&
        cp $archive "$folder/lib$name.a" &&
        run env "CGO_LDFLAGS='-L$folder' ${CGO_LDFLAGS:--O2 -g}" \
            go build -o build/install/bin/ ./go/cmd/smf ./go/cmd/smfc
}

# Needs no more than the library does.
verb_install() {
    local prefix=/usr/local sudo=() packages
    case "${1:-}" in
    '') ;;
    --prefix)
        (($# > 1)) || die "install: --prefix needs a folder"
        prefix=$2
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    *) die "install: unknown argument $1" ;;
    esac
    [[ $prefix == /* ]] || prefix=$PWD/$prefix
    mapfile -t packages < <(missing_for_library | tr ' ' '\n' | sort -u)
    ((${#packages[@]} == 0)) || get_packages '' "${packages[@]}"
    native_build install -DBUILD_TESTING=OFF
    mkdir -p "$prefix" 2>/dev/null || true
    [[ -w $prefix ]] || sudo=(sudo)
    run "${sudo[@]}" cmake --install build/install --prefix "$prefix"
    if ! has go; then
        echo "The go command is missing: the library is installed, which is all that C programs need;"
        echo "smf and smfc are not. Install Go 1.25 or newer, and run this again for them."
    elif build_programs; then
        run "${sudo[@]}" install -D -t "$prefix/bin" build/install/bin/smf build/install/bin/smfc
    else
        die "install: the library is installed; smf and smfc could not be built"
    fi
    if [[ $prefix == /usr/local || $prefix == /usr ]]; then
        run "${sudo[@]}" ldconfig
    else
        echo "To build and run against it:"
        echo "  export PATH=$prefix/bin:\$PATH CMAKE_PREFIX_PATH=$prefix"
        echo "  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib"
    fi
}

verb=${1:-help}
(($# == 0)) || shift
case $verb in
help | -h | --help) usage ;;
deps | build | run | test | bench | fuzz | soak | check | fmt | docs | clean | install) "verb_$verb" "$@" ;;
check-step) "check_$1" ;; # one step of check, called by itself
fuzz-step) fuzz_step "$@" ;;
*) die "no verb $verb: ./build.sh lists them" ;;
esac
