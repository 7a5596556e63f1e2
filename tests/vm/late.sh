# What systemd starts: the parts for which it runs nodedevd.
. /vm/lib.sh

note "systemd is up after $(cut -d ' ' -f 1 /proc/uptime) s"
for part in $(echo "$nodedev_parts" | tr , ' '); do
    case "$part" in guard|service) carry_out_part "$part" ;; esac
done
power_off
