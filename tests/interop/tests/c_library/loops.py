"""Events through the loops that programs in Python run: the default one in a thread, one of Python's own, and asyncio.

The first argument says which."""

import asyncio
import sys
import threading
import time

import libvirt

VHBA = """<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>
<wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn></capability></capability></device>"""
PATIENCE_S = 30

seen = []


def on_lifecycle(connection, device, event, detail, opaque):
    # Calls can be made from inside.
    seen.append(f"{device.name()} {event} {detail} {opaque} {connection.getURI()} {device.parent()}")


async def wait_for(count, step):
    until = time.monotonic() + PATIENCE_S
    while len(seen) < count:
        if time.monotonic() > until:
            sys.exit(f"only {seen} were seen")
        await step()


async def come_and_go(step):
    connection = libvirt.open("test:///default")
    kind = libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE
    number = connection.nodeDeviceEventRegisterAny(None, kind, on_lifecycle, "opaque")
    try:
        connection.nodeDeviceEventRegisterAny(None, kind, on_lifecycle, "again")
    except libvirt.libvirtError as error:
        print(error.get_error_code(), error.get_error_domain(), error)
    device = connection.nodeDeviceCreateXML(VHBA, 0)
    await wait_for(1, step)
    device.destroy()
    await wait_for(2, step)
    connection.nodeDeviceEventDeregisterAny(number)
    try:
        connection.nodeDeviceEventDeregisterAny(number)
    except libvirt.libvirtError as error:
        print(error.get_error_code(), error.get_error_domain(), error)
    print(connection.close())


async def default():
    libvirt.virEventRegisterDefaultImpl()
    fired = []
    timer = libvirt.virEventAddTimeout(5, lambda timer, opaque: fired.append(opaque), "tick")

    async def step():
        libvirt.virEventRunDefaultImpl()

    await come_and_go(step)
    while not fired:
        await step()
    libvirt.virEventRemoveTimeout(timer)
    print(fired[0])


async def thread():
    libvirt.virEventRegisterDefaultImpl()
    libvirt.virEventAddTimeout(5, lambda timer, opaque: None, None)

    def run():
        while True:
            libvirt.virEventRunDefaultImpl()

    # It is in a callback, or about to be, when the interpreter ends.
    threading.Thread(target=run, daemon=True).start()
    await come_and_go(lambda: asyncio.sleep(0.001))


async def with_asyncio():
    import libvirtaio

    libvirtaio.virEventRegisterAsyncIOImpl()
    await come_and_go(lambda: asyncio.sleep(0.001))


asyncio.run({"default": default, "thread": thread, "asyncio": with_asyncio}[sys.argv[1]]())
print(*seen, sep="\n")
