# Carries out virsh.table twice: through libvirtd's qemu:///system, and through nodedevd. Then compares.
. /vm/lib.sh

nodedevd --run-dir /run/ours > /run/nodedevd.log 2>&1 &
ours=$!
libvirtd > /run/libvirtd.log 2>&1 &
theirs=$!
OURS='virsh -c nodedev:///system?socket=/run/ours/virtnodedevd-sock'
THEIRS='virsh -c qemu:///system'
until_true $THEIRS uri || note "libvirtd is not up: $(tail -n 3 /run/libvirtd.log)"
until_true $OURS uri || note "nodedevd is not up: $(tail -n 3 /run/nodedevd.log)"
note "$(libvirtd --version)"

DEVICES='nic pf vf nvme multi0 multi1 group0 group1 bridge'
grep '|' /vm/virsh.table | grep -v '^#' > /run/table

# through WHO COMMAND: writes what each line printed, its status and all states into /run/WHO.LINE.
through() {
    line=0
    states $DEVICES > "/run/$1.0.after"
    while IFS='|' read -r name command rest; do
        line=$((line + 1))
        case "$command" in
            *nodedev-*) eval "$2 $command" ;;
            *) eval "$command" ;;
        esac > "/run/$1.$line" 2>&1 < /dev/null
        echo "status $?" >> "/run/$1.$line"
        states $DEVICES > "/run/$1.$line.after"
    done < /run/table
}
through theirs "$THEIRS"
through ours "$OURS"
kill $ours $theirs
wait

line=0
while IFS='|' read -r name command expected; do
    line=$((line + 1))
    name=$(trim "$name")
    expected=$(trim "$expected")
    [ -n "$name" ] || continue
    # libvirt passes on modprobe's line break.
    grep -v '^$' /run/ours.$line > /run/ours.text
    grep -v '^$' /run/theirs.$line > /run/theirs.text
    before=$(cat /run/ours.$((line - 1)).after) after=$(cat /run/ours.$line.after)
    text=$(cat /run/ours.text)
    problem=
    case "$expected" in
        same)
            libvirt_left=$(cat /run/theirs.$line.after)
            cmp -s /run/ours.text /run/theirs.text || problem="it says: $text; libvirt: $(cat /run/theirs.text); "
            [ "$after" = "$libvirt_left" ] || problem="$problem it leaves: $after; libvirt: $libvirt_left"
            ;;
        refused:*)
            wanted=$(trim "${expected#refused:}")
            case "$text" in *"$wanted"*) ;; *) problem="it says: $text; " ;; esac
            [ "$before" = "$after" ] || problem="$problem it changed: $before to $after"
            # If libvirt has come to refuse it too, the table is to say so.
            grep -q 'status 0' /run/theirs.text || problem="$problem libvirt refuses it too: $(cat /run/theirs.text)"
            ;;
        *) problem="the table expects '$expected', which is neither same nor refused" ;;
    esac
    if [ -z "$problem" ]; then pass "$name"; else fail "$name" "$problem"; fi
done < /run/table
