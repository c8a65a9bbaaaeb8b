/* weir buffer ..., weir aside ...: the words, and what may stand behind them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/aside_impl.h"
#include "agent/buffer_impl.h"
#include "ports/clock.h"
#include "uplink/avro/encode.h"

/* What a word takes beside --buffer, --socket and --json. */
enum {
    TAKES_STREAM = 1,     /* --stream */
    TAKES_STREAM_ARG = 2, /* or as a word of its own */
    TAKES_FILTER = 4,     /* --from-seq, --to-seq, --since, --until */
    TAKES_COUNT = 8,
    TAKES_EXPORT = 16, /* --format, --out, --codec */
    TAKES_FILE = 32,
    TAKES_IMPORT = 64, /* --again, --plain */
    TAKES_UPLINK = 128,
    TAKES_YES = 256,
    TAKES_REKEY = 512,  /* --plain */
    TAKES_ASIDE = 1024, /* --stream, --id, --reason, --since, --until, --count */
};

struct word {
    const char *name; /* "ls" */
    const char *full; /* "buffer ls" */
    const char *usage;
    unsigned takes;
    enum tool_kind kind;
    int (*run)(const struct buffer_arguments *a);
};

#define ASIDE_FILTERS \
    "[--stream S] [--id A[..B]] [--reason TEXT] [--since TIME] [--until TIME] [--count N]"
#define FILTERS "[--from-seq N] [--to-seq N] [--since TIME] [--until TIME]"

static const struct word buffer_words[] = {
    {"ls", "buffer ls", "buffer ls [--json]", 0, TOOL_LS, buffer_ls_command},
    {"cat", "buffer cat", "buffer cat STREAM " FILTERS " [--count N]",
     TAKES_STREAM | TAKES_STREAM_ARG | TAKES_FILTER | TAKES_COUNT, TOOL_CAT, buffer_cat_command},
    {"stats", "buffer stats", "buffer stats [--json]", 0, TOOL_STATS, buffer_stats_command},
    {"verify", "buffer verify", "buffer verify [--json]", 0, TOOL_VERIFY, buffer_verify_command},
    {"export", "buffer export",
     "buffer export --format avro|ndjson [--out FILE|FOLDER|-] [--codec deflate|null|zstandard] "
     "[--stream S] " FILTERS,
     TAKES_STREAM | TAKES_FILTER | TAKES_COUNT | TAKES_EXPORT, TOOL_EXPORT, buffer_export_command},
    {"import", "buffer import", "buffer import FILE [--stream S] [--plain] [--again]",
     TAKES_STREAM | TAKES_FILE | TAKES_IMPORT, TOOL_IMPORT, buffer_import_command},
    {"replay", "buffer replay", "buffer replay --uplink U [--stream S] " FILTERS " [--yes]",
     TAKES_STREAM | TAKES_FILTER | TAKES_UPLINK | TAKES_YES, TOOL_REPLAY, buffer_replay_command},
    {"drop", "buffer drop", "buffer drop [--uplink U] [--stream S] " FILTERS " [--yes]",
     TAKES_STREAM | TAKES_FILTER | TAKES_UPLINK | TAKES_YES, TOOL_DROP, buffer_drop_command},
    {"salvage", "buffer salvage", "buffer salvage FILE [--json]", TAKES_FILE, TOOL_SALVAGE,
     buffer_salvage_command},
    {"compact", "buffer compact", "buffer compact [--json]", 0, TOOL_LS, buffer_compact_command},
    {"rekey", "buffer rekey", "buffer rekey --key FILE | --plain [--old-key FILE] [--json]",
     TAKES_REKEY, TOOL_LS, buffer_rekey_command},
    {"wear", "buffer wear", "buffer wear [--json]", 0, TOOL_LS, buffer_wear_command},
};

static const struct word aside_words[] = {
    {"ls", "aside ls", "aside ls " ASIDE_FILTERS " [--json]", TAKES_ASIDE, TOOL_ASIDE,
     aside_ls_command},
    {"cat", "aside cat", "aside cat " ASIDE_FILTERS " [--json]", TAKES_ASIDE, TOOL_ASIDE,
     aside_cat_command},
    {"export", "aside export", "aside export FILE " ASIDE_FILTERS, TAKES_ASIDE | TAKES_FILE,
     TOOL_ASIDE_EXPORT, aside_export_command},
    {"drop", "aside drop", "aside drop " ASIDE_FILTERS " [--yes]", TAKES_ASIDE | TAKES_YES,
     TOOL_ASIDE_DROP, aside_drop_command},
    {"replay", "aside replay", "aside replay " ASIDE_FILTERS " [--json]", TAKES_ASIDE,
     TOOL_ASIDE_REPLAY, aside_replay_command},
};

/* --- what is said --- */

static bool number_of(const char *text, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    *ret = strtoull(text, NULL, 10);
    return digits > 0 && digits < 20 && !text[digits];
}

/* RFC 3339, or a date: its first moment, UTC. */
static bool time_of(const char *text, int64_t *ret_us)
{
    int64_t seconds;
    uint32_t nanos;
    int32_t days;
    if (avro_date_of(slice_of_text(text), &days)) {
        *ret_us = (int64_t)days * 86400 * 1000000;
        return true;
    }
    bool good = avro_timestamp_of(slice_of_text(text), false, &seconds, &nanos) &&
                seconds > -INT64_C(62135596800) && seconds < INT64_C(253402300800);
    *ret_us = good ? seconds * 1000000 + nanos / 1000 : 0;
    return good;
}

static bool name_of(const char *text, char ret[STREAM_NAME_SIZE_MAX])
{
    return text[0] && slice_to_text(slice_of_text(text), ret, STREAM_NAME_SIZE_MAX);
}

static bool sequence_of(const char *text, uint64_t *ret)
{
    return number_of(text, ret) && *ret > 0 && *ret < INT64_MAX / 2;
}

static bool set_buffer(const char *value, struct buffer_arguments *a)
{
    a->buffer_path = value;
    return true;
}

static bool set_socket(const char *value, struct buffer_arguments *a)
{
    (void)snprintf(a->socket_path, sizeof a->socket_path, "%s",
                   value); /* too long: connecting says so */
    return value[0] != 0;
}

static bool set_key(const char *value, struct buffer_arguments *a)
{
    a->key_path = value;
    return value[0] != 0;
}

static bool set_old_key(const char *value, struct buffer_arguments *a)
{
    a->old_key_path = value;
    return value[0] != 0;
}

static bool set_stream(const char *value, struct buffer_arguments *a)
{
    return name_of(value, a->request.stream);
}

static bool set_uplink(const char *value, struct buffer_arguments *a)
{
    return name_of(value, a->request.uplink);
}

static bool set_first(const char *value, struct buffer_arguments *a)
{
    return sequence_of(value, &a->request.range.first);
}

static bool set_last(const char *value, struct buffer_arguments *a)
{
    return sequence_of(value, &a->request.range.last);
}

/* A, A..B, A.. */
static bool set_ids(const char *value, struct buffer_arguments *a)
{
    char first[24];
    const char *dots = strstr(value, "..");
    size_t size = dots ? (size_t)(dots - value) : strlen(value);
    if (!slice_to_text((struct slice){(const uint8_t *)value, size}, first, sizeof first) ||
        !sequence_of(first, &a->request.range.first)) {
        return false;
    }
    a->request.range.last = dots ? a->request.range.last : a->request.range.first;
    return !dots || !dots[2] || sequence_of(dots + 2, &a->request.range.last);
}

static bool set_reason(const char *value, struct buffer_arguments *a)
{
    return value[0] &&
           slice_to_text(slice_of_text(value), a->request.reason, sizeof a->request.reason);
}

static bool set_since(const char *value, struct buffer_arguments *a)
{
    return time_of(value, &a->request.since_us);
}

static bool set_until(const char *value, struct buffer_arguments *a)
{
    return time_of(value, &a->request.until_us);
}

static bool set_count(const char *value, struct buffer_arguments *a)
{
    return number_of(value, &a->request.count) && a->request.count < INT64_MAX / 2;
}

static bool set_format(const char *value, struct buffer_arguments *a)
{
    a->format = value;
    return true;
}

static bool set_out(const char *value, struct buffer_arguments *a)
{
    a->out = value;
    return true;
}

static bool set_codec(const char *value, struct buffer_arguments *a)
{
    a->codec = value;
    return true;
}

#define A_TIME "a time: 2026-03-01T12:00:00Z, 2026-03-01"

static const struct {
    const char *name;
    unsigned takes; /* 0: every word */
    bool (*set)(const char *value, struct buffer_arguments *a);
    const char *is;
} values[] = {
    {"--buffer", 0, set_buffer, "a path"},
    {"--socket", 0, set_socket, "a path"},
    {"--key", 0, set_key, "a file"},
    {"--old-key", 0, set_old_key, "a file"},
    {"--stream", TAKES_STREAM | TAKES_ASIDE, set_stream, "the name of a stream"},
    {"--uplink", TAKES_UPLINK, set_uplink, "the name of an uplink"},
    {"--from-seq", TAKES_FILTER, set_first, "a sequence, from 1"},
    {"--first", TAKES_FILTER, set_first, "a sequence, from 1"},
    {"--to-seq", TAKES_FILTER, set_last, "a sequence, from 1"},
    {"--since", TAKES_FILTER | TAKES_ASIDE, set_since, A_TIME},
    {"--until", TAKES_FILTER | TAKES_ASIDE, set_until, A_TIME},
    {"--count", TAKES_COUNT | TAKES_ASIDE, set_count, "a number"},
    {"--id", TAKES_ASIDE, set_ids, "an id, or two: 7, 7..9, 7.."},
    {"--reason", TAKES_ASIDE, set_reason, "a part of the reason, at most 127 bytes"},
    {"--format", TAKES_EXPORT, set_format, "avro or ndjson"},
    {"--out", TAKES_EXPORT, set_out, "a path, or -"},
    {"--codec", TAKES_EXPORT, set_codec, "deflate, null or zstandard"},
};

enum taken { TAKEN, TAKEN_BAD, TAKEN_NOT };

/* An option with a value; complains about one that is wrong. */
static enum taken take_value(int argc, char **argv, int *index, const struct word *w,
                             struct buffer_arguments *a)
{
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        bool is_taken = values[i].takes == 0 || w->takes & values[i].takes;
        const char *value = is_taken ? command_option(argc, argv, index, values[i].name) : NULL;
        if (value && !values[i].set(value, a)) {
            fprintf(stderr, "weir %s: %s is %s\n", w->full, values[i].name, values[i].is);
            return TAKEN_BAD;
        }
        if (value) {
            return TAKEN;
        }
    }
    return TAKEN_NOT;
}

static bool take_flag(const char *argument, const struct word *w, struct buffer_arguments *a)
{
    const struct {
        const char *name;
        bool *flag;
        bool is_taken;
    } flags[] = {{"--json", &a->json, true},
                 {"--yes", &a->yes, w->takes & TAKES_YES},
                 {"--again", &a->again, w->takes & TAKES_IMPORT},
                 {"--plain", &a->plain, w->takes & (TAKES_IMPORT | TAKES_REKEY)}};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (flags[i].is_taken && strcmp(argument, flags[i].name) == 0) {
            *flags[i].flag = true;
            return true;
        }
    }
    if (argument[0] == '-' && argument[1]) {
        return false;
    }
    if (w->takes & TAKES_FILE && !a->file) {
        a->file = argument;
        return true;
    }
    return w->takes & TAKES_STREAM_ARG && !a->request.stream[0] &&
           name_of(argument, a->request.stream);
}

static int parse(int argc, char **argv, const struct word *w, struct buffer_arguments *a)
{
    *a = (struct buffer_arguments){.word = w->full, .buffer_path = BUFFER_PATH_DEFAULT};
    tool_request_init(&a->request, w->kind);
    for (int i = 1; i < argc; i++) {
        enum taken taken = take_value(argc, argv, &i, w, a);
        if (taken == TAKEN_NOT && !take_flag(argv[i], w, a)) {
            fprintf(stderr,
                    "weir %s: \"%s\" has no place here; usage: weir %s [--buffer PATH] "
                    "[--socket PATH]\n",
                    w->full, argv[i], w->usage);
            taken = TAKEN_BAD;
        }
        if (taken == TAKEN_BAD) {
            return EXIT_USAGE;
        }
    }
    if (a->request.range.first > a->request.range.last ||
        a->request.since_us > a->request.until_us) {
        return command_misuse(w->full, "the range is empty: its end comes before its begin");
    }
    if (!a->socket_path[0]) {
        command_socket_beside(a->buffer_path, a->socket_path, sizeof a->socket_path);
    }
    return EXIT_FINE;
}

static int run_word(int argc, char **argv, const struct word *words, size_t count,
                    const char *command, const char *usage)
{
    for (size_t i = 0; argc > 0 && i < count; i++) {
        struct buffer_arguments a;
        if (strcmp(argv[0], words[i].name) == 0) {
            int code = parse(argc, argv, &words[i], &a);
            return code ? code : words[i].run(&a);
        }
    }
    fprintf(stderr, "weir %s: usage: weir %s\n", command, usage);
    return EXIT_USAGE;
}

int buffer_command(int argc, char **argv)
{
    return run_word(argc, argv, buffer_words, ARRAY_COUNT(buffer_words), "buffer", BUFFER_USAGE);
}

int aside_command(int argc, char **argv)
{
    return run_word(argc, argv, aside_words, ARRAY_COUNT(aside_words), "aside", ASIDE_USAGE);
}

/* --- what the words share --- */

int buffer_failed(const char *word, enum err e, const struct why *why)
{
    fprintf(stderr, "weir %s: %s\n", word, why->text[0] ? why->text : err_name(e));
    return e == ERR_REJECTED || e == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

struct source_setup buffer_where(const struct buffer_arguments *a, bool writes)
{
    return (struct source_setup){.buffer_path = a->buffer_path,
                                 .socket_path = a->socket_path,
                                 .key_path = a->key_path,
                                 .old_key_path = a->old_key_path,
                                 .writes = writes};
}

struct tool_source *buffer_source(const struct buffer_arguments *a, bool writes, int *ret_code)
{
    struct tool_source *source = NULL;
    struct why why = {""};
    struct source_setup setup = buffer_where(a, writes);
    enum err e = tool_source_open(&source, &setup, &why);
    if (e) {
        *ret_code = buffer_failed(a->word, e, &why);
        return NULL;
    }
    return source;
}

#define PROGRESS_MS 200

void progress_init(struct progress *ret, const char *word, bool is_quiet)
{
    *ret = (struct progress){.is_shown = !is_quiet && isatty(STDERR_FILENO), .word = word};
}

void progress_show(struct progress *progress, struct slice frame)
{
    uint64_t done;
    uint64_t total;
    uint64_t now_ms = clock_monotonic_ms();
    if (!progress->is_shown || now_ms < progress->shown_ms + PROGRESS_MS ||
        !slice_take_uvarint(&frame, &done) || !slice_take_uvarint(&frame, &total)) {
        return;
    }
    progress->shown_ms = now_ms;
    double share = total ? (double)done * 100 / (double)total : 0;
    fprintf(stderr, "\r%s: %llu events, %.0f %% ", progress->word, (unsigned long long)done,
            share < 100 ? share : 100);
    (void)fflush(stderr); /* a terminal */
}

bool progress_frame(struct progress *progress, enum frame_kind kind, struct slice payload)
{
    struct slice place;
    struct slice text;
    if (kind == FRAME_PROGRESS) {
        progress_show(progress, payload);
    } else if (kind == FRAME_BAD && frame_take_text(&payload, &place) &&
               frame_take_text(&payload, &text)) {
        progress_end(progress);
        progress->has_bad = true;
        fprintf(stderr, "weir %s: %.*s: %.*s\n", progress->word, (int)place.size,
                (const char *)place.data, (int)text.size, (const char *)text.data);
    }
    return kind == FRAME_PROGRESS || kind == FRAME_BAD;
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown && progress->shown_ms) {
        fprintf(stderr, "\r%60s\r", "");
    }
}

int progress_code(const struct progress *progress)
{
    int code = command_finish();
    return code == EXIT_FINE && progress->has_bad ? EXIT_NEGATIVE : code;
}
