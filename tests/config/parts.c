#include "tests/config/parts.h"

#define ROW(type, member) .name = #member, .offset = offsetof(struct type, member)

static const struct option text_item = {.kind = OPTION_TEXT, .min = 1, .max = 20};
static const struct option number_item = {.kind = OPTION_INT, .min = 1, .max = 9};
static const struct option item_table[] = {
    {ROW(every_item, name), .kind = OPTION_TEXT, .initial = "n", .min = 1, .help = "A name."},
    {ROW(every_item, size), .kind = OPTION_SIZE, .min = 1, .max = 1024, .initial = "1 KiB"},
    {ROW(every_item, tags), .kind = OPTION_MAP, .item = &text_item},
    {0},
};
static const struct option tls_table[] = {
    {ROW(every_tls, ca), .kind = OPTION_PATH, .flags = OPTION_REQUIRED | OPTION_FILE_EXISTS},
    {ROW(every_tls, password), .kind = OPTION_SECRET, .min = 1},
    {0},
};
static const char *mode_warn(const void *value)
{
    return *(const int64_t *)value == 1 ? "fast takes more current" : NULL;
}

static const char *const modes[] = {"slow", "fast", NULL};
static const struct option every_table[] = {
    {ROW(every_options, flag), .kind = OPTION_BOOL, .initial = "true", .help = "Yes | no."},
    {ROW(every_options, count), .kind = OPTION_INT, .min = 1, .max = 10, .initial = "3"},
    {ROW(every_options, interval_ms), .kind = OPTION_DURATION, .min = 10, .max = 3600000,
     .initial = "1 s"},
    {ROW(every_options, size), .kind = OPTION_SIZE, .initial = "1 MB"},
    {ROW(every_options, share), .kind = OPTION_SHARE, .max = 1000000, .initial = "12.5 %"},
    {ROW(every_options, rate), .kind = OPTION_RATE, .initial = "64 kbit/s"},
    {ROW(every_options, event_rate), .kind = OPTION_RATE, .unit = "events/s",
     .initial = "10 events/s"},
    {ROW(every_options, mode), .kind = OPTION_CHOICE, .words = modes, .initial = "slow",
     .warn = mode_warn},
    {ROW(every_options, text), .kind = OPTION_TEXT, .max = 100, .initial = "some"},
    {ROW(every_options, password), .kind = OPTION_SECRET},
    {ROW(every_options, folder), .kind = OPTION_PATH},
    {ROW(every_options, any), .kind = OPTION_ANY},
    {ROW(every_options, decimal), .kind = OPTION_DECIMAL, .initial = "0.5"},
    {ROW(every_options, tls), .kind = OPTION_RECORD, .flags = OPTION_MISSING_OK,
     .record = tls_table},
    {ROW(every_options, item), .kind = OPTION_RECORD, .record = item_table},
    {ROW(every_options, names), .kind = OPTION_LIST, .max = 3, .item = &text_item},
    {ROW(every_options, numbers), .kind = OPTION_LIST, .item = &number_item},
    {ROW(every_options, items), .kind = OPTION_LIST, .record = item_table,
     .record_size = sizeof(struct every_item)},
    {ROW(every_options, by_name), .kind = OPTION_MAP, .record = item_table,
     .record_size = sizeof(struct every_item)},
    {0},
};
static const struct driver_class every_driver = {.type = "every",
                                                 .help = "A driver with every kind of option.",
                                                 .options = every_table,
                                                 .options_size = sizeof(struct every_options),
                                                 .is_in_line = true};
static enum err every_columns(const void *options, struct why *why)
{
    const struct every_options *every = options;
    why_set(why, "not without a flag");
    return every->flag ? ERR_OK : ERR_CONFIG;
}

static const struct uplink_class every_uplink = {.type = "every",
                                                 .help = "An uplink with every kind of option.",
                                                 .options = every_table,
                                                 .options_size = sizeof(struct every_options),
                                                 .columns = every_columns};
static const struct driver_class *const drivers[] = {&every_driver, NULL};
static const struct uplink_class *const uplinks[] = {&every_uplink, NULL};
static const char *const left_out[] = {"gone", NULL};
const struct config_parts every_parts = {.drivers = drivers,
                                         .uplinks = uplinks,
                                         .drivers_left_out = left_out,
                                         .uplinks_left_out = left_out};
