/* The default event loop: what is called when and with what, what it takes to be changed and removed, when opaque values
 * are freed; and what there is before a loop is registered. Given "own", a loop of the program's own. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "show.h"

static int watch_to_remove;
static int timer_to_remove;
static int ran;

static void freed(void *opaque)
{
    printf("  %s is freed\n", (const char *)opaque);
}

static void on_handle(int watch, int fd, int events, void *opaque)
{
    char byte;

    (void)fd;
    printf("  %s: watch %d, events %d\n", (const char *)opaque, watch, events);
    if (events & VIR_EVENT_HANDLE_READABLE && read(fd, &byte, 1) == 1)
        printf("    %c\n", byte);
    ran++;
    if (watch == watch_to_remove)
        printf("    removed: %d\n", virEventRemoveHandle(watch));
}

static void on_timer(int timer, void *opaque)
{
    printf("  %s: timer %d\n", (const char *)opaque, timer);
    ran++;
    if (timer == timer_to_remove)
        printf("    removed: %d\n", virEventRemoveTimeout(timer));
}

/* Until something was called. */
static void run(void)
{
    int before = ran;

    for (int i = 0; i < 1000 && ran == before; i++)
        if (virEventRunDefaultImpl() < 0)
            exit(1);
}

static void nothing_registered(void)
{
    SHOW(virEventAddHandle(0, VIR_EVENT_HANDLE_READABLE, on_handle, NULL, NULL));
    SHOW(virEventAddTimeout(0, on_timer, NULL, NULL));
    SHOW(virEventRemoveHandle(1));
    SHOW(virEventRemoveTimeout(1));
    virEventUpdateHandle(1, 1);
    virEventUpdateTimeout(1, 1);
}

static void handles(void)
{
    int ends[2], watch, other;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        exit(1);
    SHOW(watch = virEventAddHandle(ends[0], 0, on_handle, (void *)"reader", freed));
    /* A timer ends the iteration in which an idle handle says nothing. */
    SHOW(other = virEventAddTimeout(0, on_timer, (void *)"idle", NULL));
    if (write(ends[1], "ab", 2) != 2)
        exit(1);
    run();
    SHOW(virEventRemoveTimeout(other));
    virEventUpdateHandle(watch, VIR_EVENT_HANDLE_READABLE);
    run();
    run();
    virEventUpdateHandle(watch, VIR_EVENT_HANDLE_WRITABLE);
    run();
    virEventUpdateHandle(watch, VIR_EVENT_HANDLE_READABLE);
    close(ends[1]);
    run();
    virEventUpdateHandle(watch, VIR_EVENT_HANDLE_HANGUP);
    watch_to_remove = watch;
    run();
    printf("  after the call\n");
    SHOW(virEventRemoveHandle(watch));
    SHOW(virEventAddTimeout(0, on_timer, (void *)"after", NULL));
    timer_to_remove = 2;
    run();
    SHOW(virEventRemoveHandle(99));
    SHOW(virEventRemoveHandle(-1));
    virEventUpdateHandle(99, 1);
    close(ends[0]);
}

static void timers(void)
{
    int often, later;

    SHOW(later = virEventAddTimeout(30, on_timer, (void *)"later", freed));
    SHOW(often = virEventAddTimeout(5, on_timer, (void *)"sooner", freed));
    run();
    SHOW(virEventRemoveTimeout(often));
    run();
    virEventUpdateTimeout(later, -1);
    SHOW(often = virEventAddTimeout(-1, on_timer, (void *)"never", freed));
    virEventUpdateTimeout(often, 0);
    run();
    run();
    timer_to_remove = often;
    run();
    printf("  after the call\n");
    SHOW(virEventRemoveTimeout(later));
    SHOW(virEventRemoveTimeout(later));
    SHOW(virEventRemoveTimeout(99));
    virEventUpdateTimeout(99, 1);
    SHOW(often = virEventAddTimeout(1, on_timer, (void *)"last", NULL));
    timer_to_remove = often;
    run();
}

static int own_add_handle(int fd, int event, virEventHandleCallback cb, void *opaque, virFreeCallback ff)
{
    printf("  own add of a handle: %d %d %d %d %d\n", fd, event, cb == on_handle, opaque != NULL, ff == freed);
    return 71;
}

static void own_update_handle(int watch, int event)
{
    printf("  own update of a handle: %d %d\n", watch, event);
}

static int own_remove_handle(int watch)
{
    printf("  own removal of a handle: %d\n", watch);
    return 72;
}

static int own_add_timeout(int timeout, virEventTimeoutCallback cb, void *opaque, virFreeCallback ff)
{
    printf("  own add of a timer: %d %d %d %d\n", timeout, cb == on_timer, opaque != NULL, ff == freed);
    return 73;
}

static void own_update_timeout(int timer, int timeout)
{
    printf("  own update of a timer: %d %d\n", timer, timeout);
}

static int own_remove_timeout(int timer)
{
    printf("  own removal of a timer: %d\n", timer);
    return 74;
}

static void own_loop(void)
{
    virEventRegisterImpl(own_add_handle, own_update_handle, own_remove_handle, own_add_timeout, own_update_timeout,
                         own_remove_timeout);
    SHOW(virEventAddHandle(5, 3, on_handle, (void *)"opaque", freed));
    virEventUpdateHandle(5, 2);
    SHOW(virEventRemoveHandle(6));
    SHOW(virEventAddTimeout(7, on_timer, (void *)"opaque", freed));
    virEventUpdateTimeout(8, -1);
    SHOW(virEventRemoveTimeout(9));
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (virInitialize() < 0)
        return 1;
    virSetErrorFunc("handler", told);
    nothing_registered();
    if (argc > 1 && !strcmp(argv[1], "own")) {
        own_loop();
        return 0;
    }
    SHOW(virEventRegisterDefaultImpl());
    handles();
    timers();
    return 0;
}
