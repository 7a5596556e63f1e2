/* What a connection keeps of functions that were to be told of its end, and then not: nothing. Given the URI of a daemon. */
#include <malloc.h>
#include <stdlib.h>

#include "show.h"

#define OFTEN 2000
/* Less than a word for each. */
#define ALLOWED 8192

static int freed;

static void on_close(virConnectPtr conn, int reason, void *opaque)
{
    (void)conn;
    printf("%s: %d\n", (const char *)opaque, reason);
}

static void free_opaque(void *opaque)
{
    (void)opaque;
    freed++;
}

static void on_timer(int timer, void *opaque)
{
    (void)timer;
    (void)opaque;
}

static void register_and_not(virConnectPtr conn)
{
    if (virConnectRegisterCloseCallback(conn, on_close, (void *)"closed", free_opaque) < 0 ||
        virConnectUnregisterCloseCallback(conn, on_close) < 0)
        exit(1);
    /* What was removed from the loop is freed by it. */
    virEventRunDefaultImpl();
    virEventRunDefaultImpl();
}

int main(int argc, char **argv)
{
    size_t before, after;
    virConnectPtr conn;

    if (argc < 2 || virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return 1;
    virEventAddTimeout(0, on_timer, NULL, NULL);
    conn = virConnectOpen(argv[1]);
    if (!conn)
        return 1;
    for (int i = 0; i < 100; i++)
        register_and_not(conn);
    before = mallinfo2().uordblks;
    for (int i = 0; i < OFTEN; i++)
        register_and_not(conn);
    after = mallinfo2().uordblks;
    if (after > before + ALLOWED)
        printf("%zu bytes are kept\n", after - before);
    printf("%d freed\n", freed);
    SHOW(virConnectClose(conn));
    return 0;
}
