#!/usr/bin/env bash
# Counts the instructions and the system calls of a call, and compares them with call_cost.txt: more, or less
# by more than 2 %, is an error. What is counted does not depend on how busy the machine is.
#
#     native/test/call_cost.sh PROGRAM    PROGRAM: smf-bench-call-cost
set -uo pipefail
program=${1:?the program smf-bench-call-cost}
list=$(dirname "${BASH_SOURCE[0]}")/call_cost.txt
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
few=2048 many=10240 # their difference is without what a program costs that begins and ends

# Prints instructions and system calls of a run.
count() { # level, depth, calls
    valgrind --tool=callgrind --collect-systime=yes --callgrind-out-file="$folder/out" \
        "$program" --level "$1" --depth "$2" --calls "$3" >"$folder/log" 2>&1 || {
        cat "$folder/log" >&2
        return 1
    }
    awk '$1 == "summary:" || $1 == "totals:" { print $2, $3; exit }' "$folder/out"
}

known=$(sed -n 's/^compiler //p' "$list")
compiler=$(cc --version | head -n 1)
[[ $compiler == "$known" ]] ||
    echo "instructions are not compared: they were counted with $known, this is $compiler"
status=0
while read -r level depth instructions calls; do
    less=$(count "$level" "$depth" $few) && more=$(count "$level" "$depth" $many) || exit 1
    echo "$less $more" | awk -v n=$((many - few)) -v level="$level" -v depth="$depth" -v known="$instructions" \
        -v sys="$calls" -v same="$([[ $compiler == "$known" ]] && echo 1)" '
        function off(value, wanted) { return value > wanted * 1.02 || value < wanted * 0.98 }
        {
            instructions = ($3 - $1) / n
            calls = ($4 - $2) / n
            bad = off(calls, sys) || (same && off(instructions, known))
            printf "%s level %d, %d together: %.0f instructions (%d), %.3f system calls (%.3f)\n",
                bad ? "FAIL" : "good", level, depth, instructions, known, calls, sys
            exit bad
        }' || status=1
done < <(grep -E '^[0-9]' "$list")
((status == 0)) ||
    echo "what a call costs has changed: find out why; if it is meant to, write it into $list"
exit $status
