# shellcheck shell=bash disable=SC2034,SC2154
# What ./dev says while it works: steps, errors, the log; and the stamps that make the second time quick.

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

say() { printf '%s\n' "$*" >&2; }

die() {
    local line
    say "${red}error:${plain} $1"
    shift
    for line in "$@"; do [[ -z $line ]] || say "       $line"; done
    exit 1
}

# step [--or HINT] WHAT COMMAND...: one line with the time it took. The output goes to the log; on failure its end is
# shown and the run ends. Never called in a condition: there `set -e` would not hold in the functions that it runs.
step() {
    local hint=''
    if [[ $1 == --or ]]; then hint=$2 && shift 2; fi
    set +e
    run_logged "$@"
    local status=$?
    set -e
    ((status == 0)) || die "$1: exit status $status" "$hint" "The whole output: $log"
}

# try WHAT COMMAND...: as step, for one external command whose failure the caller handles.
try() { run_logged "$@"; }

run_logged() {
    local what=$1 begun=$SECONDS from status ticker=''
    shift
    printf '\n== %s\n$ %s\n' "$what" "$*" >>"$log"
    from=$(($(stat -c %s "$log") + 1))
    if [[ -t 2 ]]; then
        tick "$what" "$from" &
        ticker=$!
    fi
    (
        set -e
        "$@"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    if [[ -n $ticker ]]; then
        kill "$ticker"
        wait "$ticker" 2>/dev/null
        printf '\r\e[K' >&2
    fi
    if ((status == 0)); then
        say "  ${green}ok${plain}      $what ${dim}($((SECONDS - begun)) s)${plain}"
    else
        say "  ${red}failed${plain}  $what ($((SECONDS - begun)) s); the end of its output:"
        tail -c "+$from" "$log" | tail -n 60 | sed 's/^/    | /' >&2
    fi
    return "$status"
}

# The line that a terminal shows while a step runs: seconds, and what it said last.
tick() {
    local begun=$SECONDS last
    while kill -0 "$$" 2>/dev/null; do
        last=$(tail -c "+$2" "$log" | tail -n 1 | tr -cd '[:print:]' | cut -c1-60)
        printf '\r\e[K  ...     %s (%d s) %s' "$1" "$((SECONDS - begun))" "$dim$last$plain" >&2
        sleep 1
    done
}

# A log for each run, so that one does not write into another's; NAME.log leads to the newest, and the newest five stay.
open_log() {
    mkdir -p "$log_dir"
    log=$log_dir/$1-$$.log
    : >"$log"
    ln -sfn "$1-$$.log" "$log_dir/$1.log"
    find "$log_dir" -name "$1-*.log" -printf '%T@ %p\n' | sort -rn | tail -n +6 | cut -d' ' -f2- |
        xargs -d '\n' -r rm -f || true # another run may delete the same
}

# One set-up at a time in this checkout.
lock() {
    mkdir -p "$dev"
    exec {lock_fd}>"$dev/lock"
    flock -n "$lock_fd" && return 0
    say "waiting for another ./dev in this checkout to finish its set-up"
    flock "$lock_fd"
}
unlock() { exec {lock_fd}>&-; }

# ---------------------------------------------------------------------------------------------- stamps

hash_of() { sha256sum | cut -c1-16; }
fresh() { [[ -f $1 && $(<"$1") == "$2" ]]; }
