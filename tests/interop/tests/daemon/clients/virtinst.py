"""Opens a connection with virt-manager's library and prints the host's architecture and the names of its devices.

usage: virtinst.py URI
"""

import sys

sys.path.insert(0, "/usr/share/virt-manager")

from virtinst import VirtinstConnection  # noqa: E402  the path has to be known first

connection = VirtinstConnection(sys.argv[1])
connection.open(None, None)
print("architecture", connection.caps.host.cpu.arch)
for device in sorted(connection.fetch_all_nodedevs(), key=lambda device: device.name.casefold()):
    print(device.name)
