#!/bin/sh
# Takes libvirtd's place as the testkit starts it, with polkit deciding who gets in and what they may do:
#
#   sh polkit.sh WORK libvirtd's arguments…
#
# WORK    holds "rules", which polkit follows in place of all others, and "conf", further lines of configuration for the
#         daemon; with "no-bus" or "no-polkit" in it, those are not started
#
# It is in mount and process namespaces of its own already, and so can make the system bus at its usual place.
set -eu
work=$1
shift

for dir in /etc/polkit-1/rules.d /usr/share/polkit-1/rules.d; do
    mount -t tmpfs -o mode=755 none "$dir"
done
install -m 644 "$work/rules" /etc/polkit-1/rules.d/test.rules
# The bus would start polkit by itself when it is asked.
mount -t tmpfs none /usr/share/dbus-1/system-services

if [ ! -e "$work/no-bus" ]; then
    mkdir -p /run/dbus
    dbus-daemon --system --nofork --nopidfile &
    until [ -S /run/dbus/system_bus_socket ]; do sleep 0.02; done
fi
if [ ! -e "$work/no-bus" ] && [ ! -e "$work/no-polkit" ]; then
    # Where Debian and Ubuntu have it, and where it moved later.
    for polkitd in /usr/lib/polkit-1/polkitd /usr/libexec/polkitd; do
        if [ -x "$polkitd" ]; then break; fi
    done
    "$polkitd" --no-debug &
    until dbus-send --system --print-reply --dest=org.freedesktop.DBus /org/freedesktop/DBus \
        org.freedesktop.DBus.GetNameOwner string:org.freedesktop.PolicyKit1; do
        kill -0 $!
        sleep 0.02
    done
fi

sed -i 's/"none"/"polkit"/' "$2"
cat "$work/conf" >>"$2"
exec libvirtd "$@"
