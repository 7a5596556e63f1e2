"""Calls every function of a library of libvirt that ours only has a stub of, and prints what comes of it.

Arguments: the library, its table of symbols, and the URI of a connection. First each function gets NULL for its object;
those of a connection then get a good one, and arguments that libvirt takes for good too. A child process makes each call,
as some end in a crash in libvirt.
"""

import ctypes
import os
import sys
import tomllib

NUMBERS = {
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "unsigned long": ctypes.c_ulong,
    "long long": ctypes.c_longlong,
    "unsigned long long": ctypes.c_ulonglong,
    "size_t": ctypes.c_size_t,
    "void": None,
}
# Objects besides the first: none, which is what most take.
OBJECTS = ("virDomainPtr", "virNetworkPtr", "virStoragePoolPtr", "virStorageVolPtr", "virSecretPtr", "virStreamPtr")
# An argument of a size, an index or a count.
ONE = 1


class Error(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_int),
        ("domain", ctypes.c_int),
        ("message", ctypes.c_char_p),
        ("level", ctypes.c_int),
        ("conn", ctypes.c_void_p),
        ("dom", ctypes.c_void_p),
        ("str1", ctypes.c_char_p),
        ("str2", ctypes.c_char_p),
        ("str3", ctypes.c_char_p),
        ("int1", ctypes.c_int),
        ("int2", ctypes.c_int),
        ("net", ctypes.c_void_p),
    ]


def split(argument):
    """The type and the name of an argument."""
    name = argument.split(" ")[-1].lstrip("*")
    return argument[: len(argument) - len(name)].strip(), name


def value(kind, name, memory, text):
    """A good argument of a type."""
    if kind in NUMBERS:
        return NUMBERS[kind](0 if name == "flags" else ONE)
    if kind in OBJECTS:
        return ctypes.c_void_p()
    if kind in ("const char *", "const unsigned char *"):
        return ctypes.cast(text, ctypes.c_void_p)
    if kind == "const char **":
        return ctypes.cast((ctypes.c_void_p * 2)(ctypes.addressof(text), None), ctypes.c_void_p)
    return ctypes.cast(memory, ctypes.c_void_p)


def call(libvirt, library, name, returns, arguments):
    """What a call returns, and the error that it leaves; None if it crashes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        function = getattr(library, name)
        function.restype = NUMBERS.get(returns, ctypes.c_void_p)
        result = function(*arguments)
        error = libvirt.virGetLastError()
        fields = []
        if error:
            fields = [getattr(error.contents, field) for field, _ in Error._fields_]
        os.write(writer, repr((result, fields)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said if status == 0 else None


def main():
    name, table, uri = sys.argv[1:]
    libvirt = ctypes.CDLL("libvirt.so.0")
    library = ctypes.CDLL(name)
    libvirt.virGetLastError.restype = ctypes.POINTER(Error)
    libvirt.virConnectOpen.restype = libvirt.virConnectOpenReadOnly.restype = ctypes.c_void_p
    libvirt.virInitialize()
    # Functions that register for events want a loop before they ask the driver.
    libvirt.virEventRegisterDefaultImpl()
    # Nothing is printed.
    handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda user, error: None)
    libvirt.virSetErrorFunc(None, handler)
    connection = ctypes.c_void_p(libvirt.virConnectOpen(uri.encode()))
    reader = ctypes.c_void_p(libvirt.virConnectOpenReadOnly(uri.encode()))
    memory = ctypes.create_string_buffer(1 << 16)
    text = ctypes.create_string_buffer(b"00000000-0000-0000-0000-000000000000")
    with open(table, "rb") as file:
        nodes = tomllib.load(file)
    for symbols in nodes.values():
        for name, line in symbols.items():
            _, kind, prototype = line.split(" ", 2)
            if kind in ("real", "data"):
                continue
            returns, arguments = prototype.rstrip(")").split("(", 1)
            first, *others = [split(argument) for argument in arguments.split(", ")]
            others = [value(*other, memory, text) for other in others]
            print(name, "NULL", call(libvirt, library, name, returns, [ctypes.c_void_p(), *others]))
            if first[0] == "virConnectPtr":
                print(name, "connection", call(libvirt, library, name, returns, [connection, *others]))
                print(name, "read-only connection", call(libvirt, library, name, returns, [reader, *others]))


main()
