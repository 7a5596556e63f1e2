/* A program that waits for its signals: it blocks them once it has opened a connection, as programs do that open one early. A thread
 * of the library that takes one ends the program.
 *
 * usage: signals URI */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "show.h"

#define ROUNDS 10

static void on_device(virConnectPtr conn, virNodeDevicePtr dev, int event, int detail, void *opaque)
{
    (void)conn;
    (void)dev;
    (void)event;
    (void)detail;
    (void)opaque;
}

int main(int argc, char **argv)
{
    const struct timespec patience = {10, 0};
    int waited_for[] = {SIGUSR1, SIGTERM, SIGCHLD, SIGPIPE, SIGALRM, 0};
    sigset_t signals;
    virConnectPtr conn;
    int taken = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 2 || virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return 1;
    conn = virConnectOpen(argv[1]);
    if (!conn)
        return 1;
    if (virConnectNodeDeviceEventRegisterAny(conn, NULL, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE,
                                             VIR_NODE_DEVICE_EVENT_CALLBACK(on_device), NULL, NULL) < 0)
        return 1;
    if (virNodeNumOfDevices(conn, NULL, 0) < 1)
        return 1;
    sigemptyset(&signals);
    for (int index = 0; waited_for[index]; index++)
        sigaddset(&signals, waited_for[index]);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (int index = 0; waited_for[index]; index++)
        for (int round = 0; round < ROUNDS; round++) {
            kill(getpid(), waited_for[index]);
            taken += sigtimedwait(&signals, NULL, &patience) == waited_for[index];
        }
    printf("%d of %d\n", taken, 5 * ROUNDS);
    return 0;
}
