"""Prints each node device event that the connection of the URI in the first argument tells of: NAME EVENT."""

import sys

import libvirt

EVENTS = ["Created", "Deleted", "Defined", "Undefined"]


def lifecycle(_connection, device, event, _detail, _opaque):
    print(device.name(), EVENTS[event], flush=True)


def update(_connection, device, _opaque):
    print(device.name(), "Updated", flush=True)


libvirt.virEventRegisterDefaultImpl()
connection = libvirt.open(sys.argv[1])
connection.nodeDeviceEventRegisterAny(None, libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, lifecycle, None)
connection.nodeDeviceEventRegisterAny(None, libvirt.VIR_NODE_DEVICE_EVENT_ID_UPDATE, update, None)
while True:
    libvirt.virEventRunDefaultImpl()
