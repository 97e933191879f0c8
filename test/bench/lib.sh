# shellcheck shell=sh
# Sourced by test/bench/run: what the parts share.
#
# A part measures, alternating what it compares, collects one number per line
# in files of $W/samples, and prints rows with `row` and `target`.  All SQL goes
# through one session, so that asking costs no new connection.

RUNS=${RUNS:-3}
EVENTS=${EVENTS:-50000}
BEGAN=$(date +%s)
TICKS=$(getconf CLK_TCK)

say() { # progress
    printf '%5d s  %s\n' $(($(date +%s) - BEGAN)) "$*" >&2
}

# --- the clusters, and a session in the one that is in use

begin_cluster() { # name
    start_cluster "webhook.ca_file = '$W/certs/ca.crt'
webhook.allow_addresses = '127.0.0.0/8'
fsync = on
shared_buffers = '512MB'
max_wal_size = '16GB'
max_worker_processes = 16" "$1"
    open_session
}

# One beside the first, so that what is compared can take turns.
begin_beside() {
    [ -z "${HAS_BESIDE-}" ] || return 0
    HAS_BESIDE=yes
    close_session
    begin_cluster beside
    turn_to data postgres
}

end_clusters() {
    close_session
    for name in data ${HAS_BESIDE:+beside}; do
        use_cluster $name
        stop_cluster
    done
}

turn_to() { # cluster, database
    close_session
    use_cluster "$1"
    open_session
    use_database "$2"
}

open_session() {
    mkfifo "$W/session.in" "$W/session.out"
    psql -XqAt -v ON_ERROR_STOP=1 -d postgres \
        <"$W/session.in" >"$W/session.out" &
    exec 6>"$W/session.in" 7<"$W/session.out"
}

close_session() {
    exec 6>&- 7>&-
    rm "$W/session.in" "$W/session.out"
}

ask() { # SQL without a semicolon at its end, or a command of psql
    # Only the output of queries is flushed, that of \echo is not.
    printf "%s\n;\nselect 'that is all';\n" "$1" >&6
    while IFS= read -r line <&7; do
        [ "$line" != "that is all" ] || return 0
        printf '%s\n' "$line"
    done
    echo "the session has ended; it was asked: $1" >&2
    return 1
}

tell() { # SQL whose result does not matter
    ask "$1" >/dev/null
}

until_true() { # SQL; for ten minutes at most
    deadline=$(($(date +%s) + 600))
    polls=0
    while truth=$(ask "$1") || exit 1; [ "$truth" != t ]; do
        polls=$(((polls + 1) % 1000))
        if [ $polls = 0 ] && [ "$(date +%s)" -gt $deadline ]; then
            echo "waited in vain for: $1" >&2
            ask "select * from webhook.status" >&2
            exit 1
        fi
    done
}

# --- the database

configure() { # setting, value
    tell "alter system set $1 = '$2'"
    tell "select pg_reload_conf()"
}

until_running() { # workers
    until_true "select count(*) filter (where state = 'running') = $1
                       and count(*) = $1 from webhook.status"
}

use_database() { # name
    tell "\\c $1"
    tell "set client_min_messages = error"
    SESSION=$(ask "select pg_backend_pid()")
}

# An empty database of the name bench, with the extension.
fresh_database() {
    [ $# -gt 0 ] || set -- bench
    use_database postgres
    tell "drop database if exists $1 with (force)"
    tell "create database $1"
    use_database "$1"
    tell "create extension pg_walinspect"
    [ "$1" = bench ] || return 0
    tell "create extension webhook"
    until_running 1
}

# Organizations org_0, org_1, ... with one endpoint each.  Their names have a
# fixed width, so that all bodies have 400 bytes.
make_endpoints() { # count, first number, path (with %1$s for the number)
    tell "select webhook.set_organization('org_' || i, 'Benchmark')
            from generate_series($2, $2 + $1 - 1) i"
    tell "select webhook.create_endpoint('org_' || i,
                     'https://localhost:$PORT' || format('$3', i))
            from generate_series($2, $2 + $1 - 1) i"
}

one_endpoint() {
    make_endpoints 1 0 /ok
}

# SQL that emits: its data makes a body of 400 bytes whose "t" is the time.
emit_sql() { # organization as an expression
    echo "webhook.emit('review.completed', $1, format('{\"t\":%s,\"x\":\"%s\"}',
        (extract(epoch from clock_timestamp()) * 1000000)::bigint,
        repeat('x', 254 - length($1))))"
}

# In one transaction, in turn for each of the organizations.
emit_events() { # count, organizations
    tell "select count($(emit_sql "'org_' || i % $2")) from generate_series(1, $1) i"
}

# Many, in transactions of a hundred thousand, by two sessions.
fill() { # count, organizations or an expression of i for the number of one
    case $2 in *i*) set -- "$1" "$2" ;; *) set -- "$1" "i % $2" ;; esac
    fill_half "$1" "$2" 1 &
    other_half=$!
    fill_half "$1" "$2" 2
    wait $other_half
}

# Every other piece, so that what is mixed stays mixed.
fill_half() { # count, expression, 1 or 2
    at=$((($3 - 1) * 100000 + 1))
    while [ "$at" -le "$1" ]; do
        last=$((at + 99999 < $1 ? at + 99999 : $1))
        echo "select count($(emit_sql "'org_' || ($2)"))
                from generate_series($at, $last) i;"
        at=$((at + 200000))
    done | psql -XqAt -v ON_ERROR_STOP=1 -d bench >/dev/null
}

# Rows that look like events taken long ago: copies of the newest one, with a
# transaction of which every cursor knows.
copy_taken() { # count
    tell "insert into webhook.event
            (id, origin, xid, created_at, event_type, organization_id, payload)
          select overlay(e.id::text placing lpad(to_hex(i), 12, '0') from 25)::uuid,
                 e.origin, '3', e.created_at, e.event_type, e.organization_id, e.payload
            from (select * from webhook.event order by id desc limit 1) e,
                 generate_series(1, $1) i"
}

until_drained() {
    until_true "select not exists (select from webhook.queue)"
}

# Nothing on the wire; for when webhook.enabled is off.
until_quiet() {
    until_true "select not exists
                  (select from webhook.queue where next_attempt_at is null)"
}

# Nothing but us: no checkpoint, vacuum or analyze is about to begin.
settle() {
    tell "vacuum analyze"
    tell "checkpoint"
    until_true "select not exists (select from pg_stat_activity
                                    where backend_type = 'autovacuum worker')"
}

restart_server() {
    close_session
    pg_ctl --log="$PGDATA.log" --silent --wait --mode=fast restart
    open_session
    use_database bench
    until_running 1
}

# --- the receiver: commands into a pipe, answers out of another

start_receiver() {
    mkfifo "$W/commands" "$W/answers"
    "$BUILD/receiver" --cert "$W/certs/server.crt" \
        --key "$W/certs/server.key" --addresses 1000 \
        --ca "$W/certs/ca.crt" --ca-key "$W/certs/ca.key" \
        <"$W/commands" >"$W/answers" &
    # shellcheck disable=SC2034
    RECEIVER=$!
    exec 8>"$W/commands" 9<"$W/answers"
    read -r _ PORT <&9
}

receiver() { # command that has an answer
    echo "$*" >&8
    read -r answer <&9
    echo "$answer"
}

forget_requests() {
    echo reset >&8
}

# Until so many were answered; a measurement without them is none.
receive() { # count, seconds
    ANSWERS=$(receiver wait "$1" "${2:-600}")
    [ "${ANSWERS%% *}" -ge "$1" ] && return 0
    echo "only ${ANSWERS%% *} of $1 requests arrived" >&2
    exit 1
}

# Deliveries per second between the first answered request and the last.
received_rate() {
    echo "$ANSWERS" | awk '{ printf "%.0f\n", $1 / $2 }'
}

# So many seconds pass.
pass() {
    receiver wait 999999999999 "$1" >/dev/null
}

divide() { # number, number: a whole number
    echo "$1 $2" | awk '{ printf "%.0f\n", $1 / $2 }'
}

seconds_since() { # time as of date +%s.%N
    echo "$(date +%s.%N) $1" | awk '{ printf "%.6f\n", $1 - $2 }'
}

# --- processor time

process_ticks() { # pid...: of processes that are not the server's
    for pid; do
        awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || :
    done | awk '{ sum += $1 } END { print sum + 0 }'
}

# Ticks of each kind of server process: "worker", "walwriter", "session" (ours),
# "ended" (what is gone: other sessions mostly) and "other".
note_ticks() { # name
    perl "$BENCH/ticks.pl" "$(head -n 1 "$PGDATA/postmaster.pid")" "$SESSION" \
        >"$W/ticks.$1"
}

# Microseconds of processor per delivery, between two notes, of all or a kind.
cpu() { # name, name, deliveries, kinds or nothing
    awk -v kind="${4-}" -v per="$3" -v hz="$TICKS" '
        !kind || $1 ~ "^(" kind ")$" { sum += NR == FNR ? -$2 : $2 }
        END { printf "%.1f\n", sum * 1000000 / hz / per }' \
        "$W/ticks.$1" "$W/ticks.$2"
}

worker_pids() {
    ask "select pid from webhook.status where pid is not null"
}

# Memory of its own that a worker has: without shared buffers.  In MiB.
own_memory() { # pid, Anon (private), File (code and the like) or nothing: both
    awk -v kind="${2-}" '
        $1 == "RssAnon:" && kind != "File" || $1 == "RssFile:" && kind != "Anon" {
            sum += $2 }
        END { printf "%.1f\n", sum / 1024 }' "/proc/$1/status"
}

# The largest of the samples of a worker's memory while something runs.
watch_memory() { # pid, file
    while own_memory "$1" >>"$2" 2>/dev/null; do
        sleep 0.2
    done &
    WATCHER=$!
}

stop_watching() {
    kill "$WATCHER" 2>/dev/null || :
    wait "$WATCHER" 2>/dev/null || :
}

# --- write-ahead log

# Bytes between a position and now, without full-page images.
wal_since() { # position
    ask "select pg_wal_lsn_diff(now, '$1') - coalesce(sum(fpi_size), 0)
           from (select pg_current_wal_flush_lsn() as now) n,
                pg_get_wal_stats('$1', now)
          group by now"
}

# --- samples and rows

sample() { # name, value
    echo "$2" >>"$W/samples/$1"
}

forget_samples() { # name...
    for name; do rm -f "$W/samples/$name"; done
}

median() { # name
    middle <"$W/samples/$1"
}

middle() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

largest() { # name
    sort -n "$W/samples/$1" | tail -n 1
}

# The median, and from where to where the runs went.
spread() { # name
    sort -n "$W/samples/$1" | awk '
        { v[NR] = $1 }
        END { printf "%s", v[int((NR + 1) / 2)]
              if (NR > 1) printf " (%s to %s)", v[1], v[NR]
              print "" }'
}

# The first in percent of the second, which was measured next to it: the median
# of that of each run.
ratio() { # name, name
    paste "$W/samples/$1" "$W/samples/$2" |
        awk '{ printf "%.0f\n", $2 ? $1 * 100 / $2 : 0 }' | middle
}

# A figure that is only told.
row() { # measure, value, ratio
    printf '%s\t%s\t%s\t\t\t\n' "$1" "$2" "${3-}" | tee -a "$W/rows" | print_rows
}

# A figure that is judged: by a number, which may be a part of what is shown.
target() { # measure, value, ratio, number, >= or <=, must, aim, unit
    verdict=$(awk -v n="$4" -v op="$5" -v must="$6" -v aim="${7-}" '
        function met(limit) { return op == ">=" ? n >= limit + 0 : n <= limit + 0 }
        BEGIN { print !met(must) ? "NO" : aim == "" ? "yes" : met(aim) ? "aim" : "must" }')
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$5 $6${8:+ $8}" \
        "${7:+$5 $7${8:+ $8}}" "$verdict" | tee -a "$W/rows" | print_rows
}

print_rows() {
    awk -F '\t' '{ printf "%-58s %26s %-24s %-10s %-10s %s\n", $1, $2, $3, $4, $5, $6 }' |
        sed 's/ *$//'
}

print_heading() {
    printf 'measure\tmedian (range)\tratio\tmust\taim\tmet\n' | print_rows
}

print_markdown() {
    machine | sed 's/$/\n/'
    echo '| measure | median (range) | ratio | must | aim | met |'
    echo '|---|---|---|---|---|---|'
    sed 's/\t/ | /g; s/^/| /; s/$/ |/' "$W/rows"
}

machine() {
    printf '%s: PostgreSQL %s, %s, %s; %s x %s; %s run(s) of %s events\n' \
        "$(date +%F)" "$(ask 'show server_version')" \
        "$(curl-config --version)" \
        "$(openssl version | cut -d' ' -f1,2)" "$(nproc)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
        "$RUNS" "$EVENTS"
}
