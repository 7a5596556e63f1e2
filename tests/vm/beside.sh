# The same commands through the real libvirtd and through nodedevd, both of which serve the same guest all the time. For each
# line of a table: what virsh says and its status, what it leaves, and what clients of either daemon hear of it.

# begin URI: starts both daemons, the real one to be reached by this URI, and clients of each that print its events.
begin() {
    THEIRS=$1
    nodedevd --run-dir /run/ours > /run/nodedevd.log 2>&1 &
    daemons=$!
    libvirtd > /run/libvirtd.log 2>&1 &
    daemons="$daemons $!"
    until_true virsh -c "$THEIRS" uri || note "libvirtd is not up: $(tail -n 3 /run/libvirtd.log)"
    until_true virsh -c "$OURS" uri || note "nodedevd is not up: $(tail -n 3 /run/nodedevd.log)"
    listeners=
    for kind in lifecycle update; do
        listen "$THEIRS" $kind /run/heard.theirs.$kind
        listen "$OURS" $kind /run/heard.ours.$kind
    done
    until_heard /run/heard.*.* || note "not all clients hear events: $(wc -l /run/heard.*)"
}

end() {
    kill $listeners $daemons
    wait
}

# hear: adds what has been heard since to files of the line, and counts events of devices that come and go, and updates of the
# real one. It starts no program.
hear() {
    news=
    while read -r event <&3; do echo "$event" >> "$record.theirs"; news=y from_theirs=$((from_theirs + 1)); done
    while read -r event <&4; do echo "$event" >> "$record.theirs"; news=y updates=$((updates + 1)); done
    while read -r event <&5; do echo "$event" >> "$record.ours"; news=y from_ours=$((from_ours + 1)); done
    while read -r event <&6; do echo "$event" >> "$record.ours"; news=y; done
}

# Waits until nothing more is heard, both daemons' clients have heard as much of devices that come and go, and the real one's have
# heard of the least of updates, for which it runs mdevctl first; six seconds at most.
settle() {
    udevadm settle --timeout=10
    quiet=0 tries=0
    while [ $tries -lt 60 ]; do
        tries=$((tries + 1))
        usleep 100000
        hear
        if [ -z "$news" ]; then quiet=$((quiet + 1)); else quiet=0; fi
        [ $quiet -ge 3 ] && [ $from_theirs = $from_ours ] && [ $updates -ge $least ] && return
    done
}

# through WHO URI: of each line of /run/table, into /run/WHO.LINE.* : text with status; where it is to change something, also
# what is left, as left of the part prints it, and the events of either daemon.
through() {
    line=0 record=/run/$1.0
    hear
    from_theirs=0 from_ours=0 updates=0 least=0
    settle
    left > "$record.left"
    while IFS='|' read -r name command rest; do
        line=$((line + 1)) record=/run/$1.$line from_theirs=0 from_ours=0 updates=0 least=0
        case "$1 $rest" in 'theirs  same but libvirt updates') least=1 ;; esac
        : > "$record.theirs"
        : > "$record.ours"
        case "$command" in
            *nodedev-*) eval "virsh -c '$2' $command" ;;
            *) eval "$command" ;;
        esac > "$record.text" 2>&1 < /dev/null
        echo "status $?" >> "$record.text"
        case "$command" in
            *nodedev-info*|*nodedev-dumpxml*|*nodedev-list*) : > "$record.left" ;;
            *)
                settle
                left > "$record.left"
                ;;
        esac
    done < /run/table
}

# What is arbitrary: UUIDs that are made up. Those of the tables begin with zeros. A part may add to it.
ARBITRARY='s/00000000\([-_]\)0000/known\10000/g
s/[0-9a-f]\{8\}\([-_]\)[0-9a-f]\{4\}[-_][0-9a-f]\{4\}[-_][0-9a-f]\{4\}[-_][0-9a-f]\{12\}/any\1uuid/g
s/known\([-_]\)0000/00000000\10000/g'

# Without the empty lines of what modprobe says, which libvirt passes on; with events in the order of their devices.
normal() {
    case "$1" in
        *.text) order=cat ;;
        *.left) order=sort ;;
        *) order='sort -s -k 6,6' ;;
    esac
    sed -e "$ARBITRARY" -e '/^$/d' "$1" | $order
}

# differ WHAT A B: says so. Until libvirt's fix of CVE-2026-61478, a mistake in an empty line of a document ends in two lines that
# ours ends in, too.
differ() {
    cmp -s "$2" "$3" && return
    normal "$2" > /run/a
    normal "$3" > /run/b
    grep -q '^(null)$' /run/a || sed -i '/^(null)$/{N;/\n\^$/d;}' /run/b
    cmp -s /run/a /run/b || problem="$problem $1: $(diff -U 0 /run/a /run/b | tail -n +4); "
}

# beside TABLE
beside() {
    grep '|' "/vm/$1" | grep -v '^#' > /run/table
    exec 3< /run/heard.theirs.lifecycle 4< /run/heard.theirs.update 5< /run/heard.ours.lifecycle 6< /run/heard.ours.update
    through theirs "$THEIRS"
    through ours "$OURS"
    exec 3<&- 4<&- 5<&- 6<&-
    line=0
    while IFS='|' read -r name command expected; do
        line=$((line + 1))
        name=$(trim "$name")
        expected=$(trim "$expected")
        [ -n "$name" ] || continue
        theirs=/run/theirs.$line ours=/run/ours.$line before=/run/ours.$((line - 1)).left
        problem=
        case "$expected" in
            same|'same but libvirt updates')
                if [ "$expected" != same ]; then
                    grep -q "'update'" $theirs.theirs || problem='libvirt has no update event; '
                    for heard in $theirs.theirs $ours.theirs; do sed -i "/'update'/d" $heard; done
                fi
                differ 'libvirt says, and we say' $theirs.text $ours.text
                differ 'libvirt leaves, and we leave' $theirs.left $ours.left
                differ 'events of libvirt and ours' $theirs.theirs $ours.ours
                differ "events of libvirt's operation, by libvirt and by us" $theirs.theirs $theirs.ours
                ;;
            'same but gone at once')
                for heard in $theirs.theirs $theirs.ours $ours.ours; do
                    [ "$(grep -c ': Created$' $heard)" = "$(grep -c ': Deleted$' $heard)" ] ||
                        problem="$problem what came did not go: $(cat $heard); "
                    sed -i "/: Created$/d; /: Deleted$/d; /'update'/d" $heard
                done
                differ 'libvirt says, and we say' $theirs.text $ours.text
                differ 'libvirt leaves, and we leave' $theirs.left $ours.left
                differ 'events of libvirt and ours' $theirs.theirs $ours.ours
                differ "events of libvirt's operation, by libvirt and by us" $theirs.theirs $theirs.ours
                ;;
            'same but rebound')
                differ 'libvirt says, and we say' $theirs.text $ours.text
                differ 'libvirt leaves, and we leave' $theirs.left $ours.left
                differ 'there are events' $ours.ours /dev/null
                [ -s $theirs.theirs ] || problem="$problem libvirt has no events either"
                ;;
            refused:*)
                wanted=$(trim "${expected#refused:}")
                case "$(cat $ours.text)" in *"$wanted"*) ;; *) problem="it says: $(cat $ours.text); " ;; esac
                differ 'it changed' $before $ours.left
                # If libvirt has come to refuse it too, the table is to say so.
                grep -q 'status 0' $theirs.text || problem="$problem libvirt refuses it too: $(cat $theirs.text)"
                ;;
            'refused otherwise:'*)
                wanted=$(trim "${expected#refused otherwise:}")
                case "$(cat $ours.text)" in *"$wanted"*) ;; *) problem="it says: $(cat $ours.text); " ;; esac
                differ 'it changed' $before $ours.left
                ! grep -q 'status 0' $theirs.text || problem="$problem libvirt does it"
                ;;
            *) problem="the table expects '$expected', which is none of its words" ;;
        esac
        if [ -z "$problem" ]; then pass "$name"; else fail "$name" "$problem"; fi
    done < /run/table
}
