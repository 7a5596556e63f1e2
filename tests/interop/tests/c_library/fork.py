"""A child of a process with a connection opens one of its own, in a network namespace of the test.

usage: fork.py URI
"""

import os
import signal
import subprocess
import sys
import time
import warnings

# Python 3.12 and later warn of any fork beside a thread, and libraries start threads: to survive that is what is tested.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

import libvirt

PATIENCE_S = 30
DEVICE = "net_forked_02_00_00_00_00_0f"


def wait_for(connection):
    until = time.monotonic() + PATIENCE_S
    while DEVICE not in connection.listDevices(None, 0):
        if time.monotonic() > until:
            sys.exit(f"{DEVICE} does not come in process {os.getpid()}")
        time.sleep(0.02)


uri = sys.argv[1]
inherited = libvirt.open(uri)
before = len(inherited.listDevices(None, 0))
child = os.fork()
if child == 0:
    # A child that waits for what never comes is a failure too.
    signal.alarm(2 * PATIENCE_S)
    own = libvirt.open(uri)
    print(len(own.listDevices(None, 0)) == before, flush=True)
    subprocess.run(["ip", "link", "add", "forked", "address", "02:00:00:00:00:0f", "type", "veth"], check=True)
    wait_for(own)
    # Libraries whose inherited connections are of no use say so.
    print("dead or of use", not inherited.isAlive() or len(inherited.listDevices(None, 0)) >= before, flush=True)
    print("inherited", inherited.close(), flush=True)
    wait_for(own)
    print("own", own.close(), flush=True)
    os._exit(0)
print("child", os.waitpid(child, 0)[1])
wait_for(inherited)
print("alive", inherited.isAlive())
print("parent", inherited.close())
