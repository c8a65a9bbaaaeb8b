#include <inttypes.h>
#include <string.h>

#include "config/print.h"
#include "config/units.h"

static const char *reference_kind(const struct option *option)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "true or false", [OPTION_INT] = "whole number",
        [OPTION_DURATION] = "duration",  [OPTION_SIZE] = "size",
        [OPTION_RATE] = "rate",          [OPTION_SHARE] = "share",
        [OPTION_DECIMAL] = "number",     [OPTION_CHOICE] = "one of",
        [OPTION_TEXT] = "text",          [OPTION_SECRET] = "secret",
        [OPTION_PATH] = "path",          [OPTION_ANY] = "any JSON",
        [OPTION_RECORD] = "object",      [OPTION_LIST] = "list of",
        [OPTION_MAP] = "object: name to"};
    return names[option->kind];
}

/* Text within a table's cell. */
static void reference_cell(const char *text, struct out *out)
{
    for (; *text; text++) {
        if (*text == '|') {
            out_put_byte(out, '\\');
        }
        out_put_byte(out, (uint8_t)*text);
    }
}

static void reference_number(const struct option *option, int64_t value, struct out *out)
{
    if (units_has(option->kind)) {
        units_put(option, value, out);
    } else {
        out_put_format(out, "%" PRId64, value);
    }
}

static void reference_type(const struct option *option, struct out *out)
{
    bool is_many = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
    if (option->flags & OPTION_ONE_OK) {
        out_put_format(out, "%s, or ", reference_kind(option->item));
    }
    out_put_text(out, reference_kind(option));
    if (is_many) {
        out_put_text(out, " ");
        out_put_text(out, option->record ? "objects" : reference_kind(option->item));
    }
    const struct option *plain = is_many && option->item ? option->item : option;
    for (size_t i = 0; plain->kind == OPTION_CHOICE && plain->words[i]; i++) {
        out_put_format(out, "%s `%s`", i ? "," : "", plain->words[i]);
    }
    bool is_number = option->kind == OPTION_INT || units_has(option->kind);
    if (is_number && (option->min || option->max)) {
        out_put_text(out, ", ");
        reference_number(option, option->min, out);
        if (option->max) {
            out_put_text(out, " to ");
            reference_number(option, option->max, out);
        } else {
            out_put_text(out, " or more");
        }
    } else if (is_many && option->max) {
        out_put_format(out, ", at most %" PRId64, option->max);
    }
}

static void reference_row(const char *prefix, const struct option *option, struct out *out)
{
    out_put_format(out, "| `%s%s` | ", prefix, option->name);
    reference_type(option, out);
    out_put_text(out, " | ");
    if (option->flags & OPTION_REQUIRED) {
        out_put_text(out, "**required**");
    } else if (option->initial) {
        out_put_format(out, "`%s`", option->initial);
    }
    out_put_text(out, " | ");
    reference_cell(option->help ? option->help : "", out);
    out_put_text(out, " |\n");
}

static void reference_table(const struct option *table, struct out *out)
{
    struct walk walk = walk_begin(table);
    const struct option *row;
    char prefix[256] = "";
    size_t sizes[WALK_DEPTH_MAX] = {0}; /* of the prefix at each depth */
    unsigned depth = 0;
    if (!table || !table->name) {
        out_put_text(out, "No options of its own.\n");
        return;
    }
    out_put_text(out, "| option | value | default | |\n| --- | --- | --- | --- |\n");
    for (enum walk_step step; (step = walk_next(&walk, &row)) != WALK_END;) {
        if (step == WALK_LEAVE) {
            prefix[sizes[--depth]] = 0;
            continue;
        }
        if (!(row->flags & OPTION_HIDDEN)) {
            reference_row(prefix, row, out);
        }
        if (step == WALK_ENTER) {
            const char *mark = row->kind == OPTION_LIST  ? "[]."
                               : row->kind == OPTION_MAP ? ".NAME."
                                                         : ".";
            size_t size = strlen(prefix);
            sizes[depth++] = size;
            snprintf(prefix + size, sizeof prefix - size, "%s%s", row->name, mark);
        }
    }
}

static void reference_events(struct out *out)
{
    out_put_text(
        out,
        "\n## weir.events\n\n"
        "The agent's own stream, by which the centre learns how it is. It needs no configuration: "
        "priority 8, `drop_oldest`, at most 1 % of the buffer; key: the agent's name. Which "
        "uplinks "
        "carry it: `uplinks.NAME.streams`. Schema `weir.Event`; fields that a kind does not need "
        "are empty or 0.\n\n"
        "| kind | when | fields beside time, agent, incarnation, version |\n| --- | --- | --- |\n"
        "| `start` | the agent has started | `count`: how often this buffer was opened |\n"
        "| `stop` | an orderly stop; none before a `start`: it was killed, or lost power | |\n"
        "| `machine` | at a start: the buffer was used on another machine before (a copied or "
        "moved "
        "card); behind `start` | `incarnation`: the new one; `text` has the one before |\n"
        "| `gap` | events were dropped by a rule | `stream`, `uplink` (empty: all), `first`, "
        "`last`, "
        "`count`, `reason`: `drop_oldest`, `drop_newest`, `thin`, `age`, `hold_max`, "
        "`merged`, `by_hand` |\n"
        "| `damage` | events were found damaged in the buffer | `stream`, `first`, `last`, "
        "`count`, "
        "`reason` |\n"
        "| `aside` | events were set aside | `count` since the last word, `text`: the last reason "
        "|\n"
        "| `health` | each hour; where a link is metered and nothing else was delivered in that "
        "hour, each "
        "six hours: it rides along | `health`: uptime, backlog, dropped, delivered, refused, "
        "aside, "
        "buffer, wear, clock |\n\n"
        "Gaps and set-aside events are told every 10 minutes at most; each gap is told exactly "
        "once.\n");
}

void print_reference(const struct config_parts *parts, struct out *ret)
{
    out_put_text(
        ret,
        "# Configuration reference\n\n"
        "Made by `weir config reference` from the same tables that read the file; do not edit.\n\n"
        "One JSON file with the objects `agent`, `buffer`, `status`, `streams`, `drivers`, "
        "`uplinks` and `links`; the "
        "last four hold named ones: 1 to 63 characters of `A-Z a-z 0-9 _ . -`, not beginning with "
        "`weir.`. Durations are texts with `ms`, `s`, `min`, `h`, `d`; sizes with `B`, `kB`, `MB`, "
        "`GB`, `KiB`, `MiB`, `GiB`; rates with `bit/s`, `kbit/s`, `Mbit/s`, `B/s`, `kB/s`, `MB/s`; "
        "shares with `%`. In any text `${env:NAME}` stands for a variable of the environment, "
        "`${file:PATH}` for the content of a file without the line end (of secrets: readable by "
        "weir's user only), `${machine_id}`, `${serial_number}` and `${host_name}` for what the "
        "device "
        "is called by itself, `${common_name:PATH}` for the name in its certificate (one image "
        "then "
        "serves a fleet), `$${` for `${`. Relative paths start at the file's own folder. "
        "`weir check` finds the mistakes, `weir config show` prints everything that is in "
        "force.\n\n"
        "## agent\n\n");
    reference_table(agent_options_table, ret);
    out_put_text(ret, "\n## buffer\n\n");
    reference_table(buffer_options_table, ret);
    out_put_text(ret, "\n## status\n\nThe status page, metrics and probes: `agent/STATUS.md`.\n\n");
    reference_table(status_options_table, ret);
    out_put_text(ret, "\n## streams.NAME\n\n");
    reference_table(stream_options_table, ret);
    reference_events(ret);
    out_put_text(ret, "\n## drivers.NAME: all types\n\n");
    reference_table(driver_common_table, ret);
    for (size_t i = 0; parts->drivers[i]; i++) {
        out_put_format(ret, "\n## drivers.NAME: `%s`\n\n", parts->drivers[i]->type);
        out_put_text(ret, parts->drivers[i]->help);
        out_put_text(ret, "\n\n");
        reference_table(parts->drivers[i]->options, ret);
    }
    out_put_text(ret, "\n## uplinks.NAME: all types\n\n");
    reference_table(uplink_common_table, ret);
    for (size_t i = 0; parts->uplinks[i]; i++) {
        out_put_format(ret, "\n## uplinks.NAME: `%s`\n\n", parts->uplinks[i]->type);
        out_put_text(ret, parts->uplinks[i]->help);
        out_put_text(ret, "\n\n");
        reference_table(parts->uplinks[i]->options, ret);
    }
    out_put_text(ret, "\n## links.NAME\n\n"
                      "A way to the outside, and what may go over it: the rules are in "
                      "`agent/LINK.md`.\n\n");
    reference_table(link_options_table, ret);
}
