# Devices that come and go by QEMU while nodedevd serves and hands them over.
. /vm/lib.sh
. /vm/carry.sh

ours() { virsh -c "$OURS" "$@"; }

start() {
    nodedevd --run-dir /run/ours >> /run/nodedevd.log 2>&1 &
    echo $! > /run/daemon
    until_true ours uri
    listeners=
    listen "$OURS" lifecycle /run/heard
    echo "$listeners" > /run/listener
    until_heard /run/heard
}
stop() {
    kill "$@" "$(cat /run/daemon)"
    until_true is_over "$(cat /run/daemon)"
    kill "$(cat /run/listener)"
}
# heard PATTERN: whether clients are told that within ten seconds.
heard() {
    tries=0
    until grep -q "$1" /run/heard; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || return 1
        usleep 100000
    done
}
forget_heard() { : > /run/heard; }

start
carry_out plug.table
stop
