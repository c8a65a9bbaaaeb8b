#include "agent/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_DEPTH_MAX 3

enum of { OF_AGENT, OF_STREAM, OF_DRIVER, OF_UPLINK, OF_LINK, OF_COUNT };

enum form {
    NUMBER,  /* as it is written, or times `scale` */
    FLAG,    /* true: 1, false: 0 */
    IS_SAID, /* a text or an object: 1, null: 0 */
    EACH,    /* each member of the object, with its name as a label; or the member `path` in it */
    OTHERS,  /* each number of the part that no other row of its kind takes, likewise */
    WORDS,   /* which of these words it is: a sample each */
    INFO,    /* 1, with texts as labels */
};

struct metric {
    const char *name;
    const char *help;
    bool is_counter;
    enum of of;
    enum form form;
    const char *path; /* of the member, dots between */
    const char *in;   /* EACH: within each member */
    const char *label;
    double scale; /* 0: none */
    const char *const *words;
};

static const char *const states[] = {"running", "degraded", "waiting", "stopping", NULL};

#define COUNTER .is_counter = true
#define YEAR_S 31557600.0

static const struct metric metrics[] = {
    {"weir_build_info", "Version and agent, as labels.", .form = INFO},
    {"weir_state", "1 for the state that the agent is in.", .form = WORDS, .path = "state",
     .label = "state", .words = states},
    {"weir_ready", "Whether sources may deliver.", .form = FLAG, .path = "ready"},
    {"weir_clock_believed", "Whether the wall clock is; what came before waits until then.",
     .form = FLAG, .path = "clock.believed"},
    {"weir_uptime_seconds", "Since the agent was opened.", .path = "uptime_s"},
    {"weir_intake_events_total", "Events taken from sources.", COUNTER, .path = "events"},
    {"weir_stored_events_total", "Of these, stored.", COUNTER, .path = "stored"},
    {"weir_delivered_events_total", "Events delivered, over all uplinks.", COUNTER,
     .path = "delivered"},
    {"weir_suppressed_events_total", "Events held back by deadbands.", COUNTER,
     .path = "suppressed"},
    {"weir_refused_offers_total", "Times that a source was told to wait.", COUNTER,
     .path = "refused"},
    {"weir_backlog_events", "Events that wait for an uplink, but for the agent's own.",
     .path = "backlog"},
    {"weir_aside_events", "Events that are set aside.", .path = "aside"},

    {"weir_stream_backlog_events", "Events that wait for an uplink.", .of = OF_STREAM,
     .path = "events"},
    {"weir_stream_backlog_bytes", "Their bytes, before packing.", .of = OF_STREAM, .path = "bytes"},
    {"weir_stream_backlog_age_seconds", "How old the oldest of them is.", .of = OF_STREAM,
     .path = "age_s"},
    {"weir_stream_room_bytes", "What the stream may still store until the next commit.",
     .of = OF_STREAM, .path = "room"},
    {"weir_stream_dropped_events_total", "Events dropped, since the buffer was made.", COUNTER,
     .of = OF_STREAM, .path = "dropped"},
    {"weir_stream_dropped_by_rule_events_total", "Of these, by the rule that did.", COUNTER,
     .of = OF_STREAM, .form = EACH, .path = "dropped_by", .label = "reason"},
    {"weir_stream_suppressed_events_total", "Events held back by deadbands.", COUNTER,
     .of = OF_STREAM, .path = "suppressed"},
    {"weir_stream_schema_refused", "1: the configured schema is refused.", .of = OF_STREAM,
     .form = IS_SAID, .path = "schema_refused"},

    {"weir_driver_received_events_total", "Events that came.", COUNTER, .of = OF_DRIVER,
     .path = "received"},
    {"weir_driver_stored_events_total", "Of these, stored.", COUNTER, .of = OF_DRIVER,
     .path = "stored"},
    {"weir_driver_dropped_events_total", "Of these, dropped for want of room.", COUNTER,
     .of = OF_DRIVER, .path = "dropped"},
    {"weir_driver_suppressed_events_total", "Of these, held back by deadbands.", COUNTER,
     .of = OF_DRIVER, .path = "suppressed"},
    {"weir_driver_aside_events_total", "Of these, set aside.", COUNTER, .of = OF_DRIVER,
     .path = "aside"},
    {"weir_driver_refused_offers_total", "Times that it was told to wait.", COUNTER,
     .of = OF_DRIVER, .path = "refused"},
    {"weir_driver_fault", "1: it has a fault, see the status.", .of = OF_DRIVER, .form = IS_SAID,
     .path = "fault"},
    {"weir_driver_counted_total", "What the driver counts of its own.", COUNTER, .of = OF_DRIVER,
     .form = OTHERS, .label = "counter"},

    {"weir_uplink_sent_events_total", "Events delivered.", COUNTER, .of = OF_UPLINK,
     .path = "sent"},
    {"weir_uplink_backfill_events_total", "Of these, what an outage had left behind.", COUNTER,
     .of = OF_UPLINK, .path = "backfill"},
    {"weir_uplink_sent_bytes_total", "Bytes of messages delivered.", COUNTER, .of = OF_UPLINK,
     .path = "sent_bytes"},
    {"weir_uplink_in_flight_batches", "Batches sent and not answered yet.", .of = OF_UPLINK,
     .path = "in_flight"},
    {"weir_uplink_retries_total", "Batches sent again.", COUNTER, .of = OF_UPLINK,
     .path = "retried"},
    {"weir_uplink_refusals_total", "Batches that the destination refused.", COUNTER,
     .of = OF_UPLINK, .path = "refused"},
    {"weir_uplink_halvings_total", "Batches cut in two for it.", COUNTER, .of = OF_UPLINK,
     .path = "halved"},
    {"weir_uplink_aside_events_total", "Events set aside for it.", COUNTER, .of = OF_UPLINK,
     .path = "aside"},
    {"weir_uplink_duplicate_batches_total", "Batches that the destination had already.", COUNTER,
     .of = OF_UPLINK, .path = "duplicates"},
    {"weir_uplink_wire_sent_bytes_total", "Bytes sent, as the network counts them.", COUNTER,
     .of = OF_UPLINK, .path = "wire_sent"},
    {"weir_uplink_wire_received_bytes_total", "Bytes received, likewise.", COUNTER, .of = OF_UPLINK,
     .path = "wire_received"},
    {"weir_uplink_request_bytes", "Largest request that the link takes now.", .of = OF_UPLINK,
     .path = "request_size"},
    {"weir_uplink_fault", "1: it has a fault, see the status.", .of = OF_UPLINK, .form = IS_SAID,
     .path = "fault"},
    {"weir_uplink_stream_standing", "1: this stream stands still, see the status.", .of = OF_UPLINK,
     .form = EACH, .path = "standing", .label = "stream"},
    {"weir_uplink_counted_total", "What the uplink counts of its own.", COUNTER, .of = OF_UPLINK,
     .form = OTHERS, .label = "counter"},

    {"weir_link_up", "Whether its interface is up.", .of = OF_LINK, .form = FLAG, .path = "up"},
    {"weir_link_priority_min", "Lowest priority that may go now; 10: nothing may.", .of = OF_LINK,
     .path = "passes"},
    {"weir_link_bytes_total", "Bytes over the link since the buffer was made.", COUNTER,
     .of = OF_LINK, .form = EACH, .path = "total", .label = "direction"},
    {"weir_link_rate_bytes_per_second", "As it was measured.", .of = OF_LINK, .path = "rate"},
    {"weir_link_rate_max_bytes_per_second", "As it is bounded; 0: not.", .of = OF_LINK,
     .path = "rate_max"},
    {"weir_link_under_way_bytes", "What is made for it and not answered yet.", .of = OF_LINK,
     .path = "under_way"},
    {"weir_link_budget_bytes", "The budget of the period.", .of = OF_LINK, .form = EACH,
     .path = "budgets", .in = "max", .label = "period"},
    {"weir_link_budget_spent_bytes", "What is spent of it.", .of = OF_LINK, .form = EACH,
     .path = "budgets", .in = "spent", .label = "period"},
    {"weir_link_backlog_seconds_total", "Time with a backlog for it.", COUNTER, .of = OF_LINK,
     .path = "backlog_ms", .scale = 1e-3},
    {"weir_link_in_use_seconds_total", "Of this, time in use, by rate_max.", COUNTER, .of = OF_LINK,
     .path = "in_use_ms", .scale = 1e-3},

    {"weir_buffer_size_bytes", "Size of the file.", .path = "buffer.size"},
    {"weir_buffer_size_max_bytes", "What it may grow to.", .path = "buffer.size_max"},
    {"weir_buffer_used_ratio", "The part of that which holds something.",
     .path = "buffer.used_share"},
    {"weir_buffer_trouble", "1: its disk takes nothing, or is full.", .form = IS_SAID,
     .path = "buffer.trouble"},
    {"weir_buffer_unsaved_deliveries", "Deliveries on record in memory only.",
     .path = "buffer.unsaved"},
    {"weir_buffer_damage_replaced_total", "Damaged files that were replaced.", COUNTER,
     .path = "buffer.damage.replaced"},
    {"weir_buffer_damage_lost_events_total", "Events that a damaged file did not give back.",
     COUNTER, .path = "buffer.damage.lost"},
    {"weir_flash_written_bytes_total", "Bytes that reached the medium, in its blocks.", COUNTER,
     .path = "wear.bytes"},
    {"weir_flash_syncs_total", "Syncs.", COUNTER, .path = "wear.syncs"},
    {"weir_flash_commits_total", "Commits.", COUNTER, .path = "wear.commits"},
    {"weir_flash_written_today_bytes", "Bytes of this day.", .path = "wear.today.bytes"},
    {"weir_flash_written_max_per_day_bytes", "Their bound; 0: none.", .path = "wear.max_per_day"},
    {"weir_flash_life_seconds", "Life of the medium at the rate of the last days.",
     .path = "wear.life_years", .scale = YEAR_S},
    {"weir_loop_longest_turn_seconds", "The longest that the loop was kept.",
     .path = "loop.longest_turn_us", .scale = 1e-6},
    {"weir_memory_resident_bytes", "Of the process.", .path = "memory.resident"},
};

static const struct {
    const char *section; /* of the status: an array, or an object with a member each */
    const char *label;
} places[OF_COUNT] = {[OF_STREAM] = {"streams", "stream"},
                      [OF_DRIVER] = {"drivers", "driver"},
                      [OF_UPLINK] = {"uplinks", "uplink"},
                      [OF_LINK] = {"links", "link"}};

/* --- writing --- */

struct writer {
    const struct metric *metric;
    struct out *out;
    bool has_head;
    const char *part; /* whose sample it is; NULL: the agent's */
};

static void put_label(struct out *o, const char *comma, const char *name, const char *value)
{
    out_put_text(o, comma);
    out_put_text(o, name);
    out_put_text(o, "=\"");
    for (; *value; value++) {
        switch (*value) {
        case '\\':
            out_put_text(o, "\\\\");
            break;
        case '"':
            out_put_text(o, "\\\"");
            break;
        case '\n':
            out_put_text(o, "\\n");
            break;
        default:
            out_put_byte(o, (uint8_t)*value);
            break;
        }
    }
    out_put_byte(o, '"');
}

/* The sample's name and labels; before the first of its metric, what the metric is. */
static void put_name(struct writer *w, const char *label_value)
{
    const struct metric *m = w->metric;
    struct out *o = w->out;
    if (!w->has_head) {
        out_put_format(o, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                       m->is_counter ? "counter" : "gauge");
        w->has_head = true;
    }
    out_put_text(o, m->name);
    if (w->part || label_value) {
        out_put_byte(o, '{');
        if (w->part) {
            put_label(o, "", places[m->of].label, w->part);
        }
        if (label_value) {
            put_label(o, w->part ? "," : "", m->label, label_value);
        }
        out_put_byte(o, '}');
    }
    out_put_byte(o, ' ');
}

/* A number as the status has it, to the digit. */
static void put_number(struct writer *w, const char *label_value, const struct json_node *node)
{
    if (!node || node->kind != JSON_NUMBER) {
        return;
    }
    put_name(w, label_value);
    char text[64]; /* json_tree.h: 63 characters at most */
    if (w->metric->scale > 0 && slice_to_text(node->text, text, sizeof text)) {
        out_put_format(w->out, "%.12g\n", strtod(text, NULL) * w->metric->scale);
    } else {
        out_put_slice(w->out, node->text);
        out_put_byte(w->out, '\n');
    }
}

static void put_truth(struct writer *w, const char *label_value, bool is_true)
{
    put_name(w, label_value);
    out_put_text(w->out, is_true ? "1\n" : "0\n");
}

/* --- reading --- */

static const struct json_node *node_at(const struct json_node *node, const char *path)
{
    for (size_t i = 0; node && path && i < PATH_DEPTH_MAX; i++) {
        char name[32];
        size_t size = strcspn(path, ".");
        struct slice step = {(const uint8_t *)path, size};
        bool fits = slice_to_text(step, name, sizeof name);
        assert(fits);
        node = json_node_find(node, name);
        path = path[size] ? path + size + 1 : NULL;
    }
    return path ? NULL : node;
}

/* Has the number a metric of its own? */
static bool is_taken(enum of of, const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++) {
        if (metrics[i].of == of && metrics[i].form == NUMBER &&
            strcmp(metrics[i].path, name) == 0) {
            return true;
        }
    }
    return false;
}

static void put_each(struct writer *w, const struct json_node *node)
{
    for (const struct json_node *m = node ? node->child : NULL; m; m = m->next) {
        const struct json_node *value = w->metric->in ? json_node_find(m, w->metric->in) : m;
        if (w->metric->form == OTHERS && is_taken(w->metric->of, m->name)) {
            continue;
        }
        if (value && value->kind == JSON_STRING && w->metric->form == EACH) {
            put_truth(w, m->name, true);
        } else {
            put_number(w, m->name, value);
        }
    }
}

static void put_info(struct writer *w, const struct json_node *node)
{
    const char *version = json_node_text(json_node_find(node, "version"));
    const char *agent = json_node_text(json_node_find(node, "agent"));
    out_put_format(w->out, "# HELP %s %s\n# TYPE %s gauge\n%s{", w->metric->name, w->metric->help,
                   w->metric->name, w->metric->name);
    put_label(w->out, "", "version", version ? version : "");
    put_label(w->out, ",", "agent", agent ? agent : "");
    out_put_text(w->out, "} 1\n");
}

static void put_words(struct writer *w, const struct json_node *node)
{
    const char *text = json_node_text(node);
    for (size_t i = 0; text && w->metric->words[i]; i++) {
        put_truth(w, w->metric->words[i], strcmp(text, w->metric->words[i]) == 0);
    }
}

static void put_of(struct writer *w, const struct json_node *part)
{
    const struct json_node *node = node_at(part, w->metric->path);
    switch (w->metric->form) {
    case NUMBER:
        put_number(w, NULL, node);
        break;
    case FLAG:
        if (node) {
            put_truth(w, NULL, node->kind == JSON_TRUE);
        }
        break;
    case IS_SAID:
        if (node) {
            put_truth(w, NULL, node->kind != JSON_NULL);
        }
        break;
    case EACH:
    case OTHERS:
        put_each(w, node);
        break;
    case WORDS:
        put_words(w, node);
        break;
    case INFO:
        put_info(w, part);
        break;
    }
}

void metrics_put(const struct json_node *status, struct out *ret)
{
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++) {
        struct writer w = {.metric = &metrics[i], .out = ret};
        if (metrics[i].of == OF_AGENT) {
            put_of(&w, status);
            continue;
        }
        const struct json_node *all = json_node_find(status, places[metrics[i].of].section);
        for (const struct json_node *part = all ? all->child : NULL; part; part = part->next) {
            const char *name = json_node_text(json_node_find(part, "name"));
            w.part = part->name ? part->name : name ? name : "";
            put_of(&w, part);
        }
    }
}
