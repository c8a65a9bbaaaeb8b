#include <inttypes.h>

#include "agent/links_impl.h"

static void put_time(int64_t wall_us, struct out *json)
{
    if (wall_us == INT64_MAX) {
        out_put_text(json, "null");
        return;
    }
    out_put_byte(json, '"');
    link_time_put(wall_us, json);
    out_put_byte(json, '"');
}

static void put_bytes(struct link_bytes bytes, struct out *json)
{
    out_put_format(json, "\"sent\":%" PRIu64 ",\"received\":%" PRIu64, bytes.sent, bytes.received);
}

static void put_budgets(const struct link_line *line, struct out *json)
{
    const char *comma = "";
    out_put_text(json, ",\"budgets\":{");
    for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
        uint64_t max = line->budget.max[p];
        uint64_t spent = line_spent(line, p);
        if (max == 0) {
            continue;
        }
        uint32_t id = line->clock_is_known ? line->ids.of[p] : 0;
        out_put_format(json,
                       "%s\"%s\":{\"max\":%" PRIu64 ",\"spent\":%" PRIu64 ",\"left\":%" PRIu64
                       ",\"until\":",
                       comma, link_period_names[p], max, spent, max > spent ? max - spent : 0);
        put_time(id ? link_period_end(p, id, (int)line->config->options.month_day) : INT64_MAX,
                 json);
        out_put_byte(json, '}');
        comma = ",";
    }
    out_put_byte(json, '}');
}

static void put_months(const struct link_line *line, struct out *json)
{
    const char *comma = "";
    uint32_t now = line->ids.of[LINK_MONTH];
    out_put_text(json, ",\"months\":[");
    for (uint32_t back = LINK_MONTH_SHOWN; now && back-- > 0;) {
        char text[LINK_MONTH_TEXT_SIZE];
        struct link_bytes bytes = link_history_of(&line->history, LINK_MONTH, now - back);
        if (bytes.sent + bytes.received == 0) {
            continue;
        }
        link_month_text(now - back, text);
        out_put_format(json, "%s{\"month\":\"%s\",", comma, text);
        put_bytes(bytes, json);
        out_put_byte(json, '}');
        comma = ",";
    }
    out_put_byte(json, ']');
}

static void put_users(const struct link_line *line, struct out *json)
{
    const char *comma = "";
    const struct config *config = line->links->setup.config;
    size_t at = (size_t)(line - line->links->lines);
    out_put_text(json, ",\"uplinks\":[");
    for (size_t i = 0; i < config->uplink_count; i++) {
        for (size_t c = 0; c < config->uplinks[i].link_count; c++) {
            if (config->uplinks[i].links[c] == at) {
                out_put_text(json, comma);
                out_put_json(json, slice_of_text(config->uplinks[i].name));
                comma = ",";
            }
        }
    }
    out_put_byte(json, ']');
}

static void put_line(struct link_line *line, struct out *json)
{
    struct link_verdict verdict;
    struct why why = {""};
    const struct link_config *o = &line->config->options;
    out_put_json(json, slice_of_text(line->config->name));
    out_put_text(json, ":{\"interface\":");
    if (o->interface) {
        out_put_json(json, slice_of_text(o->interface));
    } else {
        out_put_text(json, "null");
    }
    uint8_t passes = line_passes(line, &verdict);
    line_sentence(line, &why);
    out_put_format(json, ",\"up\":%s,\"metered\":%s,\"passes\":%u,\"why\":",
                   line->is_up ? "true" : "false", o->metered ? "true" : "false", (unsigned)passes);
    if (why.text[0]) {
        out_put_json(json, slice_of_text(why.text));
    } else {
        out_put_text(json, "null");
    }
    out_put_text(json, ",\"until\":");
    put_time(verdict.until_us, json);
    out_put_format(json,
                   ",\"rate\":%" PRIu64 ",\"rate_max\":%" PRIu64 ",\"under_way\":%" PRIu64
                   ",\"bytes\":%" PRIu64,
                   line_rate(line), (uint64_t)o->rate_max / 8, line->held, line->since_start);
    line_backlog(line);
    uint64_t most = (uint64_t)o->rate_max / 8;
    out_put_format(json, ",\"backlog_ms\":%" PRIu64 ",\"in_use_ms\":%" PRIu64, line->backlog_ms,
                   most ? line->backlog_bytes * 1000 / most : 0);
    put_users(line, json);
    put_budgets(line, json);
    out_put_text(json, ",\"today\":{");
    put_bytes(link_history_of(&line->history, LINK_DAY, line->ids.of[LINK_DAY]), json);
    out_put_text(json, "},\"total\":{");
    put_bytes(line->history.total, json);
    out_put_byte(json, '}');
    put_months(line, json);
    out_put_byte(json, '}');
}

void links_status(struct links *links, struct out *json)
{
    out_put_byte(json, '{');
    for (size_t i = 0; links && i < links->count; i++) {
        if (i > 0) {
            out_put_byte(json, ',');
        }
        line_look(&links->lines[i]);
        put_line(&links->lines[i], json);
    }
    out_put_byte(json, '}');
}
