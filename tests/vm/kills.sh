# Kills nodedev and nodedevd with SIGKILL at random moments of operations on one device, half of $nodedev_kills each. What
# counts is kills in the middle: the journal has an operation that has begun and has not ended. After each the device has to be
# detached or back in full once somebody has recovered it.
. /vm/lib.sh

JOURNAL=/run/nodedev/handover/$AT_nic.json
HERE=nic=e1000e/-
THERE=nic=vfio-pci/vfio-pci
seed=12345

# Sets $random, from 0 to $1 - 1.
random() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    random=$((seed / 256 % $1))
}

# Sets $journal: what it says of the device, detaching, detached, reattaching or none.
journal() {
    journal=none
    [ -e "$JOURNAL" ] || return
    while read -r key value; do
        [ "$key" = '"state":' ] && journal=$(echo "$value" | tr -d '",')
    done 2> /dev/null < "$JOURNAL"
}

# Waits until the journal has the operation, or its process is gone. An operation takes tenths of a second.
until_begun() {
    until is_over "$client"; do
        while read -r key value; do
            case "$key$value" in '"state":"detaching"'*|'"state":"reattaching"'*) return ;; esac
        done 2> /dev/null < "$JOURNAL"
    done
}

# Kills process $1 soon after the operation of $client has begun; sets $was. The pause is adapted to the machine.
kill_during() {
    until_begun
    random "$range"
    usleep "$random"
    kill -9 "$1" 2> /dev/null
    for process in "$1" "$client"; do
        until_true is_over "$process" || bad="$bad killed $1 in $operation, and $process does not end: $(stuck "$process");"
        kill -9 "$process" 2> /dev/null
        wait "$process" 2> /dev/null
    done
    journal
    case "$operation $journal" in
        *ing) was=middle middle=$((middle + 1)) range=$((range * 11 / 10)) ;;
        'detach none'|'reattach detached') was=early early=$((early + 1)) ;;
        *) was=late late=$((late + 1)) range=$((range * 9 / 10 + 1000)) ;;
    esac
}

# Whether the device is as the journal says, which is one of the two ends; counts which one it is. nodedevd recovers what it
# finds before it answers, and what the kernel has not come back from as soon as it does.
look() {
    journal
    if are $HERE && [ $journal = none ]; then end=reattach
    elif are $THERE && [ $journal = detached ]; then end=detach
    else
        bad="$bad $operation, killed $was, left $(states nic), journal $journal;"
        return
    fi
    count "$end"
}

is_at_an_end() { journal; case $journal in *ing) return 1 ;; esac; }

# count END: how the operation that was killed in the middle ended.
count() {
    [ $was = middle ] || return
    if [ "$1" = "$operation" ]; then finished=$((finished + 1)); else undone=$((undone + 1)); fi
}

begin() {
    range=100000 middle=0 early=0 late=0 finished=0 undone=0 bad= attempts=0
    wanted=$(((nodedev_kills + 1) / 2))
}

goes_on() {
    [ $middle -lt $wanted ] && [ $attempts -lt $((wanted * 6 + 20)) ] && [ -z "$bad" ] || return 1
    attempts=$((attempts + 1))
    if are $HERE; then operation=detach; else operation=reattach; fi
}

result() {
    text="$middle kills in the middle ($finished operations finished, $undone undone), $early before it, $late after it"
    note "$1: $text"
    [ $middle -ge $wanted ] || bad="$bad only $text;"
    if [ -z "$bad" ]; then pass "$1 survives kill -9"; else fail "$1 survives kill -9" "$bad"; fi
}

begin
while goes_on; do
    nodedev $operation $nic > /dev/null 2>&1 &
    client=$!
    kill_during $client
    # Whoever comes next recovers it: here with the same operation or the opposite one.
    random 2
    if [ $random = 0 ]; then next=detach other=reattach; else next=reattach other=detach; fi
    nodedev $next $nic > /run/out 2>&1 || bad="$bad $next after $operation, killed $was: $(cat /run/out);"
    if grep -q -e 'detached already' -e 'not detached' /run/out; then count $next; else count $other; fi
    was=recovered
    look
    [ -n "$bad" ] || [ "$end" = $next ] || bad="$bad $next after $operation left $(states nic);"
done
result nodedev

start() {
    nodedevd --run-dir /run/ours >> /run/nodedevd.log 2>&1 &
    daemon=$!
    until_true timeout 30 virsh -c "$OURS" uri || bad="$bad nodedevd does not start: $(tail -n 3 /run/nodedevd.log);"
}

begin
start
while goes_on; do
    virsh -c "$OURS" nodedev-$operation $nic > /dev/null 2>&1 &
    client=$!
    kill_during $daemon
    start
    until_true is_at_an_end
    [ -n "$bad" ] || look
done
kill $daemon
wait $daemon
result nodedevd
