/* weir buffer wear: what was written to the flash, and what other intervals would cost. Through the
 * agent when it runs, else from the file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/buffer_impl.h"
#include "agent/wear_keep.h"

#define ANSWER_SIZE_MAX 16384

static const uint32_t intervals_ms[] = {250, 1000, 5000, 10000, 30000, 60000};

/* Of a stopped agent, in the form of the status. */
static enum err offline_wear(struct buffer *buffer, char **ret, struct why *why)
{
    static const struct wear_medium unknown = {0};
    struct wear_history history = {0};
    uint16_t driver = 0;
    enum err e = buffer_driver_find(buffer, WEAR_DRIVER, &driver, why);
    e = e || !driver ? e : wear_keep_read(buffer, driver, &history);
    char *text = e ? NULL : malloc(ANSWER_SIZE_MAX + 1);
    if (!text) {
        return e ? e : ERR_NOMEM;
    }
    struct out json = out_over(text, ANSWER_SIZE_MAX);
    out_put_text(&json, "{\"wear\":{\"medium\":{}");
    wear_put_history(&history, wear_history_latest(&history) + 1, &unknown, &json);
    out_put_text(&json, "}}");
    text[json.size] = 0; /* 32 days of at most 200 bytes */
    *ret = text;
    return ERR_OK;
}

/* --- what the numbers say --- */

static uint64_t number_of(const struct json_node *parent, const char *name)
{
    int64_t value = 0;
    const struct json_node *node = json_node_find(parent, name);
    return node && json_node_integer(node, &value) && value > 0 ? (uint64_t)value : 0;
}

static struct wear_count count_of(const struct json_node *node)
{
    return (struct wear_count){number_of(node, "bytes"), number_of(node, "syncs"),
                               number_of(node, "commits"), number_of(node, "events"),
                               number_of(node, "event_bytes")};
}

/* A day of this site: the mean of the whole days, else today's as if it were whole. `today` is the
 * last of "days" while the agent runs and has written anything. */
static struct wear_count day_of_site(const struct json_node *wear, unsigned *ret_days)
{
    struct wear_count sum = {0};
    struct wear_count today = count_of(json_node_find(wear, "today"));
    const struct json_node *days = json_node_find(wear, "days");
    *ret_days = 0;
    for (const struct json_node *d = days ? days->child : NULL; d; d = d->next) {
        if (d->next || today.commits == 0) {
            struct wear_count more = count_of(d);
            wear_count_add(&sum, &more);
            (*ret_days)++;
        }
    }
    unsigned n = *ret_days;
    return n == 0 ? today
                  : (struct wear_count){sum.bytes / n, sum.syncs / n, sum.commits / n,
                                        sum.events / n, sum.event_bytes / n};
}

static void put_interval(struct out *json, const struct wear_medium *medium, uint32_t interval_ms,
                         const struct wear_count *c)
{
    double years = wear_life_years(medium, c);
    out_put_format(json,
                   "{\"interval_ms\":%" PRIu32 ",\"commits\":%" PRIu64 ",\"syncs\":%" PRIu64
                   ",\"bytes\":%" PRIu64 ",\"life_years\":",
                   interval_ms, c->commits, c->syncs, c->bytes);
    if (years > 0) {
        out_put_format(json, "%.1f}", years);
    } else {
        out_put_text(json, "null}");
    }
}

static void print_json(const struct json_node *wear, const struct wear_medium *medium)
{
    char memory[2048];
    struct out json = out_over(memory, sizeof memory);
    unsigned days;
    struct wear_count day = day_of_site(wear, &days);
    out_put_format(&json,
                   "\"day\":{\"days\":%u,\"bytes\":%" PRIu64 ",\"syncs\":%" PRIu64
                   ",\"commits\":%" PRIu64 ",\"events\":%" PRIu64 ",\"event_bytes\":%" PRIu64
                   "},\"intervals\":[",
                   days, day.bytes, day.syncs, day.commits, day.events, day.event_bytes);
    for (size_t i = 0; i < ARRAY_COUNT(intervals_ms); i++) {
        struct wear_count c = wear_foretell(&day, intervals_ms[i]);
        out_put_text(&json, i ? "," : "");
        put_interval(&json, medium, intervals_ms[i], &c);
    }
    printf("{%.*s],\"measured\":%.*s}\n", (int)json.size, memory, (int)wear->text.size,
           (const char *)wear->text.data);
}

static void print_line(const char *what, const struct wear_count *c,
                       const struct wear_medium *medium)
{
    double years = wear_life_years(medium, c);
    char life[32] = "-";
    if (years > 0) {
        (void)snprintf(life, sizeof life, "%.0f", years);
    }
    printf("%-14s %10" PRIu64 " %10" PRIu64 " %12.1f %10s\n", what, c->commits, c->syncs,
           (double)c->bytes / 1e6, life);
}

static void print_table(const struct json_node *wear, const struct wear_medium *medium)
{
    unsigned days;
    struct wear_count day = day_of_site(wear, &days);
    struct wear_count total = count_of(json_node_find(wear, "total"));
    printf("%-14s %10s %10s %12s %10s\n", "", "COMMITS", "SYNCS", "MB", "LIFE, YEARS");
    print_line("in all", &total, &(struct wear_medium){0});
    print_line(days ? "a day, mean" : "today so far", &day, medium);
    printf("\n%" PRIu64 " events a day, %" PRIu64 " bytes of data; with a commit each\n",
           day.events, day.event_bytes);
    for (size_t i = 0; i < ARRAY_COUNT(intervals_ms); i++) {
        struct wear_count c = wear_foretell(&day, intervals_ms[i]);
        char what[16];
        (void)snprintf(what, sizeof what, "%g s", intervals_ms[i] / 1000.0);
        print_line(what, &c, medium);
    }
    if (medium->size == 0) {
        printf("\nThe life is foretold by an agent whose configuration has buffer.medium.\n");
    }
}

static enum err show(const struct json_node *root, bool as_json, struct why *why)
{
    const struct json_node *wear = json_node_find(root, "wear");
    const struct json_node *m = json_node_find(wear, "medium");
    struct wear_medium medium = {(int64_t)number_of(m, "size"), (int64_t)number_of(m, "cycles"),
                                 (int64_t)number_of(m, "page")};
    if (!wear) {
        why_set(why, "the agent is of another version: restart it");
        return ERR_VERSION;
    }
    if (as_json) {
        print_json(wear, &medium);
    } else {
        print_table(wear, &medium);
    }
    return ERR_OK;
}

int buffer_wear_command(const struct buffer_arguments *a)
{
    struct why why = {""};
    char *answer = NULL;
    struct json_tree *tree = NULL;
    size_t offset;
    int code = EXIT_FAILED;
    struct tool_source *source = buffer_source(a, false, &code);
    if (!source) {
        return code;
    }
    enum err e = tool_source_is_running(source)
                     ? command_ask(a->socket_path, "status", &answer, &why)
                     : offline_wear(tool_source_buffer(source), &answer, &why);
    e = e ? e : json_tree_open(&tree, slice_of_text(answer), &why, &offset);
    e = e ? e : show(json_tree_root(tree), a->json, &why);
    json_tree_close(tree);
    free(answer);
    tool_source_close(source);
    return e ? buffer_failed(a->word, e, &why) : command_finish();
}
