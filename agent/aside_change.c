/* weir aside drop: what changes the set-aside events. */
#include <inttypes.h>

#include "agent/aside_impl.h"

int aside_drop_command(const struct buffer_arguments *a)
{
    struct counted done = {.events = 0};
    int code =
        buffer_confirm(a, "that were set aside would be dropped for good", "Nothing keeps them.");
    code = code ? code : buffer_order(a, false, &done);
    if (code) {
        return code;
    }
    if (a->json) {
        printf("{\"dropped\":%" PRIu64 "}\n", done.events);
    } else {
        printf("%" PRIu64 " set-aside events were dropped\n", done.events);
    }
    return progress_code(&done.progress);
}
