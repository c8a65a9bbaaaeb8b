/* weir schema register. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/command.h"
#include "agent/events.h"
#include "ports/http.h"
#include "ports/log.h"
#include "ports/names.h"
#include "uplink/avro/schema.h"
#include "uplink/kafka/kafka.h"
#include "uplink/layout/columns.h"
#include "uplink/registry/registration.h"

struct work {
    const struct config *config;
    const char *uplink; /* the only one; NULL: all that have a registry */
    char **streams;     /* as asked for; none: all */
    int stream_count;
    bool dry_run, json;
    struct loop *loop;
    struct names *names;
    struct http *http;
    char agent_id[128];
    int code;
    unsigned count; /* results that were told */
    /* The uplink at hand. */
    const char *name;
    const char *topic;               /* pattern */
    struct registry_options options; /* whatever the agent itself may do */
    bool is_lost;                    /* its registry: further questions would get no other answer */
    bool is_over;                    /* the schema at hand is answered for */
    bool is_used[REGISTRY_REFERENCE_MAX]; /* which references some schema has */
    const char *stream;
};

/* --- results --- */

static const char *const end_words[] = {
    [REGISTRATION_THERE] = "there",
    [REGISTRATION_MADE] = "registered",
    [REGISTRATION_POSSIBLE] = "possible",
    [REGISTRATION_UNKNOWN] = "unknown",
    [REGISTRATION_REFUSED] = "incompatible",
    [REGISTRATION_INVALID] = "invalid",
    [REGISTRATION_NO_LOGIN] = "no_login",
    [REGISTRATION_FORBIDDEN] = "forbidden",
    [REGISTRATION_NO_REGISTRY] = "no_registry",
    [REGISTRATION_LATER] = "no_answer",
};

static int code_of(enum registration_end end)
{
    switch (end) {
    case REGISTRATION_THERE:
    case REGISTRATION_MADE:
    case REGISTRATION_POSSIBLE:
        return EXIT_FINE;
    case REGISTRATION_UNKNOWN:
    case REGISTRATION_REFUSED:
    case REGISTRATION_INVALID:
    case REGISTRATION_FORBIDDEN:
        return EXIT_NEGATIVE;
    case REGISTRATION_NO_LOGIN:
    case REGISTRATION_NO_REGISTRY:
    case REGISTRATION_LATER:
        break;
    }
    return EXIT_FAILED;
}

static void say_possible(const struct registration_result *result)
{
    if (result->is_reference) {
        printf("would be registered, and then what refers to it, which can't be asked about "
               "before\n");
    } else if (result->is_new) {
        printf("would be registered, as its first version\n");
    } else {
        printf("would be registered: it is compatible with the versions that are there\n");
    }
}

static void print_text(const struct work *w, const struct registration_result *result)
{
    struct why why = {""};
    registration_why(result, &w->options, &why);
    if (why.text[0]) {
        fprintf(stderr, "stream %s, uplink %s: %s\n", w->stream, w->name, why.text);
        size_t size = strlen(result->message);
        if (size > 200) { /* the sentence may have been cut */
            fprintf(stderr, "  the registry's words: %s\n", result->message);
        }
        return;
    }
    printf("stream %s, uplink %s: subject %s", w->stream, w->name, result->subject);
    if (result->end == REGISTRATION_POSSIBLE) {
        printf(": ");
        say_possible(result);
        return;
    }
    if (result->version) {
        printf(", version %" PRIu32, result->version);
    }
    printf(", id %" PRIu32 ": %s\n", result->id,
           result->end == REGISTRATION_MADE ? "registered" : "it was there");
}

/* A member of the object, and what stands in front of it. */
static void print_member(const char *before, const char *text)
{
    char memory[7 * 1024]; /* texts have at most 1 KiB, and JSON makes six bytes of one */
    struct out o = out_over(memory, sizeof memory);
    out_put_text(&o, before);
    out_put_json(&o, slice_of_text(text));
    (void)fwrite(o.data, 1, o.size, stdout); /* command_finish() looks */
}

static void print_json(const struct work *w, const struct registration_result *result)
{
    struct why why = {""};
    registration_why(result, &w->options, &why);
    print_member("{\"stream\":", w->stream);
    print_member(",\"uplink\":", w->name);
    print_member(",\"subject\":", result->subject);
    printf(",\"result\":\"%s\"", end_words[result->end]);
    if (result->end == REGISTRATION_THERE || result->end == REGISTRATION_MADE) {
        printf(",\"id\":%" PRIu32 ",\"version\":%" PRIu32, result->id, result->version);
    }
    if (why.text[0]) {
        print_member(",\"text\":", why.text);
        print_member(",\"message\":", result->message);
    }
    printf("}\n");
}

static void work_done(void *context, const struct registration_result *result)
{
    struct work *w = context;
    int code = code_of(result->end);
    w->is_over = true;
    w->is_lost = code == EXIT_FAILED;
    w->code = code > w->code ? code : w->code;
    w->count++;
    if (w->json) {
        print_json(w, result);
    } else {
        print_text(w, result);
    }
}

/* --- one schema --- */

static enum err work_ask(struct work *w, const struct avro_schema *parsed, struct why *why)
{
    char topic[TARGET_NAME_SIZE_MAX];
    struct schema_info schema = {.json = avro_schema_text(parsed)};
    struct registration *registration = NULL;
    struct registration_setup setup = {.loop = w->loop,
                                       .http = w->http,
                                       .options = &w->options,
                                       .mode =
                                           w->dry_run ? REGISTRATION_ASK_ONLY : REGISTRATION_FULL,
                                       .wants_version = true,
                                       .context = w,
                                       .done = work_done};
    bool is_batch = strcmp(w->stream, COLUMNS_SCHEMA_NAME) == 0;
    enum err e = kafka_topic_put(w->topic, w->stream, w->agent_id, topic, why);
    e = e ? e : registration_open(&registration, &setup, is_batch ? NULL : topic, &schema, why);
    if (!e) {
        registration_mark_references(registration, w->is_used);
        w->is_over = false;
        registration_begin(registration);
    }
    while (!e && !w->is_over) { /* each request has a limit of time */
        e = loop_turn(w->loop, -1);
    }
    registration_close(registration);
    return e;
}

/* options NULL: it is none of the configuration's. */
static void work_stream(struct work *w, const char *stream, const struct stream_config *options)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    bool is_own = strcmp(stream, CONFIG_EVENTS_STREAM) == 0;
    w->stream = stream;
    if (w->is_lost) {
        fprintf(stderr, "stream %s, uplink %s: not asked about\n", stream, w->name);
        return;
    }
    bool is_batch = strcmp(stream, COLUMNS_SCHEMA_NAME) == 0;
    struct slice own = is_batch ? columns_batch_schema() : events_schema();
    enum err e = is_own || is_batch ? avro_schema_parse(&schema, own, &why)
                                    : agent_stream_schema_load(options, &schema, &why);
    e = e ? e : work_ask(w, schema, &why);
    avro_schema_close(schema);
    if (e) {
        int code = e == ERR_CONFIG || e == ERR_CORRUPT ? EXIT_USAGE : EXIT_FAILED;
        w->code = code > w->code ? code : w->code;
        fprintf(stderr, "stream %s, uplink %s: %s\n", stream, w->name,
                why.text[0] ? why.text : err_name(e));
    }
}

/* --- which ones --- */

static bool is_asked_for(const struct work *w, const char *stream)
{
    for (int i = 0; i < w->stream_count; i++) {
        if (strcmp(w->streams[i], stream) == 0) {
            return true;
        }
    }
    return w->stream_count == 0;
}

/* The registry of this uplink is the one at hand. False: it has none, or is not asked for. */
static bool work_uplink(struct work *w, const struct config_uplink *uplink)
{
    const struct kafka_options *kafka = uplink->options;
    if (strcmp(uplink->class_->type, "kafka") != 0 || !kafka->registry.is_set ||
        (w->uplink && strcmp(w->uplink, uplink->name) != 0)) {
        return false;
    }
    w->name = uplink->name;
    w->topic = kafka->topic;
    w->options = kafka->registry;
    w->options.may_register = true;
    w->options.ask_first = true;
    w->is_lost = false;
    memset(w->is_used, 0, sizeof w->is_used);
    return true;
}

/* Where all schemas were looked at: names that none of them has. */
static void warn_unused(const struct work *w)
{
    for (size_t i = 0; i < w->options.references.count; i++) {
        if (!w->is_used[i] && !w->is_lost && w->stream_count == 0) {
            fprintf(stderr,
                    "warning: uplink %s: registry.references: no stream's schema has a type %s: it "
                    "has no effect\n",
                    w->name, w->options.references.names[i]);
        }
    }
}

static int work_all(struct work *w)
{
    const struct config *config = w->config;
    for (size_t u = 0; u < config->uplink_count; u++) {
        if (!work_uplink(w, &config->uplinks[u])) {
            continue;
        }
        for (size_t i = 0; i < config->stream_count; i++) {
            const struct config_stream *s = &config->streams[i];
            if ((s->uplinks >> u & 1) && is_asked_for(w, s->name)) {
                work_stream(w, s->name, &s->options);
            }
        }
        if (config->uplinks[u].carries_events && is_asked_for(w, CONFIG_EVENTS_STREAM)) {
            work_stream(w, CONFIG_EVENTS_STREAM, NULL);
        }
        if (config->uplinks[u].layout == LAYOUT_COLUMNS && is_asked_for(w, COLUMNS_SCHEMA_NAME)) {
            work_stream(w, COLUMNS_SCHEMA_NAME, NULL); /* what its batches are */
        }
        warn_unused(w);
    }
    int code = command_finish();
    if (w->count == 0 && w->code == EXIT_FINE) {
        return command_misuse("schema register",
                              "no uplink with a registry carries what was asked for");
    }
    return code > w->code ? code : w->code;
}

/* Names that the configuration does not have. */
static bool names_are_known(const struct work *w)
{
    bool is_known = true;
    if (w->uplink && config_uplink_index(w->config, w->uplink) < 0) {
        fprintf(stderr, "weir schema register: %s has no uplink \"%s\"\n", w->config->path,
                w->uplink);
        is_known = false;
    }
    for (int i = 0; i < w->stream_count; i++) {
        if (strcmp(w->streams[i], CONFIG_EVENTS_STREAM) != 0 &&
            strcmp(w->streams[i], COLUMNS_SCHEMA_NAME) != 0 &&
            config_stream_index(w->config, w->streams[i]) < 0) {
            fprintf(stderr, "weir schema register: %s has no stream \"%s\"\n", w->config->path,
                    w->streams[i]);
            is_known = false;
        }
    }
    return is_known;
}

static int register_run(struct work *w)
{
    int code = EXIT_FAILED;
    if (!names_are_known(w)) {
        return EXIT_USAGE;
    }
    log_level_set(LOG_ERROR); /* what is to be said is in the results */
    agent_id_put(w->config, w->agent_id, sizeof w->agent_id);
    enum err e = loop_open(&w->loop);
    e = e ? e : names_open(&w->names, w->loop);
    e = e ? e : http_open(&w->http, w->loop, w->names);
    if (e) {
        fprintf(stderr, "weir schema register: the network could not be asked: %s\n", err_name(e));
    } else {
        code = work_all(w);
    }
    http_close(w->http);
    names_close(w->names);
    loop_close(w->loop);
    return code;
}

int schema_register_command(int argc, char **argv)
{
    struct work w = {.streams = argv};
    const char *path = CONFIG_PATH_DEFAULT;
    for (int i = 0; i < argc; i++) {
        const char *value = command_option(argc, argv, &i, "--config");
        const char *uplink = value ? NULL : command_option(argc, argv, &i, "--uplink");
        if (value || uplink) {
            path = value ? value : path;
            w.uplink = uplink ? uplink : w.uplink;
        } else if (strcmp(argv[i], "--dry-run") == 0) {
            w.dry_run = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            w.json = true;
        } else if (argv[i][0] == '-') {
            return command_misuse("schema", "usage: weir " SCHEMA_REGISTER_USAGE);
        } else {
            argv[w.stream_count++] = argv[i]; /* never ahead of i */
        }
    }
    int code;
    struct config *config = command_config(path, COMMAND_SAY_FINDINGS, &code);
    if (!config) {
        return code == EXIT_FAILED ? code : EXIT_USAGE;
    }
    w.config = config;
    code = register_run(&w);
    config_close(config);
    return code;
}
