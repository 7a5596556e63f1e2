# carry_out TABLE: does what a table of one line a check says, and looks at status, output and states of devices.
carry_out() {
    grep '|' "/vm/$1" | grep -v '^#' > /run/table
    while IFS='|' read -r name command status wanted after; do
        name=$(trim "$name")
        wanted=$(trim "$wanted")
        (eval "$command") > /run/out 2>&1 < /dev/null
        is=$?
        [ -n "$name" ] || continue
        out=$(cat /run/out)
        problem=
        [ $is = "$(trim "$status")" ] || problem="status $is; "
        case "$out" in *"$wanted"*) ;; *) problem="$problem not said: $wanted; " ;; esac
        for pair in $after; do
            are "$pair" || problem="$problem $(states "${pair%%=*}"); "
        done
        if [ -z "$problem" ]; then pass "$name"; else fail "$name" "$problem$out"; fi
    done < /run/table
}
