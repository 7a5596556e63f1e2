"""Calls every node device function of libvirt's Python binding and prints what comes of it, in a stable order.

usage: everything.py URI
"""

import sys

import libvirt

libvirt.registerErrorHandler(lambda context, error: None, None)


def attempt(what, function, *arguments):
    """Prints the result of a call, or every field of its error."""
    try:
        result = function(*arguments)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_XML_INVALID_SCHEMA:
            # What is wrong is told in libxml2's words by one and in ours by the other.
            print(what, "->", error.get_error_message().split("\n")[0])
            return None
        fields = [
            error.get_error_code(),
            error.get_error_domain(),
            error.get_error_level(),
            error.get_error_message(),
            error.get_str1(),
            error.get_str2(),
            error.get_str3(),
            error.get_int1(),
            error.get_int2(),
        ]
        print(what, "->", fields)
        return None
    if isinstance(result, libvirt.virNodeDevice):
        print(what, "->", "device", result.name())
    elif isinstance(result, list):
        print(what, "->", sorted(x.name() if isinstance(x, libvirt.virNodeDevice) else x for x in result))
    else:
        print(what, "->", repr(result))
    return result


def connection(uri, name):
    opener = libvirt.openReadOnly if name == "read-only" else libvirt.open
    c = opener(uri)
    for method in [
        "getType", "getLibVersion", "getVersion", "isAlive", "isSecure", "isEncrypted", "getMaxVcpus", "listDomainsID",
        "numOfDomains", "listNetworks", "listStoragePools", "listInterfaces", "listSecrets", "listNWFilters",
        "getSysinfo", "getCPUMap", "getMemoryStats", "changeCommit", "getCPUModelNames",
    ]:
        arguments = {"getMaxVcpus": [None], "getMemoryStats": [-1], "getCPUModelNames": ["x86_64"]}.get(method, [])
        attempt(f"{name} {method}", getattr(c, method), *arguments)
    for flags in [0] + [1 << bit for bit in range(32)] + [0xC0000000, 0x30000000, 0x42, 0xFFFFFFFF]:
        signed = flags - (1 << 32) if flags >= 1 << 31 else flags
        attempt(f"{name} listAllDevices {flags:#x}", c.listAllDevices, signed)
    for capability in [None, "pci", "net", "mdev", "fc_host", "vports", "vpd", "mdev_types", "nosuch", ""]:
        attempt(f"{name} numOfDevices {capability}", c.numOfDevices, capability, 0)
        attempt(f"{name} listDevices {capability}", c.listDevices, capability, 0)
    attempt(f"{name} numOfDevices flags", c.numOfDevices, None, 1)
    attempt(f"{name} listDevices flags", c.listDevices, None, 1)
    for device in ["nosuch", "", "computer", "a" * 100000, "\u00e4\n"]:
        attempt(f"{name} lookup {device[:20]!r}", c.nodeDeviceLookupByName, device)
    for wwns in [("0", "0"), ("2000000012341234", "1000000012341234")]:
        attempt(f"{name} lookup {wwns}", c.nodeDeviceLookupSCSIHostByWWN, *wwns, 0)
        attempt(f"{name} lookup {wwns} flags", c.nodeDeviceLookupSCSIHostByWWN, *wwns, 1)
    for document in ["", "<device/>", "<device><capability type='net'/></device>"]:
        for flags in [0, 1, 2]:
            attempt(f"{name} create {document} {flags}", c.nodeDeviceCreateXML, document, flags)
            attempt(f"{name} define {document} {flags}", c.nodeDeviceDefineXML, document, flags)
    computer = c.nodeDeviceLookupByName("computer")
    for method, arguments in [
        ("destroy", []), ("undefine", [0]), ("undefine", [1]), ("create", [0]), ("create", [1]), ("dettach", []),
        ("detachFlags", [None, 0]), ("detachFlags", ["vfio", 0]), ("detachFlags", [None, 1]), ("reAttach", []), ("reset", []),
        ("setAutostart", [1]), ("setAutostart", [0]), ("update", ["<device/>", 0]), ("update", ["<device/>", 4]),
    ]:
        if hasattr(computer, method):
            attempt(f"{name} computer {method} {arguments}", getattr(computer, method), *arguments)
    names = sorted(c.listDevices(None, 0))
    for device in names[:: max(1, len(names) // 40)]:
        d = c.nodeDeviceLookupByName(device)
        attempt(f"{name} {device} parent", d.parent)
        attempt(f"{name} {device} numOfCaps", d.numOfCaps)
        attempt(f"{name} {device} listCaps", d.listCaps)
        for method in ["autostart", "isPersistent", "isActive"]:
            attempt(f"{name} {device} {method}", getattr(d, method))
        for flags in [1, 2, 4]:
            if flags != 1 or not d.isPersistent():
                attempt(f"{name} {device} XMLDesc {flags}", d.XMLDesc, flags)
    return c


libvirt.virEventRegisterDefaultImpl()
first = connection(sys.argv[1], "read-write")
connection(sys.argv[1], "read-only")
for event, device in [(0, None), (1, None), (2, None), (-1, None), (0, first.nodeDeviceLookupByName("computer"))]:
    attempt(f"register {event}", first.nodeDeviceEventRegisterAny, device, event, lambda *arguments: None, None)
attempt("deregister 99", first.nodeDeviceEventDeregisterAny, 99)
attempt("deregister 0", first.nodeDeviceEventDeregisterAny, 0)
attempt("close", first.close)
