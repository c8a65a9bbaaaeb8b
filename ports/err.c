#include "ports/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_name(enum err e)
{
    static const char *const names[ERR_COUNT] = {
        [ERR_OK] = "ok",           [ERR_AGAIN] = "again",      [ERR_FULL] = "full",
        [ERR_NOMEM] = "no memory", [ERR_CONFIG] = "config",    [ERR_CORRUPT] = "corrupt",
        [ERR_IO] = "io",           [ERR_NOSPACE] = "no space", [ERR_READONLY] = "read-only",
        [ERR_CLOSED] = "closed",   [ERR_TIMEOUT] = "timeout",  [ERR_REJECTED] = "rejected",
        [ERR_AUTH] = "auth",       [ERR_VERSION] = "version",
    };
    return (unsigned)e < ERR_COUNT ? names[e] : "unknown";
}

static void why_mark_cut(struct why *why, int wanted)
{
    if (wanted >= WHY_SIZE_MAX) {
        memcpy(why->text + WHY_SIZE_MAX - 4, "...", 4);
    }
}

void why_set(struct why *why, const char *format, ...)
{
    if (!why) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    why_mark_cut(why, wanted);
}

void why_add(struct why *why, const char *format, ...)
{
    if (!why) {
        return;
    }
    char before[WHY_SIZE_MAX];
    memcpy(before, why->text, sizeof before);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    if (wanted >= 0 && wanted < WHY_SIZE_MAX && before[0]) {
        size_t used = (size_t)wanted;
        wanted += snprintf(why->text + used, sizeof why->text - used, ": %s", before);
    }
    why_mark_cut(why, wanted);
}

enum err err_of_errno(int number)
{
    switch (number) {
    case 0:
        return ERR_OK;
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPACE;
    case EROFS:
        return ERR_READONLY;
    case ENOMEM:
        return ERR_NOMEM;
    case EACCES:
    case EPERM:
        return ERR_AUTH;
    case EAGAIN:
    case EINTR:
    case EINPROGRESS:
        return ERR_AGAIN;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}
