/* Has a daemon hand a device over, by our C library: handover URI detach|reattach NAME */
#include <stdio.h>
#include <string.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

static int failed(void)
{
    fprintf(stderr, "error: %s\n", virGetLastErrorMessage());
    return 1;
}

/* What fails is told by main. */
static void quiet(void *user, virErrorPtr error)
{
    (void)user;
    (void)error;
}

int main(int count, char **arguments)
{
    virConnectPtr connection;
    virNodeDevicePtr device;
    int result = -1;

    if (count != 4)
        return 2;
    virSetErrorFunc(NULL, quiet);
    connection = virConnectOpen(arguments[1]);
    if (!connection)
        return failed();
    device = virNodeDeviceLookupByName(connection, arguments[3]);
    if (!device)
        return failed();
    if (!strcmp(arguments[2], "detach"))
        result = virNodeDeviceDetachFlags(device, NULL, 0);
    else if (!strcmp(arguments[2], "reattach"))
        result = virNodeDeviceReAttach(device);
    if (result < 0)
        return failed();
    virNodeDeviceFree(device);
    virConnectClose(connection);
    return 0;
}
