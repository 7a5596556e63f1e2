/* Errors: how long they last, who is told, what is printed where nobody listens, copies, threads. */
#include <pthread.h>
#include <stdlib.h>

#include "show.h"

static void fail(virConnectPtr conn)
{
    virNodeDevicePtr dev = virNodeDeviceLookupByName(conn, "nonexistent");

    printf("a lookup %s\n", dev ? "works" : "fails");
}

static void *of_another_thread(void *conn)
{
    show_error();
    fail(conn);
    show_error();
    return NULL;
}

static void show_copy(const char *what, const virError *error)
{
    printf("%s: %d of %d, level %d: %s | %s | %s | %s, %d %d\n", what, error->code, error->domain, error->level,
           text(error->message), text(error->str1), text(error->str2), text(error->str3), error->int1, error->int2);
}

int main(void)
{
    virError copy;
    virErrorPtr saved;
    virConnectPtr conn;
    pthread_t thread;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (virInitialize() < 0)
        return 1;
    show_error();
    SHOW(virGetLastErrorCode());
    SHOW(virGetLastErrorDomain());
    saved = virSaveLastError();
    SHOW(saved != NULL);
    virFreeError(saved);
    virFreeError(NULL);
    virResetError(NULL);
    virDefaultErrorFunc(NULL);
    SHOW(virCopyLastError(NULL));
    memset(&copy, 0x55, sizeof(copy));
    SHOW(virCopyLastError(&copy));
    show_copy("copy of none", &copy);

    /* Printed by default. */
    conn = virConnectOpen("test:///default");
    fail(conn);
    fail(NULL);
    SHOW(virNodeDeviceFree(NULL));
    SHOW(virGetVersion(NULL, NULL, NULL));
    SHOW(virGetLastErrorCode());
    SHOW(virGetLastErrorDomain());

    /* Copies have a life of their own. */
    fail(conn);
    memset(&copy, 0x55, sizeof(copy));
    SHOW(virCopyLastError(&copy));
    saved = virSaveLastError();
    virResetLastError();
    show_error();
    show_copy("copy", &copy);
    show_copy("saved", saved);
    virDefaultErrorFunc(saved);
    virFreeError(saved);
    virResetError(&copy);
    show_copy("reset", &copy);

    /* A call that works clears the last error, that of the connection stays. */
    fail(conn);
    SHOW(virNodeNumOfDevices(conn, NULL, 0) > 0);
    printf("of the connection: %s\n", virConnGetLastError(conn) ? text(virConnGetLastError(conn)->message) : "none");
    memset(&copy, 0x55, sizeof(copy));
    SHOW(virConnCopyLastError(conn, &copy));
    show_copy("copy of the connection's", &copy);
    virResetError(&copy);
    SHOW(virConnCopyLastError(NULL, &copy));
    virConnResetLastError(conn);
    SHOW(virConnGetLastError(conn) != NULL);
    memset(&copy, 0x55, sizeof(copy));
    SHOW(virConnCopyLastError(conn, &copy));
    SHOW(virConnGetLastError(NULL) != NULL);
    virConnResetLastError(NULL);

    /* The function of a connection goes before that for all. */
    virSetErrorFunc("all", told);
    fail(conn);
    fail(NULL);
    virConnSetErrorFunc(conn, "connection", told);
    fail(conn);
    fail(NULL);
    virConnSetErrorFunc(NULL, "nobody", told);
    virConnSetErrorFunc(conn, NULL, NULL);
    fail(conn);
    virSetErrorFunc("all", NULL);
    fail(conn);
    virSetErrorFunc("all", told);

    /* Each thread has its own. */
    fail(conn);
    if (pthread_create(&thread, NULL, of_another_thread, conn))
        return 1;
    pthread_join(thread, NULL);
    show_error();
    virResetLastError();
    show_error();

    /* Levels and domains that are not there, as another program may give them. */
    copy = (virError){ .code = 1, .domain = 22, .message = (char *)"a text\n", .level = VIR_ERR_WARNING };
    virDefaultErrorFunc(&copy);
    for (int domain = -1; domain < 80; domain++) {
        copy = (virError){ .code = 1, .domain = domain, .message = (char *)"a text", .level = domain % 4 };
        virDefaultErrorFunc(&copy);
    }
    copy = (virError){ .code = 35, .domain = 5, .message = (char *)"no line", .level = VIR_ERR_ERROR, .int1 = 3 };
    virDefaultErrorFunc(&copy);
    copy = (virError){ .code = 0, .domain = 5, .message = (char *)"no error", .level = VIR_ERR_ERROR };
    virDefaultErrorFunc(&copy);
    virConnectClose(conn);
    return 0;
}
