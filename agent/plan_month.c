/* What the sample took becomes a month; what happens to connections is added. */
#include "agent/plan_impl.h"

#define PATIENCE_SECONDS 35 /* of a connection that makes no progress: request_timeout and 5 s */

/* While the link says nothing no request is made, and what comes meanwhile goes in one behind it. */
static void leave_out_outages(struct plan_flow *f)
{
    const struct plan_setup *setup = f->host->setup;
    double away = setup->outages_per_day * setup->outage_seconds / 86400;
    double interval = f->line->requests > 0 ? PLAN_MONTH_SECONDS / f->line->requests : 0;
    if (interval < setup->outage_seconds && away < 1) {
        f->line->requests *= 1 - away;
        f->line->bytes.framing *= 1 - away;
        f->line->bytes.acknowledgements *= 1 - away;
    }
}

void plan_month_flow(struct plan_flow *f)
{
    struct plan_bytes sum = {0};
    const struct plan_stream *s = f->stream;
    double events = s->seconds > 0 ? (double)s->count / s->seconds * PLAN_MONTH_SECONDS : 0;
    double times = f->cut > 0 ? events / f->cut : 0;
    plan_bytes_add(&sum, &f->line->bytes, times);
    f->line->bytes = sum;
    f->line->requests *= times;
    f->line->events = events;
    leave_out_outages(f);
    double refreshes = PLAN_MONTH_SECONDS * 1000 / f->host->way.refresh_ms;
    refreshes = f->line->requests < refreshes ? f->line->requests : refreshes;
    f->line->bytes.handshakes += f->refresh > 0 ? refreshes * f->refresh : 0;
}

/* Connections that are cut: each is made anew; what was under way goes again. */
static void add_cuts(struct plan_host *host, int64_t end_ms)
{
    struct plan_bytes *c = &host->result->connection;
    double cuts = host->setup->reconnects_per_day * PLAN_MONTH_SECONDS / 86400;
    double is_busy = end_ms > 0 ? host->busy_ms / (double)end_ms : 0;
    is_busy = is_busy < 1 ? is_busy : 1;
    c->handshakes += cuts * host->login;
    if (host->requests > 0) {
        c->repeats += cuts * is_busy * host->sent / host->requests;
    }
    host->result->connects += cuts;
}

/* Links that say nothing for a while: a request that meets one is tried again and again, and when the
 * connection is given up, that too. At the middle of the outage, on the average. */
static void add_outages(struct plan_host *host)
{
    struct plan_bytes *c = &host->result->connection;
    double seconds = host->setup->outage_seconds;
    double count = host->setup->outages_per_day * PLAN_MONTH_SECONDS / 86400;
    double met = 0;
    for (size_t i = 0; i < host->result->line_count; i++) {
        const struct plan_line *line = &host->result->lines[i];
        double here = line->requests * seconds / PLAN_MONTH_SECONDS;
        met += here < 1 ? here : 1; /* what comes behind it waits for its answer */
    }
    double each = host->requests > 0 ? host->sent / host->requests : 0;
    double tried = seconds < PATIENCE_SECONDS ? seconds : PATIENCE_SECONDS;
    c->repeats += count * met * plan_retries(&host->wire, each, tried / 2);
    if (seconds > PATIENCE_SECONDS) {
        double is_met = met < 1 ? met : 1;
        c->repeats += count * is_met * plan_attempts(&host->wire, seconds - PATIENCE_SECONDS);
        c->handshakes += count * is_met * host->login;
        host->result->connects += count * is_met;
    }
}

void plan_month_host(struct plan_host *host, int64_t end_ms)
{
    struct plan_uplink *r = host->result;
    struct plan_bytes month = {0};
    double times = end_ms > 0 ? PLAN_MONTH_SECONDS * 1000 / (double)end_ms : 0;
    plan_bytes_add(&month, &r->connection, times);
    r->connection = month;
    r->connects *= times;
    add_cuts(host, end_ms);
    add_outages(host);
    r->bytes_sum = plan_bytes_sum(&r->connection);
    for (size_t i = 0; i < r->line_count; i++) {
        r->bytes_sum += plan_bytes_sum(&r->lines[i].bytes);
    }
}
