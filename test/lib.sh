# shellcheck shell=sh
# Sourced by test/run, test/demo and their like: the way from a checkout that
# may be root's alone to a workspace of somebody else, and a cluster in it.
#
# A script calls enter_workspace first.  That builds, installs, copies the tree
# into a fresh directory and starts the script again from the copy: as user
# postgres when root called, else as the caller.  From there on everything
# lives in $W, and sweep ends and removes it, whatever happened.
#
# For looking closer: KEEP=1 keeps the workspace, WORKSPACE_IN=DIR puts it
# elsewhere than /tmp (short: socket paths are limited to 107 bytes), and
# TEST_USER=NAME is who runs it when root calls.

PG_CONFIG=${PG_CONFIG:-pg_config}
export PG_CONFIG

enter_workspace() { # the script's arguments
    [ -z "${WEBHOOK_WORKSPACE-}" ] || { be_in_workspace; return; }

    script=${SCRIPT:-test/$(basename "$0")}
    build_and_install

    user=
    if [ "$(id -u)" = 0 ]; then
        user=${TEST_USER:-postgres}
        id "$user" >/dev/null 2>&1 || user=nobody
    fi
    W=$(mktemp -d "${WORKSPACE_IN:-/tmp}/webhook.XXXXXX")
    trap 'rm -rf "$W"' EXIT
    trap 'exit 130' HUP INT TERM
    copy_tree "$W/tree"
    mkdir "$W/tmp"
    WEBHOOK_WORKSPACE=$W HOME=$W TMPDIR=$W/tmp LANG=C.UTF-8
    export WEBHOOK_WORKSPACE HOME TMPDIR LANG
    trap - EXIT HUP INT TERM
    [ -n "$user" ] || exec sh "$W/tree/$script" "$@"
    chown -R "$user:" "$W"
    exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
        sh "$W/tree/$script" "$@"
}

build_and_install() {
    # The flags of a calling make are not meant for this one.
    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
    if ! make -s -j"$(nproc)" all || ! make -s install; then
        echo "could not build and install webhook for $PG_CONFIG" >&2
        exit 1
    fi
}

# What tests may read.
copy_tree() { # directory
    mkdir "$1"
    for entry in Makefile webhook.control README.md LICENSE \
        extension sql expected test docs; do
        [ ! -e "$entry" ] || cp -R "$entry" "$1/"
    done
}

be_in_workspace() {
    W=$WEBHOOK_WORKSPACE
    trap 'sweep $?' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    unset LC_ALL LANGUAGE
    for name in $(env | sed -n 's/^\(PG[A-Z]*\)=.*/\1/p'); do
        unset "$name"
    done
    BINDIR=$("$PG_CONFIG" --bindir)
    PATH=$BINDIR:$PATH
    export PATH
}

# End what still runs in the workspace, and remove it; say $last_words.
sweep() { # exit status
    trap '' HUP INT TERM
    perl test/sweep.pl "$W" $$
    cd /
    case ${KEEP-}$1 in
    0 | 129 | 130 | 143) rm -rf "$W" ;;
    *) echo "kept for a look: $W" >&2 ;;
    esac
    [ -z "${last_words-}" ] || echo "$last_words"
    exit "$1"
}

# A cluster in $W/data, or $W/NAME, reached through a socket in there only.
start_cluster() { # lines for postgresql.conf, name
    use_cluster "${2:-data}"
    initdb --username=postgres --auth=trust --no-sync --no-locale \
        --encoding=UTF8 >"$W/initdb.log" 2>&1 ||
        { cat "$W/initdb.log" >&2; exit 1; }
    cat >>"$PGDATA/postgresql.conf" <<EOF
listen_addresses = ''
unix_socket_directories = '$PGDATA'
fsync = off
max_prepared_transactions = 10
shared_preload_libraries = 'webhook'
$1
EOF
    pg_ctl --log="$PGDATA.log" --silent --wait start ||
        { cat "$PGDATA.log" >&2; exit 1; }
}

use_cluster() { # name
    PGDATA=$W/$1 PGHOST=$W/$1 PGUSER=postgres
    export PGDATA PGHOST PGUSER
}

stop_cluster() {
    pg_ctl --mode=fast --silent --wait stop
}
