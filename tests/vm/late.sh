# What systemd starts: the parts for which it runs nodedevd.
. /vm/lib.sh

note "systemd is up after $(cut -d ' ' -f 1 /proc/uptime) s"
for part in $(echo "$nodedev_parts" | tr , ' '); do
    if is_late "$part"; then carry_out_part "$part"; fi
done
power_off
