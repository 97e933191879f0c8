# shellcheck shell=sh
# Sourced by the parts that measure one endpoint's throughput: one run of each.

run_ours() {
    settle
    forget_requests
    lsn=$(ask "select pg_current_wal_flush_lsn()")
    note_ticks start
    emit_events "$EVENTS" 1
    started=$(date +%s.%N)
    receive "$EVENTS"
    until_drained
    seconds=$(seconds_since "$started")
    note_ticks end
    tell "select pg_logical_emit_message(true, 'bench', '')"     # flush all
    sample ours "$(divide "$EVENTS" "$seconds")"
    sample cpu "$(cpu start end "$EVENTS")"
    for kind in session worker walwriter; do
        sample "cpu_$kind" "$(cpu start end "$EVENTS" $kind)"
    done
    sample cpu_other "$(cpu start end "$EVENTS" 'other|ended')"
    sample wal "$(wal_per_delivery)"
}

forget_ours() {
    forget_samples ours wal cpu cpu_session cpu_worker cpu_walwriter cpu_other
}

wal_per_delivery() {
    divide "$(wal_since "$lsn")" "$EVENTS"
}

run_floor() {
    "$BUILD/floor" --url "https://localhost:$PORT/ok" \
        --cafile "$W/certs/ca.crt" --count "$EVENTS" \
        --concurrency "$CONCURRENCY" >"$W/floor"
    sample floor "$(awk '{ print int($2) }' "$W/floor")"
    sample floor_cpu "$(awk '{ print $4 }' "$W/floor")"
}

# Unless the throughput part has measured it already.
measure_ours() {
    [ ! -s "$W/samples/ours" ] || return 0
    fresh_database
    one_endpoint
    run_ours
    forget_ours
    i=0
    while [ $i -lt "$RUNS" ]; do
        i=$((i + 1))
        run_ours
        say "run $i: $(tail -n 1 "$W/samples/cpu") us, $(tail -n 1 "$W/samples/wal") bytes"
    done
}

print_cpu() {
    target "server CPU per delivery, in all, us" "$(spread cpu)" '' \
        "$(median cpu)" "<=" 60 45
    [ ! -s "$W/samples/floor_cpu" ] || print_cpu_of_floor
    row "  of it: the emitting backend" "$(spread cpu_session)"
    row "  of it: the worker" "$(spread cpu_worker)"
    row "  of it: the WAL writer" "$(spread cpu_walwriter)"
    row "  of it: other processes" "$(spread cpu_other)"
}

# The targets were set where the floor used 28 us: the same on any machine.
print_cpu_of_floor() {
    of_floor=$(ratio cpu floor_cpu)
    target "  the floor's CPU per request, us" "$(spread floor_cpu)" \
        "ours is $of_floor % of it" "$of_floor" "<=" 214 161 %
}

print_wal() {
    target "WAL per delivery, emit to recorded success, bytes" "$(spread wal)" \
        "" "$(median wal)" "<=" 1700 1400
}

# --- the home-made worker, in a database of its own; HOMEMADE: its process

prepare_homemade() {
    HOMEMADE=
    command -v npm >/dev/null || { say "no npm, no home-made worker"; return 0; }
    cp -R "$BENCH/homemade" "$W/homemade"
    (cd "$W/homemade" && npm install --silent --no-audit --no-fund) \
        >"$W/npm.log" 2>&1 || { say "npm cannot install: no home-made worker"; return 0; }
    fresh_database homemade
    tell "\\i $BENCH/homemade/schema.sql"
    mkfifo "$W/homemade.ready"
    URL="https://localhost:$PORT/ok" CA="$W/certs/ca.crt" PGDATABASE=homemade \
        node "$W/homemade/worker.js" >"$W/homemade.ready" 2>"$W/homemade.log" &
    HOMEMADE=$!
    read -r _ <"$W/homemade.ready" || {
        cat "$W/homemade.log" >&2
        say "node cannot run it: no home-made worker"
        HOMEMADE=
    }
    [ -z "$HOMEMADE" ] || run_homemade
    forget_samples homemade homemade_node homemade_cpu homemade_wal
    use_database bench
}

run_homemade() {
    use_database homemade
    settle
    forget_requests
    lsn=$(ask "select pg_current_wal_flush_lsn()")
    # Tuned: where a vacuum has found the table empty, its plans are for an empty
    # table, and 100 times slower.
    tell "begin;
          select emit_many('review.completed', 'org_0', array(
                 select format('{\"t\":%s,\"x\":\"%s\"}', i, repeat('x', 260))
                   from generate_series(1, $EVENTS) i));
          analyze graphile_worker._private_jobs;
          commit"
    started=$(date +%s.%N)
    note_ticks start
    node_ticks=$(process_ticks "$HOMEMADE")
    receive "$EVENTS"
    until_true "select not exists (select from graphile_worker._private_jobs)"
    seconds=$(seconds_since "$started")
    note_ticks end
    node_ticks=$(($(process_ticks "$HOMEMADE") - node_ticks))
    tell "select pg_logical_emit_message(true, 'bench', '')"
    [ "$(ask "select count(*) >= $EVENTS from delivery_log where status = 200")" = t ]
    sample homemade "$(divide "$EVENTS" "$seconds")"
    sample homemade_node "$(divide $((node_ticks * 1000000 / TICKS)) "$EVENTS")"
    sample homemade_cpu "$(cpu start end "$EVENTS")"
    sample homemade_wal "$(wal_per_delivery)"
    settle      # else a vacuum of this falls into somebody else's run
    use_database bench
}

end_homemade() {
    [ -n "$HOMEMADE" ] || return 0
    kill "$HOMEMADE"
    wait "$HOMEMADE" || :
}
