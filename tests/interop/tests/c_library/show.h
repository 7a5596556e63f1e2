/* What the C programs of these tests have in common: they print all that a caller can see of a call, so that what they
 * print over two libraries can be compared. */
#ifndef SHOW_H
#define SHOW_H

/* Fields of errors that are always empty are looked at too. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* The last value of each enumeration. */
#define VIR_ENUM_SENTINELS

#include <stdio.h>
#include <string.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

static inline const char *text(const char *value)
{
    return value ? value : "NULL";
}

/* The last error, all of it. */
static inline void show_error(void)
{
    virErrorPtr error = virGetLastError();

    if (!error) {
        printf("  no error; message: %s\n", text(virGetLastErrorMessage()));
        return;
    }
    printf("  error %d of %d, level %d: %s\n  strings %s | %s | %s, integers %d %d, objects %d %d %d\n", error->code,
           error->domain, error->level, text(error->message), text(error->str1), text(error->str2), text(error->str3),
           error->int1, error->int2, error->conn != NULL, error->dom != NULL, error->net != NULL);
}

/* What the error function is told. */
static inline void told(void *user, virErrorPtr error)
{
    printf("  %s is told of error %d of %d: %s\n", (const char *)user, error->code, error->domain, text(error->message));
}

/* Prints a call, what it returned, and the error it left. */
#define SHOW(call) \
    do { \
        long long result = (long long)(call); \
        printf("%s = %lld\n", #call, result); \
        show_error(); \
    } while (0)

#endif
