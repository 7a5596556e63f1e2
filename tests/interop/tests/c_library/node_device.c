/* Every function of the node device module, and what leads to it: what each returns, right and wrong arguments, counts,
 * texts, ownership. Given a URI; prints the same over any library that is libvirt's. */
#include <stdlib.h>

#include "show.h"

#define MANY 4096

static virConnectPtr conn;
static virConnectPtr reader;
static int freed;

static void free_opaque(void *opaque)
{
    (void)opaque;
    freed++;
}

static void on_device(virConnectPtr connection, virNodeDevicePtr dev, void *opaque)
{
    (void)connection;
    printf("%s: %s\n", (const char *)opaque, text(virNodeDeviceGetName(dev)));
}

static int by_text(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

static int by_name(const void *one, const void *other)
{
    return strcmp(virNodeDeviceGetName(*(const virNodeDevicePtr *)one), virNodeDeviceGetName(*(const virNodeDevicePtr *)other));
}

/* A text that the caller frees. */
static void show_text(const char *call, char *value)
{
    printf("%s = %s\n", call, text(value));
    show_error();
    free(value);
}

#define SHOW_TEXT(call) show_text(#call, call)

/* A device, which is given back. */
static void show_device(const char *call, virNodeDevicePtr dev)
{
    printf("%s = %s\n", call, dev ? text(virNodeDeviceGetName(dev)) : "NULL");
    if (dev)
        virNodeDeviceFree(dev);
    else
        show_error();
}

#define SHOW_DEVICE(call) show_device(#call, call)

/* Names of a list, in alphabetical order; freed. */
static void show_names(char **names, int count)
{
    if (count > 0)
        qsort(names, count, sizeof(*names), by_text);
    for (int i = 0; i < count; i++) {
        printf("  %s\n", names[i]);
        free(names[i]);
    }
}

static void connections(const char *uri)
{
    unsigned long version = 7, driver = 7;
    virConnectPtr other;
    char *given;

    SHOW(virGetVersion(&version, "test", &driver));
    printf("  versions %lu %lu\n", version, driver);
    SHOW(virGetVersion(&version, NULL, NULL));
    SHOW(virGetVersion(NULL, NULL, NULL));
    printf("type %s\n", text(virConnectGetType(conn)));
    given = virConnectGetURI(conn);
    printf("uri is the one given: %d\n", given && !strcmp(given, uri));
    free(given);
    SHOW_TEXT(virConnectGetHostname(conn));
    SHOW(virConnectGetVersion(conn, &version));
    SHOW(virConnectGetVersion(conn, NULL));
    SHOW(virConnectGetLibVersion(conn, &version));
    printf("  library of the daemon %lu\n", version);
    SHOW(virConnectGetLibVersion(conn, NULL));
    SHOW(virConnectIsAlive(conn));
    SHOW(virConnectIsSecure(conn));
    SHOW(virConnectIsEncrypted(conn));
    SHOW(virConnectSetKeepAlive(conn, 0, 0));
    SHOW(virConnectSetKeepAlive(conn, -1, 3));

    SHOW(virConnectRef(conn));
    SHOW(virConnectClose(conn));
    other = virConnectOpen(uri);
    SHOW(virConnectRef(other));
    SHOW(virConnectClose(other));
    SHOW(virConnectClose(other));

    SHOW(virConnectOpen("nodedev") != NULL);
    SHOW(virConnectOpen("nodedev+unix:///system?socket=/nonexistent/socket") != NULL);
    SHOW(virConnectOpen("nodedev+nonsense:///system") != NULL);
    SHOW(virConnectOpen("test:///nonexistent/file") != NULL);
}

static void counts_and_lists(void)
{
    static const char *const CAPS[] = {
        NULL, "system", "pci", "usb_device", "usb", "net", "scsi_host", "scsi_target", "scsi", "storage", "fc_host", "vports",
        "scsi_generic", "drm", "mdev_types", "mdev", "ccw", "css", "vdpa", "ap_card", "ap_queue", "ap_matrix", "vpd", "ccwgroup",
        "ccwgroup_member", "nonsense", "",
    };
    char *names[MANY];
    virNodeDevicePtr *devices;
    int count = virNodeNumOfDevices(conn, NULL, 0);

    for (size_t i = 0; i < sizeof(CAPS) / sizeof(CAPS[0]); i++) {
        printf("-- %s\n", text(CAPS[i]));
        SHOW(virNodeNumOfDevices(conn, CAPS[i], 0));
        show_names(names, virNodeListDevices(conn, CAPS[i], names, MANY, 0));
    }
    SHOW(virNodeNumOfDevices(conn, NULL, 1));
    SHOW(virNodeListDevices(conn, NULL, names, MANY, 1));
    SHOW(virNodeListDevices(conn, NULL, names, 0, 0));
    SHOW(virNodeListDevices(conn, NULL, NULL, 0, 0));
    SHOW(virNodeListDevices(conn, NULL, NULL, 1, 0));
    SHOW(virNodeListDevices(conn, NULL, names, -1, 0));
    for (int most = count - 1; most <= count + 1; most++) {
        int found = virNodeListDevices(conn, NULL, names, most, 0);

        printf("%d of %d when %d are asked for\n", found, count, most);
        for (int i = 0; i < found; i++)
            free(names[i]);
    }

    SHOW(virConnectListAllNodeDevices(conn, NULL, 0));
    for (int bit = 0; bit < 32; bit++) {
        printf("-- bit %d\n", bit);
        SHOW(virConnectListAllNodeDevices(conn, NULL, 1U << bit));
        devices = (void *)&devices;
        count = virConnectListAllNodeDevices(conn, &devices, 1U << bit);
        if (count < 0) {
            printf("  failed; the array is %s\n", devices ? "there" : "NULL");
            continue;
        }
        printf("  %d; the array ends in %s\n", count, devices[count] ? "a device" : "NULL");
        qsort(devices, count, sizeof(*devices), by_name);
        for (int i = 0; i < count; i++) {
            printf("  %s\n", virNodeDeviceGetName(devices[i]));
            virNodeDeviceFree(devices[i]);
        }
        free(devices);
    }
    SHOW(virConnectListAllNodeDevices(conn, NULL, VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV | VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE));
}

static void one(virNodeDevicePtr dev)
{
    const char *name = virNodeDeviceGetName(dev);
    const char *parent = virNodeDeviceGetParent(dev);
    char *caps[MANY];
    int autostart = 7, count;

    printf("== %s, parent %s\n", name, text(parent));
    show_error();
    printf("same name %d, same parent %d\n", name == virNodeDeviceGetName(dev), parent == virNodeDeviceGetParent(dev));
    SHOW_TEXT(virNodeDeviceGetXMLDesc(dev, 0));
    SHOW_TEXT(virNodeDeviceGetXMLDesc(dev, VIR_NODE_DEVICE_XML_INACTIVE));
    SHOW_TEXT(virNodeDeviceGetXMLDesc(dev, 2));
    count = virNodeDeviceNumOfCaps(dev);
    SHOW(virNodeDeviceNumOfCaps(dev));
    SHOW(virNodeDeviceListCaps(dev, caps, 0));
    SHOW(virNodeDeviceListCaps(dev, NULL, 0));
    SHOW(virNodeDeviceListCaps(dev, NULL, 1));
    SHOW(virNodeDeviceListCaps(dev, caps, -1));
    for (int most = count > 0 ? count - 1 : 0; most <= count + 1; most++) {
        int found = virNodeDeviceListCaps(dev, caps, most);

        printf("%d of %d capabilities when %d are asked for\n", found, count, most);
        show_names(caps, found);
    }
    SHOW(virNodeDeviceIsActive(dev));
    SHOW(virNodeDeviceIsPersistent(dev));
    SHOW(virNodeDeviceGetAutostart(dev, &autostart));
    printf("  autostart %d\n", autostart);
    SHOW(virNodeDeviceGetAutostart(dev, NULL));
}

static void each_device(void)
{
    virNodeDevicePtr *devices;
    int count = virConnectListAllNodeDevices(conn, &devices, 0);

    if (count < 0)
        exit(1);
    qsort(devices, count, sizeof(*devices), by_name);
    for (int i = 0; i < count; i++) {
        SHOW_DEVICE(virNodeDeviceLookupByName(conn, virNodeDeviceGetName(devices[i])));
        one(devices[i]);
        SHOW(virNodeDeviceRef(devices[i]));
        SHOW(virNodeDeviceFree(devices[i]));
        SHOW(virNodeDeviceFree(devices[i]));
    }
    free(devices);
}

static void lookups(void)
{
    SHOW_DEVICE(virNodeDeviceLookupByName(conn, "computer"));
    SHOW_DEVICE(virNodeDeviceLookupByName(conn, "nonexistent"));
    SHOW_DEVICE(virNodeDeviceLookupByName(conn, ""));
    SHOW_DEVICE(virNodeDeviceLookupByName(conn, "%s%n \n"));
    SHOW_DEVICE(virNodeDeviceLookupByName(conn, NULL));
    SHOW_DEVICE(virNodeDeviceLookupSCSIHostByWWN(conn, "2000000012341234", "1000000012341234", 0));
    SHOW_DEVICE(virNodeDeviceLookupSCSIHostByWWN(conn, "x", "", 0));
    SHOW_DEVICE(virNodeDeviceLookupSCSIHostByWWN(conn, NULL, "", 0));
    SHOW_DEVICE(virNodeDeviceLookupSCSIHostByWWN(conn, "", NULL, 0));
    SHOW_DEVICE(virNodeDeviceLookupSCSIHostByWWN(conn, "", "", 1));
}

static void no_objects(virConnectPtr no_connection, virNodeDevicePtr no_device)
{
    char *names[1];
    int number;

    SHOW(virNodeNumOfDevices(no_connection, NULL, 0));
    SHOW(virNodeListDevices(no_connection, NULL, names, 1, 0));
    SHOW(virConnectListAllNodeDevices(no_connection, NULL, 0));
    SHOW_DEVICE(virNodeDeviceLookupByName(no_connection, "computer"));
    SHOW_DEVICE(virNodeDeviceLookupSCSIHostByWWN(no_connection, "", "", 0));
    SHOW_DEVICE(virNodeDeviceCreateXML(no_connection, "", 0));
    SHOW_DEVICE(virNodeDeviceDefineXML(no_connection, "", 0));
    SHOW(virConnectNodeDeviceEventRegisterAny(no_connection, NULL, 0, on_device, NULL, NULL));
    SHOW(virConnectNodeDeviceEventDeregisterAny(no_connection, 0));
    printf("%s\n", text(virNodeDeviceGetName(no_device)));
    show_error();
    printf("%s\n", text(virNodeDeviceGetParent(no_device)));
    show_error();
    SHOW_TEXT(virNodeDeviceGetXMLDesc(no_device, 0));
    SHOW(virNodeDeviceNumOfCaps(no_device));
    SHOW(virNodeDeviceListCaps(no_device, names, 1));
    SHOW(virNodeDeviceDettach(no_device));
    SHOW(virNodeDeviceDetachFlags(no_device, NULL, 0));
    SHOW(virNodeDeviceReAttach(no_device));
    SHOW(virNodeDeviceReset(no_device));
    SHOW(virNodeDeviceDestroy(no_device));
    SHOW(virNodeDeviceUndefine(no_device, 0));
    SHOW(virNodeDeviceCreate(no_device, 0));
    SHOW(virNodeDeviceUpdate(no_device, "", 0));
    SHOW(virNodeDeviceSetAutostart(no_device, 1));
    SHOW(virNodeDeviceGetAutostart(no_device, &number));
    SHOW(virNodeDeviceIsPersistent(no_device));
    SHOW(virNodeDeviceIsActive(no_device));
    SHOW(virNodeDeviceRef(no_device));
    SHOW(virNodeDeviceFree(no_device));
    SHOW(virConnectRef(no_connection));
    SHOW(virConnectClose(no_connection));
    printf("%s\n", text(virConnectGetType(no_connection)));
    show_error();
    SHOW_TEXT(virConnectGetURI(no_connection));
    SHOW(virConnectIsAlive(no_connection));
}

/* Objects of another kind. */
static void wrong_objects(void)
{
    virNodeDevicePtr dev = virNodeDeviceLookupByName(conn, "computer");

    no_objects((virConnectPtr)dev, (virNodeDevicePtr)conn);
    SHOW(virNodeDeviceFree(dev));
}

static void changes(virConnectPtr on, const char *name)
{
    static const char *const DOCUMENTS[] = {
        NULL, "", "<", "<device/>", "<device><name>x</name></device>", "<device><parent>computer</parent><capability type='nonsense'/></device>",
        "<device><parent>nonexistent</parent><capability type='scsi_host'><capability type='fc_host'/></capability></device>",
        "<device><parent>computer</parent><capability type='mdev'><type id='x'/></capability></device>",
        "<device><parent>computer</parent><capability type='storage'><block>/x</block></capability></device>",
    };
    virNodeDevicePtr dev = virNodeDeviceLookupByName(on, name);

    printf("== changes of %s\n", name);
    SHOW(virNodeDeviceDettach(dev));
    SHOW(virNodeDeviceDetachFlags(dev, NULL, 0));
    SHOW(virNodeDeviceDetachFlags(dev, "vfio", 1));
    SHOW(virNodeDeviceReAttach(dev));
    SHOW(virNodeDeviceReset(dev));
    /* Where it works, libvirt's invented host leaves an error that means nothing. */
    if (virNodeDeviceDestroy(dev) < 0) {
        printf("destroy fails\n");
        show_error();
    }
    SHOW(virNodeDeviceUndefine(dev, 0));
    SHOW(virNodeDeviceUndefine(dev, 4));
    SHOW(virNodeDeviceCreate(dev, 0));
    SHOW(virNodeDeviceCreate(dev, 4));
    SHOW(virNodeDeviceSetAutostart(dev, 1));
    SHOW(virNodeDeviceSetAutostart(dev, 0));
    SHOW(virNodeDeviceUpdate(dev, NULL, 0));
    SHOW(virNodeDeviceUpdate(dev, "<device/>", 0));
    SHOW(virNodeDeviceUpdate(dev, "<device/>", 8));
    for (size_t i = 0; i < sizeof(DOCUMENTS) / sizeof(DOCUMENTS[0]); i++) {
        printf("-- %s\n", text(DOCUMENTS[i]));
        SHOW_DEVICE(virNodeDeviceCreateXML(on, DOCUMENTS[i], 0));
        SHOW_DEVICE(virNodeDeviceDefineXML(on, DOCUMENTS[i], 0));
    }
    SHOW_DEVICE(virNodeDeviceCreateXML(on, "<device/>", 2));
    SHOW_DEVICE(virNodeDeviceDefineXML(on, "<device/>", 2));
    virNodeDeviceFree(dev);
}

/* The same of the first PCI function, where there is one. */
static void change_a_function(void)
{
    char *names[MANY];
    int count = virNodeListDevices(conn, "pci", names, MANY, 0);

    if (count > 0) {
        qsort(names, count, sizeof(*names), by_text);
        changes(conn, names[0]);
    }
    for (int i = 0; i < count; i++)
        free(names[i]);
}

/* A device keeps its connection open; who closes last is told so. */
static void references(const char *uri)
{
    virConnectPtr other = virConnectOpen(uri);
    virNodeDevicePtr dev = virNodeDeviceLookupByName(other, "computer");

    SHOW(virConnectClose(other));
    printf("%s\n", text(virNodeDeviceGetName(dev)));
    SHOW(virNodeDeviceNumOfCaps(dev));
    SHOW(virNodeDeviceRef(dev));
    SHOW(virNodeDeviceFree(dev));
    SHOW(virNodeDeviceIsActive(dev));
    SHOW(virNodeDeviceFree(dev));
    show_error();
}

static void events(const char *uri)
{
    virConnectPtr other = virConnectOpen(uri);
    virNodeDevicePtr mine = virNodeDeviceLookupByName(conn, "computer");
    virNodeDevicePtr foreign = virNodeDeviceLookupByName(other, "computer");

    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, on_device, "a", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, on_device, "b", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_UPDATE, on_device, "c", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, mine, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, on_device, "d", NULL));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, mine, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, on_device, "e", NULL));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, foreign, 0, on_device, "f", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, (virNodeDevicePtr)conn, 0, on_device, "g", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, -1, on_device, "h", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_LAST, on_device, "i", free_opaque));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, 0, NULL, "j", free_opaque));
    SHOW(virConnectNodeDeviceEventDeregisterAny(conn, 1));
    SHOW(virConnectNodeDeviceEventDeregisterAny(conn, 99));
    SHOW(virConnectNodeDeviceEventDeregisterAny(conn, -1));
    SHOW(virConnectNodeDeviceEventDeregisterAny(conn, 0));
    SHOW(virConnectNodeDeviceEventDeregisterAny(conn, 0));
    SHOW(virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, on_device, "k", free_opaque));
    printf("opaque freed %d times\n", freed);
    virNodeDeviceFree(mine);
    virNodeDeviceFree(foreign);
    SHOW(virConnectClose(other));
}

int main(int argc, char **argv)
{
    int with_loop = argc > 2 && !strcmp(argv[2], "loop");

    if (virInitialize() < 0)
        return 1;
    virSetErrorFunc("handler", told);
    if (with_loop)
        SHOW(virEventRegisterDefaultImpl());
    conn = virConnectOpenAuth(argv[1], virConnectAuthPtrDefault, 0);
    reader = virConnectOpenReadOnly(argv[argc > 3 ? 3 : 1]);
    if (!conn || !reader) {
        show_error();
        return 1;
    }
    connections(argv[1]);
    counts_and_lists();
    each_device();
    lookups();
    no_objects(NULL, NULL);
    wrong_objects();
    changes(reader, "computer");
    changes(conn, "computer");
    change_a_function();
    references(argv[1]);
    events(argv[1]);
    SHOW(virConnectClose(reader));
    SHOW(virConnectClose(conn));
    return 0;
}
