/* A callback that ends its thread, as interpreters do that are ending: another thread goes on with the loop. In libvirt this
 * blocks the connection, so it runs over our library only. */
#include <pthread.h>
#include <stdlib.h>

#include "show.h"

#define VHBA \
    "<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>" \
    "<wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn></capability></capability></device>"

static int called;
static int freed;

static void on_device(virConnectPtr conn, virNodeDevicePtr dev, int event, int detail, void *opaque)
{
    (void)conn;
    (void)detail;
    printf("%s: %s %d\n", (const char *)opaque, virNodeDeviceGetName(dev), event);
    called++;
    if (called == 1)
        pthread_exit(NULL);
}

static void free_opaque(void *opaque)
{
    printf("%s is freed\n", (const char *)opaque);
    freed++;
}

static int add(virConnectPtr conn, const char *opaque)
{
    return virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE,
                                                VIR_NODE_DEVICE_EVENT_CALLBACK(on_device), (void *)opaque, free_opaque);
}

static void *run(void *unused)
{
    (void)unused;
    while (virEventRunDefaultImpl() == 0)
        ;
    return NULL;
}

int main(void)
{
    virConnectPtr conn;
    virNodeDevicePtr dev;
    pthread_t thread;
    int number;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return 1;
    conn = virConnectOpen("test:///default");
    number = add(conn, "first");
    if (number < 0 || pthread_create(&thread, NULL, run, NULL))
        return 1;
    dev = virNodeDeviceCreateXML(conn, VHBA, 0);
    if (!dev || pthread_join(thread, NULL))
        return 1;
    SHOW(virConnectNodeDeviceEventDeregisterAny(conn, number));
    if (add(conn, "second") < 0 || virNodeDeviceDestroy(dev) < 0)
        return 1;
    while (called < 2)
        if (virEventRunDefaultImpl() < 0)
            return 1;
    virNodeDeviceFree(dev);
    return freed != 1;
}
