/* The options of a link. */
#include <string.h>

#include "config/core.h"
#include "config/cron.h"

static enum err check_start(const void *value, struct why *why)
{
    struct cron cron;
    return cron_parse(*(const char *const *)value, &cron, why);
}

/* As the kernel names them; its length is in the table. */
static enum err check_interface(const void *value, struct why *why)
{
    const char *name = *(const char *const *)value;
    if (strpbrk(name, "/: \t\n\v\f\r") || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        why_set(why, "no interface has such a name: one with \"/\", \":\" or spaces in it, or "
                     "\".\" or \"..\"");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err check_rate_max(const void *value, struct why *why)
{
    int64_t rate = *(const int64_t *)value;
    if (rate > 0 && rate < 8) {
        why_set(why, "less than a byte a second; `0 bit/s` is no bound");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static const struct option window_table[] = {
    {.name = "start",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct link_window_options, start),
     .min = 1,
     .max = CRON_TEXT_SIZE_MAX,
     .check = check_start,
     .help =
         "When it opens, as cron writes it: minute, hour, day, month, weekday; `0 22 * * 1-5` is "
         "22:00 from Monday to Friday. In `agent.time_zone`."},
    {.name = "duration",
     .kind = OPTION_DURATION,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct link_window_options, duration_ms),
     .min = 60000,
     .max = INT64_C(31) * 86400000,
     .help = "How long it stays open."},
    {0},
};

static const char *const when_spent[] = {"stop", "urgent", NULL};
static const char *const counts[] = {"connections", "interface", NULL};

const struct option link_options_table[] = {
    {.name = "interface",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct link_config, interface),
     .min = 1,
     .max = 15,
     .check = check_interface,
     .help =
         "The network interface: connections are bound to it, and the link is there while it is "
         "up and has an address. Default: any, always there."},
    {.name = "metered",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct link_config, metered),
     .initial = "false",
     .help =
         "Bytes cost money: where nothing is said, uplinks that use it choose what takes fewest "
         "bytes (`layout` `columns`, `partition_by` `agent`), and a fleet comes back more slowly "
         "after an outage."},
    {.name = "rate_max",
     .kind = OPTION_RATE,
     .offset = offsetof(struct link_config, rate_max),
     .max = INT64_C(100000000000),
     .initial = "0 bit/s",
     .check = check_rate_max,
     .help = "What is sent a second, at most, as the network counts it: packets' headers included. "
             "`0 bit/s`: no bound."},
    {.name = "budget_per_hour",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct link_config, budget_per_hour),
     .max = INT64_C(1) << 50,
     .initial = "0 B",
     .help = "Bytes in both directions, as the network counts them. `0 B`: no budget."},
    {.name = "budget_per_day",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct link_config, budget_per_day),
     .max = INT64_C(1) << 50,
     .initial = "0 B",
     .help = "The same for a day."},
    {.name = "budget_per_month",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct link_config, budget_per_month),
     .max = INT64_C(1) << 50,
     .initial = "0 B",
     .help = "The same for a month. All budgets hold at a time."},
    {.name = "month_day",
     .kind = OPTION_INT,
     .offset = offsetof(struct link_config, month_day),
     .min = 1,
     .max = 28,
     .initial = "1",
     .help = "The day on which the month of the bill begins."},
    {.name = "reserve",
     .kind = OPTION_SHARE,
     .offset = offsetof(struct link_config, reserve),
     .max = 1000000,
     .initial = "10 %",
     .help = "The part of each budget that only events of `reserve_priority` or more may use."},
    {.name = "reserve_priority",
     .kind = OPTION_INT,
     .offset = offsetof(struct link_config, reserve_priority),
     .max = 9,
     .initial = "7",
     .help = "From this priority on events may use the reserve."},
    {.name = "when_spent",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct link_config, when_spent),
     .words = when_spent,
     .initial = "stop",
     .help = "When a budget is spent, its reserve too. `stop`: nothing is sent until its hour, day "
             "or month is over. `urgent`: events of `reserve_priority` or more go on, whatever it "
             "costs."},
    {.name = "priority_min",
     .kind = OPTION_INT,
     .offset = offsetof(struct link_config, priority_min),
     .max = 9,
     .initial = "0",
     .help = "Only events of this priority or more go over it; others wait for another link."},
    {.name = "windows",
     .kind = OPTION_LIST,
     .offset = offsetof(struct link_config, windows),
     .max = 16,
     .record = window_table,
     .record_size = sizeof(struct link_window_options),
     .help = "When it may be used. Default: always."},
    {.name = "window_priority",
     .kind = OPTION_INT,
     .offset = offsetof(struct link_config, window_priority),
     .max = 9,
     .initial = "7",
     .help = "From this priority on events go outside the windows too."},
    {.name = "share_min",
     .kind = OPTION_SHARE,
     .offset = offsetof(struct link_config, share_min),
     .max = 500000,
     .initial = "10 %",
     .help = "Higher priorities go first; but when a lower one waits it gets at least this part of "
             "what is sent."},
    {.name = "jitter",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct link_config, jitter_ms),
     .max = 3600000,
     .help = "After an outage of a minute or more, events of a priority below 7 wait so long at "
             "most, each agent as chance has it, so that a fleet does not come back at once. "
             "Default: 30 s on a metered link, else 5 s."},
    {.name = "count",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct link_config, count),
     .words = counts,
     .initial = "connections",
     .help = "Whose bytes are charged. `connections`: weir's own. `interface`: all that go over "
             "`interface`, as the kernel counts them."},
    {0},
};
