#include <inttypes.h>
#include <stdio.h>

#include "agent/plan.h"

#define MB 1e6 /* as contracts of SIM cards have it */
#define DAY_SECONDS 86400.0

static const char *layout_name(enum layout layout)
{
    return layout == LAYOUT_COLUMNS ? "columns" : "rows";
}

double plan_link_sum(const struct config *config, size_t link, const double *uplink_sums)
{
    double sum = 0;
    for (size_t i = 0; i < config->uplink_count; i++) {
        const struct config_uplink *u = &config->uplinks[i];
        sum += u->link_count > 0 && u->links[0] == link ? uplink_sums[i] : 0;
    }
    return sum;
}

/* --- budgets --- */

struct budget {
    const char *name;
    const char *period;
    int64_t max;
    double seconds;
};

#define BUDGET_COUNT 3

static void budgets_of(const struct link_config *link, struct budget ret[BUDGET_COUNT])
{
    ret[0] = (struct budget){"hour", "an hour", link->budget_per_hour, 3600};
    ret[1] = (struct budget){"day", "a day", link->budget_per_day, DAY_SECONDS};
    ret[2] = (struct budget){"month", "a month", link->budget_per_month, PLAN_MONTH_SECONDS};
}

static double budget_used(const struct budget *b, double month)
{
    return month * b->seconds / PLAN_MONTH_SECONDS / (double)b->max;
}

/* "on day 21.4", "after 12.3 h", "after 34 min". */
static void print_when(const struct budget *b, double share)
{
    double seconds = b->seconds * share;
    if (b->seconds > DAY_SECONDS) {
        printf("on day %.1f", 1 + seconds / DAY_SECONDS);
    } else if (b->seconds > 3600) {
        printf("after %.1f h", seconds / 3600);
    } else {
        printf("after %.0f min", seconds / 60);
    }
}

static void print_budget(const struct link_config *link, const struct budget *b, double month)
{
    double used = budget_used(b, month);
    double open = 1 - (double)link->reserve / 1e6; /* for whoever may not use the reserve */
    printf("  budget_per_%s %.3f MB: %.0f %% used", b->name, (double)b->max / MB, used * 100);
    if (used > open) {
        printf("; priorities below %d stop ", (int)link->reserve_priority);
        print_when(b, open / used);
    }
    if (used > 1) {
        printf("; all of it is spent ");
        print_when(b, 1 / used);
        if (link->when_spent == LINK_SPENT_URGENT) {
            printf(", then only priorities from %d on go", (int)link->reserve_priority);
        } else {
            printf(", then nothing goes");
        }
        printf("; %.3f MB would do", used * (double)b->max / open / MB);
    }
    printf("\n");
}

/* Uplinks that prefer another link, and use this one while that is down. */
static void print_guests(const struct config *config, size_t link, const double *sums)
{
    for (size_t u = 0; u < config->uplink_count; u++) {
        const struct config_uplink *uplink = &config->uplinks[u];
        for (size_t k = 1; k < uplink->link_count; k++) {
            if (uplink->links[k] == link) {
                printf("  while %s is down uplink %s goes here: %.3f MB a day\n",
                       config->links[uplink->links[0]].name, uplink->name,
                       sums[u] * DAY_SECONDS / PLAN_MONTH_SECONDS / MB);
            }
        }
    }
}

static void print_links(const struct config *config, const double *sums)
{
    for (size_t i = 0; i < config->link_count; i++) {
        const struct link_config *link = &config->links[i].options;
        struct budget budgets[BUDGET_COUNT];
        double month = plan_link_sum(config, i, sums);
        budgets_of(link, budgets);
        printf("\nlink %s: %.3f MB a month, %.3f MB a day\n", config->links[i].name, month / MB,
               month * DAY_SECONDS / PLAN_MONTH_SECONDS / MB);
        for (size_t k = 0; k < BUDGET_COUNT; k++) {
            if (budgets[k].max > 0) {
                print_budget(link, &budgets[k], month);
            }
        }
        print_guests(config, i, sums);
        if (link->priority_min > 0) {
            printf("  priorities below %d wait for another link, and are in the sum\n",
                   (int)link->priority_min);
        }
    }
}

/* --- for a person --- */

static void print_bytes(const char *name, double events, double requests,
                        const struct plan_bytes *b)
{
    printf("%-16s %11.0f %10.0f %10.3f %10.3f %10.3f %10.3f %10.3f %10.3f\n", name, events,
           requests, b->payload / MB, b->framing / MB, b->acknowledgements / MB, b->handshakes / MB,
           b->repeats / MB, plan_bytes_sum(b) / MB);
}

static void print_uplink(const struct config *config, const struct plan_uplink *u)
{
    struct plan_bytes sum = {0};
    double events = 0;
    double requests = 0;
    printf("\nuplink %s", u->config->name);
    if (!u->is_counted) {
        printf(": of type %s, which is not reckoned\n", u->config->class_->type);
        return;
    }
    if (u->config->link_count > 0) {
        printf(" by link %s", config->links[u->config->links[0]].name);
    }
    printf(": %s, linger %g s, %.1f connections a month\n", layout_name(u->layout),
           (double)u->config->common.linger_ms / 1000, u->connects);
    printf("%-16s %11s %10s %10s %10s %10s %10s %10s %10s\n", "STREAM", "EVENTS", "REQUESTS",
           "PAYLOAD", "FRAMING", "ACKS", "HANDSHAKES", "REPEATS", "MB A MONTH");
    for (size_t i = 0; i < u->line_count; i++) {
        const struct plan_line *line = &u->lines[i];
        if (line->events > 0) {
            print_bytes(line->stream->forward.info.name, line->events, line->requests,
                        &line->bytes);
        }
        plan_bytes_add(&sum, &line->bytes, 1);
        events += line->events;
        requests += line->requests;
    }
    print_bytes("(connections)", 0, 0, &u->connection);
    plan_bytes_add(&sum, &u->connection, 1);
    print_bytes("sum", events, requests, &sum);
}

static void print_stream_notes(const struct plan_stream *s)
{
    if (s->count == 0) {
        printf("note: the sample has nothing of stream %s\n", s->forward.info.name);
    }
    if (s->left_out > 0) {
        printf("note: %zu events of stream %s would be set aside, the first because: %s\n",
               s->left_out, s->forward.info.name, s->left_out_why.text);
    }
    if (s->extended > 0) {
        printf("note: %zu events of stream %s have fields that its schema would get while it runs: "
               "they are not counted; give it a schema that has them (weir schema infer)\n",
               s->extended, s->forward.info.name);
    }
}

static void print_notes(const struct plan_setup *setup, const struct plan *plan)
{
    for (size_t i = 0; i < setup->sample->stream_count; i++) {
        print_stream_notes(&setup->sample->streams[i]);
    }
    for (size_t i = 0; i < setup->sample->config->link_count; i++) {
        const struct config_link *link = &setup->sample->config->links[i];
        if (link->options.windows.count > 0) {
            printf("note: link %s is reckoned as if its windows were always open: with them there "
                   "are fewer, larger requests\n",
                   link->name);
        }
    }
    for (size_t u = 0; u < plan->uplink_count; u++) {
        for (size_t i = 0; i < plan->uplinks[u].line_count; i++) {
            const struct plan_line *line = &plan->uplinks[u].lines[i];
            if (line->bad > 0) {
                printf("note: %zu events of stream %s are too large for uplink %s, which would set "
                       "them aside\n",
                       line->bad, line->stream->forward.info.name, plan->uplinks[u].config->name);
            }
            if (line->is_short) {
                printf("note: the sample ends before the first request of stream %s to %s goes: "
                       "a longer one says more\n",
                       line->stream->forward.info.name, plan->uplinks[u].config->name);
            }
        }
    }
}

/* How much of the tightest budget of each link it takes. */
static void print_tightest(const struct config *config, const double *sums)
{
    for (size_t i = 0; i < config->link_count; i++) {
        struct budget budgets[BUDGET_COUNT];
        double most = 0;
        double month = plan_link_sum(config, i, sums);
        budgets_of(&config->links[i].options, budgets);
        for (size_t k = 0; k < BUDGET_COUNT; k++) {
            double used = budgets[k].max > 0 ? budget_used(&budgets[k], month) : 0;
            most = used > most ? used : most;
        }
        if (most > 0) {
            printf("  %s %.0f %%%s", config->links[i].name, most * 100, most > 1 ? " !" : "");
        }
    }
    printf("\n");
}

static void print_choices(const struct config *config, const struct plan *plan, const double *sums,
                          const struct plan_choice *choices, size_t count)
{
    printf("\n%-30s %10s %9s  OF THE BUDGETS\n", "WITH ALL UPLINKS SO", "MB A MONTH", "CHANGE");
    printf("%-30s %10.3f %9s", "as configured", plan->bytes_sum / MB, "");
    print_tightest(config, sums);
    for (size_t i = 0; i < count; i++) {
        const struct plan_choice *c = &choices[i];
        if (c->bytes_sum < 0) {
            printf("%-30s %10s  %s\n", c->name, "-", c->why.text);
        } else {
            printf("%-30s %10.3f %+7.0f %%", c->name, c->bytes_sum / MB,
                   plan->bytes_sum > 0 ? (c->bytes_sum / plan->bytes_sum - 1) * 100 : 0);
            print_tightest(config, c->uplink_sums);
        }
    }
}

void plan_print(const struct plan_setup *setup, const struct plan *plan,
                const struct plan_choice *choices, size_t choice_count)
{
    const struct config *config = setup->sample->config;
    double sums[CONFIG_UPLINK_MAX] = {0};
    printf("%zu events; MB are 1000000 bytes, of both ways, in a month of %.1f days\n",
           setup->sample->event_count, PLAN_MONTH_SECONDS / DAY_SECONDS);
    for (size_t u = 0; u < plan->uplink_count; u++) {
        print_uplink(config, &plan->uplinks[u]);
        sums[u] = plan->uplinks[u].bytes_sum;
    }
    print_links(config, sums);
    print_choices(config, plan, sums, choices, choice_count);
    print_notes(setup, plan);
}

/* --- for a program --- */

static void json_name(const char *comma, const char *name)
{
    uint8_t memory[6 * STREAM_NAME_SIZE_MAX + 16];
    struct out o = out_over(memory, sizeof memory);
    out_put_json(&o, slice_of_text(name));
    printf("%s%.*s:", comma, (int)o.size, (const char *)memory);
}

static void json_bytes(const struct plan_bytes *b)
{
    printf("\"payload\":%.0f,\"framing\":%.0f,\"acknowledgements\":%.0f,\"handshakes\":%.0f,"
           "\"repeats\":%.0f,\"bytes\":%.0f",
           b->payload, b->framing, b->acknowledgements, b->handshakes, b->repeats,
           plan_bytes_sum(b));
}

static void json_uplink(const struct plan_uplink *u)
{
    printf("{\"type\":\"%s\",\"layout\":\"%s\",\"linger_ms\":%" PRId64
           ",\"bytes\":%.0f,\"connects\":%.1f,\"streams\":{",
           u->config->class_->type, layout_name(u->layout), u->config->common.linger_ms,
           u->bytes_sum, u->connects);
    for (size_t i = 0; i < u->line_count; i++) {
        const struct plan_line *line = &u->lines[i];
        json_name(i ? "," : "", line->stream->forward.info.name);
        printf("{\"events\":%.0f,\"requests\":%.1f,\"too_short\":%s,", line->events, line->requests,
               line->is_short ? "true" : "false");
        json_bytes(&line->bytes);
        printf("}");
    }
    printf("},\"connection\":{");
    json_bytes(&u->connection);
    printf("}}");
}

static void json_links(const struct config *config, const double *sums, bool has_budgets)
{
    for (size_t i = 0; i < config->link_count; i++) {
        struct budget budgets[BUDGET_COUNT];
        double month = plan_link_sum(config, i, sums);
        const char *comma = "";
        json_name(i ? "," : "", config->links[i].name);
        if (!has_budgets) {
            printf("%.0f", month);
            continue;
        }
        printf("{\"bytes\":%.0f,\"budgets\":{", month);
        budgets_of(&config->links[i].options, budgets);
        for (size_t k = 0; k < BUDGET_COUNT; k++) {
            if (budgets[k].max > 0) {
                printf("%s\"%s\":{\"max\":%" PRId64 ",\"used\":%.4f}", comma, budgets[k].name,
                       budgets[k].max, budget_used(&budgets[k], month));
                comma = ",";
            }
        }
        printf("}}");
    }
}

static void json_choice(const struct config *config, const struct plan_choice *c)
{
    printf("{\"change\":\"%s\",\"bytes\":", c->name); /* ours, plain */
    if (c->bytes_sum < 0) {
        printf("null}");
        return;
    }
    printf("%.0f,\"links\":{", c->bytes_sum);
    json_links(config, c->uplink_sums, false);
    printf("}}");
}

void plan_print_json(const struct plan_setup *setup, const struct plan *plan,
                     const struct plan_choice *choices, size_t choice_count)
{
    const struct config *config = setup->sample->config;
    double sums[CONFIG_UPLINK_MAX] = {0};
    printf("{\"month_seconds\":%.0f,\"bytes\":%.0f,\"sample\":{\"events\":%zu,\"seconds\":%.3f,"
           "\"streams\":{",
           PLAN_MONTH_SECONDS, plan->bytes_sum, setup->sample->event_count, setup->sample->seconds);
    for (size_t i = 0; i + 1 < setup->sample->stream_count; i++) {
        const struct plan_stream *s = &setup->sample->streams[i];
        json_name(i ? "," : "", s->forward.info.name);
        printf("{\"events\":%zu,\"set_aside\":%zu,\"extended\":%zu,\"payload_bytes\":%" PRIu64 "}",
               s->count, s->left_out, s->extended, s->source_size);
    }
    printf("}},\"uplinks\":{");
    for (size_t u = 0; u < plan->uplink_count; u++) {
        json_name(u ? "," : "", plan->uplinks[u].config->name);
        json_uplink(&plan->uplinks[u]);
        sums[u] = plan->uplinks[u].bytes_sum;
    }
    printf("},\"links\":{");
    json_links(config, sums, true);
    printf("},\"changes\":[");
    for (size_t i = 0; i < choice_count; i++) {
        printf("%s", i ? "," : "");
        json_choice(config, &choices[i]);
    }
    printf("]}\n");
}
