/* Handles after they were given back, and pointers that never were handles: errors, and no crash. In libvirt this is
 * undefined, so it runs over our library only. */
#include <stdint.h>

#include "show.h"

static int failures;

/* A call on something that is no object has to fail with a code. */
#define FAILS(call, failed, number) \
    do { \
        long long result = (long long)(intptr_t)(call); \
        if (result != (failed) || virGetLastErrorCode() != (number)) { \
            printf("%s = %lld, error %d\n", #call, result, virGetLastErrorCode()); \
            failures++; \
        } \
    } while (0)

static void no_device(virNodeDevicePtr dev)
{
    FAILS(virNodeDeviceGetName(dev), 0, VIR_ERR_INVALID_NODE_DEVICE);
    FAILS(virNodeDeviceGetParent(dev), 0, VIR_ERR_INVALID_NODE_DEVICE);
    FAILS(virNodeDeviceGetXMLDesc(dev, 0), 0, VIR_ERR_INVALID_NODE_DEVICE);
    FAILS(virNodeDeviceNumOfCaps(dev), -1, VIR_ERR_INVALID_NODE_DEVICE);
    FAILS(virNodeDeviceRef(dev), -1, VIR_ERR_INVALID_NODE_DEVICE);
    FAILS(virNodeDeviceFree(dev), -1, VIR_ERR_INVALID_NODE_DEVICE);
}

static void no_connection(virConnectPtr conn)
{
    FAILS(virConnectGetType(conn), 0, VIR_ERR_INVALID_CONN);
    FAILS(virConnectGetURI(conn), 0, VIR_ERR_INVALID_CONN);
    FAILS(virNodeNumOfDevices(conn, NULL, 0), -1, VIR_ERR_INVALID_CONN);
    FAILS(virNodeDeviceLookupByName(conn, "computer"), 0, VIR_ERR_INVALID_CONN);
    FAILS(virConnectNumOfDomains(conn), -1, VIR_ERR_INVALID_CONN);
    FAILS(virConnectRef(conn), -1, VIR_ERR_INVALID_CONN);
    FAILS(virConnectClose(conn), -1, VIR_ERR_INVALID_CONN);
}

static void quiet(void *user, virErrorPtr error)
{
    (void)user;
    (void)error;
}

int main(void)
{
    static char memory[4096];
    void *const FOREIGN[] = { NULL, memory, memory + 1, (void *)(intptr_t)main, (void *)1, (void *)(intptr_t)-1 };
    virConnectPtr conn, other;
    virNodeDevicePtr dev, next;

    conn = virConnectOpen("test:///default");
    dev = virNodeDeviceLookupByName(conn, "computer");
    if (!dev || virNodeDeviceFree(dev) < 0)
        return 1;
    virSetErrorFunc(NULL, quiet);
    no_device(dev);
    /* A new device is not taken for the old one. */
    next = virNodeDeviceLookupByName(conn, "computer");
    no_device(dev);
    if (!virNodeDeviceGetName(next) || strcmp(virNodeDeviceGetName(next), "computer"))
        failures++;
    no_device((virNodeDevicePtr)conn);
    no_connection((virConnectPtr)next);

    /* The connection lives while a device does, and no longer. */
    if (virConnectClose(conn) != 1 || virNodeDeviceNumOfCaps(next) != 1 || virNodeDeviceFree(next) != 0)
        failures++;
    no_connection(conn);
    other = virConnectOpen("test:///default");
    no_connection(conn);
    no_device(next);
    for (size_t i = 0; i < sizeof(FOREIGN) / sizeof(FOREIGN[0]); i++) {
        no_connection(FOREIGN[i]);
        no_device(FOREIGN[i]);
    }
    if (virConnectClose(other) != 0)
        failures++;
    printf("%d failures\n", failures);
    return failures > 0;
}
