"""Events of libvirt through libvirt-glib, whose event loop is GLib's: the loop of desktop programs."""

import ctypes
import sys
import time

import libvirt

VHBA = """<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>
<wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn></capability></capability></device>"""
PATIENCE_S = 30

glib = ctypes.CDLL("libglib-2.0.so.0")
ctypes.CDLL("libvirt-glib-1.0.so.0").gvir_event_register()
seen = []


def on_lifecycle(connection, device, event, detail, opaque):
    seen.append(f"{device.name()} {event} {detail} {opaque}")


def wait_for(count):
    """Lets GLib run until so many events were seen."""
    until = time.monotonic() + PATIENCE_S
    while len(seen) < count:
        if time.monotonic() > until:
            sys.exit(f"only {seen} were seen")
        glib.g_main_context_iteration(None, 0)


connection = libvirt.open("test:///default")
number = connection.nodeDeviceEventRegisterAny(None, libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, on_lifecycle, "opaque")
device = connection.nodeDeviceCreateXML(VHBA, 0)
wait_for(1)
device.destroy()
wait_for(2)
connection.nodeDeviceEventDeregisterAny(number)
print(*seen, sep="\n")
