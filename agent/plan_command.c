/* weir plan: MB a month by stream and cause, and what other settings would cost. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/plan.h"

#define SECONDS_MAX (366.0 * 86400)
#define MTU_MIN 256
#define MTU_MAX 65536

struct plan_words {
    const char *config;
    const char *sample;
    const char *stream;
    struct plan_rate rates[PLAN_RATE_MAX];
    size_t rate_count;
    double seconds;
    struct plan_setup setup;
    bool as_json;
};

/* --- the command line --- */

static bool number_of(const char *text, double least, double most, double *ret)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < least || value > most) {
        return false;
    }
    *ret = value;
    return true;
}

/* "20" or "STREAM=20". */
static bool take_rate(struct plan_words *words, char *text)
{
    if (words->rate_count == PLAN_RATE_MAX) {
        return false;
    }
    struct plan_rate *rate = &words->rates[words->rate_count++];
    char *equal = strrchr(text, '=');
    rate->stream = equal ? text : NULL;
    if (equal) {
        *equal = '\0';
    }
    return number_of(equal ? equal + 1 : text, 1e-6, 1e6, &rate->per_second);
}

/* "90 s", "1 h", "1 d"; a number alone is of seconds. */
static bool take_duration(const char *text, double *ret)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    char *end = NULL;
    double value = strtod(text, &end);
    end += end != text && *end == ' ';
    for (size_t i = 0; end != text && i < ARRAY_COUNT(units); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            *ret = value * units[i].seconds;
            return isfinite(value) && *ret > 0 && *ret <= SECONDS_MAX;
        }
    }
    return false;
}

/* "4x30 s": so many a day, so long each. */
static bool take_outages(const char *text, struct plan_setup *setup)
{
    char count[16];
    const char *x = strchr(text, 'x');
    if (!x || (size_t)(x - text) >= sizeof count) {
        return false;
    }
    (void)snprintf(count, sizeof count, "%.*s", (int)(x - text), text); /* fits */
    return number_of(count, 0, 1e5, &setup->outages_per_day) &&
           take_duration(x + 1, &setup->outage_seconds);
}

/* True: argv[*index] is an option, and right; *ret_wrong: it is wrong. */
static bool take_option(int argc, char **argv, int *index, struct plan_words *words,
                        const char **ret_wrong)
{
    struct plan_setup *setup = &words->setup;
    const char *value;
    double number = 0;
    bool is_right = true;
    const char *option = argv[*index];
    if ((value = command_option(argc, argv, index, "--stream"))) {
        words->stream = value;
    } else if ((value = command_option(argc, argv, index, "--rate"))) {
        is_right = take_rate(words, (char *)(uintptr_t)value);
    } else if ((value = command_option(argc, argv, index, "--duration"))) {
        is_right = take_duration(value, &words->seconds);
    } else if ((value = command_option(argc, argv, index, "--reconnects"))) {
        is_right = number_of(value, 0, 1e6, &setup->reconnects_per_day);
    } else if ((value = command_option(argc, argv, index, "--outages"))) {
        is_right = take_outages(value, setup);
    } else if ((value = command_option(argc, argv, index, "--loss"))) {
        is_right = number_of(value, 0, 50, &setup->loss);
        setup->loss /= 100;
    } else if ((value = command_option(argc, argv, index, "--round-trip"))) {
        is_right = number_of(value, 0, 60000, &number);
        setup->round_trip_ms = (uint32_t)number;
    } else if ((value = command_option(argc, argv, index, "--mtu"))) {
        is_right = number_of(value, MTU_MIN, MTU_MAX, &number);
        setup->mtu = (uint32_t)number;
    } else if ((value = command_option(argc, argv, index, "--partitions"))) {
        is_right = number_of(value, 1, 100000, &number);
        setup->partitions = (uint32_t)number;
    } else if ((value = command_option(argc, argv, index, "--certificates"))) {
        is_right = number_of(value, 100, 64000, &number);
        setup->chain_size = (uint32_t)number;
    } else {
        return false;
    }
    *ret_wrong = is_right ? NULL : option;
    return true;
}

static int take_words(int argc, char **argv, struct plan_words *words)
{
    *words = (struct plan_words){.setup = {.mtu = 1500,
                                           .reconnects_per_day = 24,
                                           .round_trip_ms = 100,
                                           .partitions = 1,
                                           .chain_size = 2500}};
    for (int i = 0; i < argc; i++) {
        const char *wrong = NULL;
        if (take_option(argc, argv, &i, words, &wrong)) {
            if (wrong) {
                fprintf(stderr, "weir plan: the value of %s is not one; see weir plan --help\n",
                        wrong);
                return EXIT_USAGE;
            }
        } else if (strcmp(argv[i], "--json") == 0) {
            words->as_json = true;
        } else if (strcmp(argv[i], "--http1") == 0) {
            words->setup.is_http1 = true;
        } else if (argv[i][0] == '-' || words->sample) {
            return command_misuse("plan", "usage: weir " PLAN_USAGE);
        } else if (words->config) {
            words->sample = argv[i];
        } else {
            words->config = argv[i];
        }
    }
    return words->sample ? EXIT_FINE : command_misuse("plan", "usage: weir " PLAN_USAGE);
}

/* --- what else could be set --- */

#define AS_IT_IS .linger_ms = -1, .level = PLAN_LEVEL_KEEP, .tls = -1
#define LINGER(ms) .linger_ms = (ms), .level = PLAN_LEVEL_KEEP, .tls = -1

static const struct {
    const char *name;
    struct plan_change change;
} all_choices[] = {
    {.name = "linger 1 s", .change = {LINGER(1000)}},
    {.name = "linger 10 s", .change = {LINGER(10000)}},
    {.name = "linger 1 min", .change = {LINGER(60000)}},
    {.name = "linger 10 min", .change = {LINGER(600000)}},
    {.name = "layout rows", .change = {AS_IT_IS, .layout = LAYOUT_ROWS}},
    {.name = "layout rows, linger 1 min", .change = {LINGER(60000), .layout = LAYOUT_ROWS}},
    {.name = "layout columns", .change = {AS_IT_IS, .layout = LAYOUT_COLUMNS}},
    {.name = "layout columns, linger 1 min", .change = {LINGER(60000), .layout = LAYOUT_COLUMNS}},
    {.name = "layout columns, linger 10 min", .change = {LINGER(600000), .layout = LAYOUT_COLUMNS}},
    {.name = "compression_level 3", .change = {.linger_ms = -1, .level = 3, .tls = -1}},
    {.name = "compression_level 9", .change = {.linger_ms = -1, .level = 9, .tls = -1}},
    {.name = "compression_level 19", .change = {.linger_ms = -1, .level = 19, .tls = -1}},
    {.name = "without TLS", .change = {.linger_ms = -1, .level = PLAN_LEVEL_KEEP, .tls = 0}},
    {.name = "with TLS", .change = {.linger_ms = -1, .level = PLAN_LEVEL_KEEP, .tls = 1}},
};

/* What can't be had is told with its reason. */
static enum err choose(const struct plan_setup *setup, struct plan_choice *choice, double *sums)
{
    struct plan *plan = NULL;
    struct why why = {""};
    enum err e = plan_open(&plan, setup, &choice->change, &why);
    choice->bytes_sum = e ? -1 : plan->bytes_sum;
    choice->uplink_sums = sums;
    choice->why = why;
    for (size_t u = 0; !e && u < plan->uplink_count; u++) {
        sums[u] = plan->uplinks[u].bytes_sum;
    }
    plan_close(plan);
    return e == ERR_CONFIG ? ERR_OK : e;
}

struct planned {
    struct plan_choice choices[ARRAY_COUNT(all_choices)];
    double sums[ARRAY_COUNT(all_choices)][CONFIG_UPLINK_MAX];
};

static enum err plan_all(const struct plan_words *words, struct why *why)
{
    struct planned *planned = calloc(1, sizeof *planned);
    struct plan *plan = NULL;
    struct plan_change none = {AS_IT_IS};
    if (!planned) {
        return ERR_NOMEM;
    }
    enum err e = plan_open(&plan, &words->setup, &none, why);
    bool is_watched = isatty(STDERR_FILENO);
    for (size_t i = 0; !e && i < ARRAY_COUNT(all_choices); i++) {
        if (is_watched) {
            fprintf(stderr, "\r%zu of %zu ", i + 1, ARRAY_COUNT(all_choices));
        }
        planned->choices[i].name = all_choices[i].name;
        planned->choices[i].change = all_choices[i].change;
        e = choose(&words->setup, &planned->choices[i], planned->sums[i]);
    }
    if (is_watched) {
        fprintf(stderr, "\r%20s\r", "");
    }
    if (!e) {
        (words->as_json ? plan_print_json : plan_print)(&words->setup, plan, planned->choices,
                                                        ARRAY_COUNT(all_choices));
    }
    plan_close(plan);
    free(planned);
    return e;
}

int plan_command(int argc, char **argv)
{
    struct plan_words words;
    struct why why = {""};
    int code = take_words(argc, argv, &words);
    struct config *config =
        code == EXIT_FINE ? command_config(words.config, COMMAND_SAY_FINDINGS, &code) : NULL;
    if (!config) {
        return code == EXIT_NEGATIVE ? EXIT_USAGE : code;
    }
    struct plan_sample *sample = NULL;
    struct plan_source source = {.config = config,
                                 .path = words.sample,
                                 .stream = words.stream,
                                 .rates = words.rates,
                                 .rate_count = words.rate_count,
                                 .seconds = words.seconds};
    enum err e = plan_sample_open(&sample, &source, &why);
    words.setup.sample = sample;
    e = e ? e : plan_all(&words, &why);
    if (e) {
        fprintf(stderr, "weir plan: %s\n", why.text[0] ? why.text : err_name(e));
    }
    plan_sample_close(sample);
    config_close(config);
    bool is_ours = e == ERR_NOMEM || e == ERR_IO;
    return !e ? command_finish() : is_ours ? EXIT_FAILED : EXIT_USAGE;
}
