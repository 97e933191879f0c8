# shellcheck shell=sh
# Sourced by the parts that compare the rate in one cluster, about which there is
# something special, with that in a cluster beside it where 10,000 events wait:
# windows of WINDOW (50000) deliveries in turn, RUNS each.
#
# Workers are off while events are written.  The rate is the receiver's, from the
# first to the last of a window.

window=${WINDOW:-50000}

# The same in both: an endpoint that has delivered, ten others, nothing waits.
prepare_both() {
    begin_beside
    for cluster in beside data; do
        turn_to $cluster postgres
        configure webhook.enabled on
        fresh_database
        one_endpoint
        make_endpoints 10 1 /ok
        forget_requests
        emit_events 10000 1
        receive 10000 60
        until_drained
        configure webhook.enabled off
        echo 0 >"$PGDATA.waiting"
    done
}

# Let at least so many wait; after it, nothing but us is busy.
have_waiting() { # count, organizations
    waiting=$(cat "$PGDATA.waiting")
    [ "$waiting" -lt "$1" ] || return 0
    fill $(($1 - waiting)) "$2"
    echo "$1" >"$PGDATA.waiting"
    settle
}

run_window() { # sample, events that wait after it, organizations
    have_waiting $(($2 + window)) "$3"
    tell "checkpoint"
    forget_requests
    configure webhook.enabled on
    receive "$window"
    configure webhook.enabled off
    until_quiet
    # What was on the wire, too.
    echo $(($(cat "$PGDATA.waiting") - $(receiver count))) >"$PGDATA.waiting"
    sample "$1" "$(received_rate)"
}

compare() { # sample, events that wait after a window, organizations
    i=0
    while [ $i -lt "$RUNS" ]; do
        i=$((i + 1))
        turn_to beside bench
        run_window "$1_base" 10000 "$3"
        turn_to data bench
        run_window "$1" "$2" "$3"
        say "$1: $(tail -n 1 "$W/samples/$1")/s, 10,000 waiting: $(
            tail -n 1 "$W/samples/$1_base")/s"
    done
}

print_comparison() { # sample, base, what is special
    kept=$(ratio "$1" "$1_base")
    row "deliveries/s $2" "$(spread "$1_base")"
    target "  $3" "$(spread "$1")" "$kept % of that" "$kept" ">=" 90 97 %
}
