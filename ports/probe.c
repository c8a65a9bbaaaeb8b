#include "ports/probe.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "ports/slice.h"

void probe_found(const struct probe_setup *setup, enum probe_level level, const char *option,
                 const char *what, const char *format, ...)
{
    struct probe_finding finding = {.level = level};
    (void)snprintf(finding.option, sizeof finding.option, "%s", option); /* cut is fine */
    (void)snprintf(finding.what, sizeof finding.what, "%s", what);
    va_list list;
    va_start(list, format);
    (void)vsnprintf(finding.why.text, sizeof finding.why.text, format, list);
    va_end(list);
    setup->found(setup->context, &finding);
}

bool probe_found_end(const struct probe_setup *setup, const char *option, const char *what,
                     int64_t end_s, int64_t now_s)
{
    int64_t left_s = end_s - now_s;
    int64_t days = left_s / 86400;
    char date[CLOCK_TEXT_SIZE];
    if (days >= PROBE_DAYS_SOON) {
        return false;
    }
    clock_format(end_s * 1000000, 0, date);
    if (left_s < 0) {
        probe_found(setup, PROBE_ERROR, option, what,
                    "it has expired on %s: renew it (or is the clock here wrong?)", date);
    } else {
        probe_found(setup, PROBE_WARNING, option, what,
                    "it expires on %s, in %" PRId64 " days: renew it", date, days);
    }
    return true;
}

void probe_addresses(const struct name_query *query, char ret[PROBE_ADDRESSES_SIZE_MAX])
{
    struct out o = out_over(ret, PROBE_ADDRESSES_SIZE_MAX - 1);
    for (size_t i = 0; i < query->address_count; i++) {
        const struct sockaddr_storage *storage = &query->addresses[i].storage;
        const void *any = storage;
        const struct sockaddr_in *v4 = any;
        const struct sockaddr_in6 *v6 = any;
        const void *address = storage->ss_family == AF_INET ? (const void *)&v4->sin_addr
                                                            : (const void *)&v6->sin6_addr;
        char text[INET6_ADDRSTRLEN];
        if (inet_ntop(storage->ss_family, address, text, sizeof text)) {
            out_put_format(&o, "%s%s", o.size ? ", " : "", text);
        }
    }
    ret[o.size] = '\0';
}

void probe_duration(int64_t ms, char ret[32])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (i + 1 < ARRAY_COUNT(units) && ms < 2 * units[i].ms) {
        i++;
    }
    (void)snprintf(ret, 32, "%" PRId64 " %s", ms / units[i].ms, units[i].unit);
}
