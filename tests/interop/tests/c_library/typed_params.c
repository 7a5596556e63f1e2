/* Lists of typed parameters: every function, right and wrong types, growth, texts read as values, missing arguments. */
#include <limits.h>
#include <stdlib.h>

#include "show.h"

struct list {
    virTypedParameterPtr params;
    int count;
    int room;
};

#define AT(list) &(list)->params, &(list)->count, &(list)->room

static void show(const struct list *list)
{
    printf("%d parameters in room for %d\n", list->count, list->room);
    for (int i = 0; i < list->count; i++) {
        const virTypedParameter *param = &list->params[i];

        printf("  %s: type %d, ", param->field, param->type);
        switch (param->type) {
        case VIR_TYPED_PARAM_INT: printf("%d\n", param->value.i); break;
        case VIR_TYPED_PARAM_UINT: printf("%u\n", param->value.ui); break;
        case VIR_TYPED_PARAM_LLONG: printf("%lld\n", param->value.l); break;
        case VIR_TYPED_PARAM_ULLONG: printf("%llu\n", param->value.ul); break;
        case VIR_TYPED_PARAM_DOUBLE: printf("%.17g\n", param->value.d); break;
        case VIR_TYPED_PARAM_BOOLEAN: printf("%d\n", param->value.b); break;
        case VIR_TYPED_PARAM_STRING: printf("%s\n", text(param->value.s)); break;
        default: printf("?\n");
        }
    }
}

static void add_one_of_each(struct list *list)
{
    const char *strings[] = { "a", "", "b", NULL };

    SHOW(virTypedParamsAddInt(AT(list), "int", INT_MIN));
    SHOW(virTypedParamsAddUInt(AT(list), "uint", UINT_MAX));
    SHOW(virTypedParamsAddLLong(AT(list), "llong", LLONG_MIN));
    SHOW(virTypedParamsAddULLong(AT(list), "ullong", ULLONG_MAX));
    SHOW(virTypedParamsAddDouble(AT(list), "double", -0.125));
    SHOW(virTypedParamsAddBoolean(AT(list), "no", 0));
    SHOW(virTypedParamsAddBoolean(AT(list), "yes", -3));
    SHOW(virTypedParamsAddString(AT(list), "string", "text"));
    SHOW(virTypedParamsAddString(AT(list), "null", NULL));
    SHOW(virTypedParamsAddStringList(AT(list), "strings", strings));
    SHOW(virTypedParamsAddStringList(AT(list), "strings", strings + 3));
    SHOW(virTypedParamsAddStringList(AT(list), "strings", NULL));
    SHOW(virTypedParamsAddInt(AT(list), "int", 1));
    SHOW(virTypedParamsAddString(AT(list), "int", "of another type"));
}

static void get(const struct list *list, const char *name)
{
    virTypedParameterPtr found = virTypedParamsGet(list->params, list->count, name);
    int i = -7;
    unsigned int ui = 7;
    long long l = -7;
    unsigned long long ul = 7;
    double d = 7;
    int b = 7;
    const char *s = "untouched";

    printf("-- %s: %ld\n", text(name), found ? (long)(found - list->params) : -1);
    SHOW(virTypedParamsGetInt(list->params, list->count, name, &i));
    SHOW(virTypedParamsGetUInt(list->params, list->count, name, &ui));
    SHOW(virTypedParamsGetLLong(list->params, list->count, name, &l));
    SHOW(virTypedParamsGetULLong(list->params, list->count, name, &ul));
    SHOW(virTypedParamsGetDouble(list->params, list->count, name, &d));
    SHOW(virTypedParamsGetBoolean(list->params, list->count, name, &b));
    SHOW(virTypedParamsGetString(list->params, list->count, name, &s));
    printf("  values %d %u %lld %llu %g %d %s\n", i, ui, l, ul, d, b, text(s));
    SHOW(virTypedParamsGetInt(list->params, list->count, name, NULL));
    SHOW(virTypedParamsGetString(list->params, list->count, name, NULL));
}

static const char *const VALUES[] = {
    "0", "1", "-1", "+1", " 1", "\t\n1", "1 ", "1x", "", " ", "-", "x", "0x10", "010", "1.5", "-1.5", ".5", "5.", "1e3", "1e",
    "1e400", "1e-400", "inf", "-inf", "nan", "infinity", "0x1p3", "1,5", "true", "false", "True", "TRUE", "yes", "no", "on", "2",
    "-0", "--1", "+-1", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "-4294967295",
    "-4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "-18446744073709551615", "-18446744073709551616",
    "99999999999999999999999999", NULL,
};

static void add_from_strings(void)
{
    for (int type = VIR_TYPED_PARAM_INT - 1; type <= VIR_TYPED_PARAM_LAST; type++) {
        struct list list = { NULL, 0, 0 };

        for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
            printf("-- type %d of '%s'\n", type, text(VALUES[i]));
            SHOW(virTypedParamsAddFromString(AT(&list), "field", type, VALUES[i]));
        }
        show(&list);
        virTypedParamsFree(list.params, list.count);
    }
}

static void names(void)
{
    struct list list = { NULL, 0, 0 };
    char name[100];

    for (size_t length = 78; length < 82; length++) {
        memset(name, 'n', length);
        name[length] = 0;
        printf("-- name of %zu\n", length);
        SHOW(virTypedParamsAddInt(AT(&list), name, 1));
        SHOW(virTypedParamsAddString(AT(&list), name, "text"));
        SHOW(virTypedParamsAddFromString(AT(&list), name, VIR_TYPED_PARAM_STRING, "text"));
        SHOW(virTypedParamsAddFromString(AT(&list), name, VIR_TYPED_PARAM_INT, "text"));
        SHOW(virTypedParamsAddFromString(AT(&list), name, VIR_TYPED_PARAM_INT, NULL));
    }
    SHOW(virTypedParamsAddUInt(AT(&list), "", 1));
    show(&list);
    get(&list, "");
    virTypedParamsFree(list.params, list.count);
}

static void growth(void)
{
    struct list list = { NULL, 0, 0 };

    for (int i = 0; i < 100; i++) {
        if (virTypedParamsAddInt(AT(&list), "n", i) < 0)
            abort();
        printf("%d of %d\n", list.count, list.room);
    }
    virTypedParamsFree(list.params, list.count);
}

/* Types that no function makes: they come from other programs. */
static void foreign_types(void)
{
    virTypedParameter param = { .field = "odd", .type = 42 };
    struct list list = { &param, 1, 1 };

    get(&list, "odd");
    param.type = 0;
    get(&list, "odd");
    memset(param.field, 'f', sizeof(param.field) - 1);
    get(&list, "odd");
    virTypedParamsClear(&param, 1);
}

static void nothing(void)
{
    virTypedParameter param = { .field = "i", .type = VIR_TYPED_PARAM_INT };
    struct list list = { &param, 1, 1 };
    struct list empty = { NULL, 0, 0 };

    get(&list, NULL);
    get(&empty, "i");
    list.count = 0;
    get(&list, "i");
    virTypedParamsClear(NULL, 1);
    virTypedParamsClear(NULL, 0);
    virTypedParamsFree(NULL, 1);
    virTypedParamsFree(NULL, 0);
    show_error();
}

static void cleared(void)
{
    struct list list = { NULL, 0, 0 };

    SHOW(virTypedParamsAddString(AT(&list), "s", "text"));
    SHOW(virTypedParamsAddInt(AT(&list), "i", 3));
    virTypedParamsClear(list.params, list.count);
    show(&list);
    list.count = 0;
    SHOW(virTypedParamsAddLLong(AT(&list), "l", 3));
    show(&list);
    virTypedParamsFree(list.params, list.count);
    /* The error of a call before stays, or does not. */
    SHOW(virNodeDeviceFree(NULL));
    virTypedParamsClear(NULL, 0);
    show_error();
    SHOW(virNodeDeviceFree(NULL));
    virTypedParamsFree(NULL, 0);
    show_error();
    SHOW(virNodeDeviceFree(NULL));
    printf("%d\n", virTypedParamsGet(NULL, 0, "x") != NULL);
    show_error();
}

int main(void)
{
    static const char *const NAMES[] = {
        "int", "uint", "llong", "ullong", "double", "no", "yes", "string", "null", "strings", "absent", "INT",
    };
    struct list list = { NULL, 0, 0 };

    if (virInitialize() < 0)
        return 1;
    virSetErrorFunc("handler", told);
    add_one_of_each(&list);
    show(&list);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        get(&list, NAMES[i]);
    virTypedParamsFree(list.params, list.count);
    add_from_strings();
    names();
    growth();
    foreign_types();
    nothing();
    cleared();
    return 0;
}
