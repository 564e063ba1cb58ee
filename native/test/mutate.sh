#!/usr/bin/env bash
# Puts bugs into a copy of the native library, one at a time, and runs the tests of a room against each: a bug
# that no test notices, or that does not apply any more, is an error.
#
#     native/test/mutate.sh [--room wal|rpc] [--every N] [--by TEST] [NAME...]
#
# --room wal, which it is if nothing is said: the bugs of wal_mutations.txt, and the tests of the log. --room rpc:
# those of rpc_mutations.txt, and the tests of level 2's sessions. --every N takes each Nth bug only; names take
# those. --by TEST: that test alone has to notice them. Of all of them the text has to be there. Everything is written to build/mutate.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

folder=build/mutate
room=wal
every=1
by=
names=()
while (($#)); do
    case $1 in
    --every)
        every=${2:?--every needs a number}
        shift
        ;;
    --by)
        by=${2:?--by needs a test}
        shift
        ;;
    --room)
        room=${2:?--room needs wal or rpc}
        shift
        ;;
    -*)
        echo "$0: unknown option $1" >&2
        exit 2
        ;;
    *) names+=("$1") ;;
    esac
    shift
done

# The quick ones first: most bugs end there.
case $room in
wal)
    tests=(test_wal_scan test_wal_kinds test_wal_recover test_wal_meta test_wal_roll test_wal_append test_wal_retry
        test_wal_reader test_wal_office test_wal_damage test_wal_crash test_wal_fault)
    ;;
rpc)
    tests=(test_rpc_flow test_rpc_level2 test_rpc_hello test_rpc_stream_limits test_rpc_stream_memory
        test_rpc_stream_nomem test_rpc_limits test_rpc_bad_input test_rpc_flow_model test_rpc_stream
        test_rpc_stream_replay test_rpc_stream_random test_rpc_level2_bad test_rpc_seeds)
    ;;
*)
    echo "$0: --room $room: there are wal and rpc" >&2
    exit 2
    ;;
esac
[[ -n $by ]] && tests=("$by")
list=native/test/${room}_mutations.txt

die() {
    echo "$0: $1" >&2
    exit 1
}

# Only what differs, so that little is compiled again. The go command passes over folders with such a name.
copy_tree() {
    mkdir -p "$folder/_tree" || return
    local file
    while IFS= read -r file; do # what is gone by now
        [[ -e $file ]] || rm "$folder/_tree/$file" || return
    done < <(cd "$folder/_tree" && find . -type f)
    while IFS= read -r file; do
        cmp -s "$file" "$folder/_tree/$file" && continue
        mkdir -p "$(dirname "$folder/_tree/$file")" && cp "$file" "$folder/_tree/$file" || return
    done < <(find CMakeLists.txt native schema/demo schema/golden* go/codegen/testdata/streams -type f)
}

build() {
    cmake --build "$folder/native" -j "$(nproc)" --target "${tests[@]}" >"$folder/build.log" 2>&1
}

# Sets caught to what noticed the bug, or to nothing.
run_tests() {
    local name log=$folder/test.log
    caught=
    for name in "${tests[@]}"; do
        # In a shell of its own, which keeps quiet when it is killed.
        (SMF_WORKLOADS=${SMF_WORKLOADS:-60} timeout 120 "$folder/native/$name" --seed 1) >"$log" 2>&1 &&
            continue
        caught="$name: $(grep -m1 -E 'broken promise|CHECK|check failed|FAIL' "$log" | cut -c1-100)"
        return
    done
}

wanted() { # name, number
    local name
    ((${#names[@]} == 0)) && { (($2 % every == 0)); return; }
    for name in "${names[@]}"; do [[ $1 == "$name" ]] && return; done
    return 1
}

count=0
tried=0
bad=0

try() { # name, file, what is there, what is put in its place
    local original mutated rest
    original=$(<"$2") || die "$1: no file $2"
    rest=${original/"$3"/}
    if [[ $rest == "$original" || ${rest/"$3"/} != "$rest" ]]; then
        echo "DOES NOT APPLY $1: $2 has its text not exactly once"
        bad=$((bad + 1))
        return
    fi
    wanted "$1" $((count++)) || return
    tried=$((tried + 1))
    mutated=${original/"$3"/"$4"}
    printf '%s\n' "$mutated" >"$folder/_tree/$2"
    if ! build; then
        echo "DOES NOT BUILD $1: $(grep -m1 error "$folder/build.log")"
        bad=$((bad + 1))
    else
        run_tests
        if [[ -n $caught ]]; then
            echo "caught   $1 by $caught"
        else
            echo "SURVIVED $1"
            bad=$((bad + 1))
        fi
    fi
    cp "$2" "$folder/_tree/$2"
}

copy_tree || die "the tree could not be copied to $folder"
cmake -S "$folder/_tree" -B "$folder/native" -DCMAKE_BUILD_TYPE=Release >"$folder/build.log" 2>&1 ||
    die "cmake failed: see $folder/build.log"
build || die "the tests could not be built: see $folder/build.log"
run_tests
[[ -z $caught ]] || die "the tests fail without any bug: $caught"

name='' file='' from='' to='' part=''
mapfile -t lines <"$list"
for line in "${lines[@]}"; do
    case $part:$line in
    :'== '*) name=${line#== } file='' from='' to='' ;;
    :'in '*) file=${line#in } ;;
    :'<<<') part=from ;;
    from:'>>>') part=to ;;
    to:'===')
        part=
        try "$name" "$file" "${from%$'\n'}" "${to%$'\n'}"
        ;;
    from:*) from+=$line$'\n' ;;
    to:*) to+=$line$'\n' ;;
    esac
done

echo "$tried bugs tried, $bad of them not caught"
((tried > 0 && bad == 0))
