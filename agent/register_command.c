/* weir schema register. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/command.h"
#include "agent/events.h"
#include "agent/register_impl.h"
#include "ports/log.h"
#include "uplink/layout/columns.h"

/* --- one schema --- */

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
    e = e ? e : register_ask(w, schema, &why);
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
    bool has_registry = false;
    struct why why = {""};
    if (w->uplink && strcmp(w->uplink, uplink->name) != 0) {
        return false;
    }
    w->name = uplink->name;
    w->is_lost = false;
    memset(w->is_used, 0, sizeof w->is_used);
    enum err e = register_open(w, uplink->options, uplink->class_->type, &has_registry, &why);
    if (e) {
        int code = e == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED;
        fprintf(stderr, "uplink %s: %s\n", w->name, why.text[0] ? why.text : err_name(e));
        w->code = code > w->code ? code : w->code;
        return false;
    }
    return has_registry;
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

static void work_streams(struct work *w, size_t u)
{
    const struct config *config = w->config;
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

static int work_all(struct work *w)
{
    for (size_t u = 0; u < w->config->uplink_count; u++) {
        if (work_uplink(w, &w->config->uplinks[u])) {
            work_streams(w, u);
            register_close(w);
        }
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
    if (!WEIR_HTTP_CLIENT) { /* said at once: no configuration helps */
        return command_misuse("schema register",
                              "needs the HTTP client, and this build was made without it");
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
