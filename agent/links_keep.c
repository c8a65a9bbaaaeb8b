/* The counts of links, kept as cursors of drivers of their own: "(link NAME)". They ride in commits
 * that are due anyway, above all in the one before a request is sent. */
#include <stdio.h>

#include "agent/links_impl.h"
#include "ports/log.h"

#define DRIVER_NAME_SIZE 96

static void take_value(void *context, uint32_t key, struct slice value)
{
    struct link_line *line = context;
    if (!link_value_take(&line->history, key, value)) {
        log_warn(line->config->name, "a count of the link's bytes can't be read: it begins anew");
    }
}

enum err line_keep_open(struct link_line *line, struct why *why)
{
    char name[DRIVER_NAME_SIZE];
    struct buffer *buffer = store_buffer(line->links->setup.store);
    (void)snprintf(name, sizeof name, "(link %s)", line->config->name); /* names are shorter */
    enum err e = buffer_driver_number(buffer, name, &line->driver, why);
    e = e ? e : buffer_cursor_each(buffer, line->driver, take_value, line);
    line->kept = line->history;
    return e;
}

static bool put(struct link_line *line, const struct link_history *history, uint32_t key,
                int64_t wait_ms)
{
    uint8_t memory[LINK_VALUE_MAX], kept_memory[LINK_VALUE_MAX];
    struct out value = out_over(memory, sizeof memory);
    struct out kept = out_over(kept_memory, sizeof kept_memory);
    uint64_t commit;
    link_value_put(history, key, &value);
    link_value_put(&line->kept, key, &kept);
    if (slice_equal(out_slice(&value), out_slice(&kept))) {
        return true;
    }
    struct cursor_change change = {.driver = line->driver, .key = key, .value = out_slice(&value)};
    return store_cursor_put(line->links->setup.store, &change, wait_ms, &commit) == ERR_OK &&
           link_value_take(&line->kept, key, out_slice(&value));
}

/* All of them: the hour, day or month may be another one than when bytes were counted, and bytes may
 * have moved. */
void line_keep_put(struct link_line *line, int64_t wait_ms)
{
    struct link_history history = line->history;
    struct link_bytes held = {line->held, 0};
    bool is_put = true;
    link_history_add(&history, &line->ids, &held);
    for (uint32_t key = 0; is_put && key < LINK_KEY_COUNT; key++) {
        is_put = put(line, &history, key, wait_ms);
    }
    line->unkept = is_put ? 0 : line->unkept; /* else the next time */
}
