/* What `weir check` finds out beyond config/: schemas, and the files of TLS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/key.h"
#include "agent/letter.h"
#include "agent/lossy.h"
#include "config/walk.h"
#include "ports/lib/zstd.h"
#include "ports/tls.h"
#include "ports/zone.h"
#include "uplink/avro/schema.h"
#include "uplink/layout/columns.h"

#define CHECK_PATH_SIZE 256

/* What may be given up of its fields. */
static void check_fields(const struct config *config, const struct config_stream *s,
                         const struct avro_schema *schema, struct config_report *report)
{
    for (size_t i = 0; i < s->options.fields.count; i++) {
        const char *name = s->options.fields.names[i];
        const char *member = NULL;
        struct why why = {""};
        if (lossy_check(&s->options, i, schema, &member, &why)) {
            const char *const names[] = {
                "streams", s->name, "fields", name, member[0] ? member : NULL, NULL};
            char place[512];
            (void)snprintf(place, sizeof place, "$.streams.%s.fields.%.200s%s%s", s->name, name,
                           member[0] ? "." : "", member); /* cut is fine */
            config_report_add(report, config, config_offset(config, names), place, why.text);
        }
    }
}

static void check_stream(const struct config *config, const struct config_stream *s,
                         struct config_report *report)
{
    struct avro_schema *schema = NULL;
    struct key key;
    struct why why = {""};
    char place[160];
    enum err e = agent_schema_load(s->options.schema, &schema, &why);
    const char *member = "schema";
    if (!e && agent_schema_is_stream(schema, &why)) {
        why_add(&why, "%s", s->options.schema);
        e = ERR_CONFIG;
    } else if (!e && s->options.key) {
        e = key_find(&key, schema, s->options.key, KEY_VALUE, &why);
        member = "key";
    }
    if (e) {
        (void)snprintf(place, sizeof place, "$.streams.%s.%s", s->name,
                       member); /* names are shorter */
        config_report_add(report, config, s->offset, place, why.text);
    }
    if (schema && avro_schema_root(schema)->kind == AVRO_RECORD) {
        check_fields(config, s, schema, report);
    }
    avro_schema_close(schema);
}

/* --- TLS --- */

/* A driver or an uplink; `names`: where it stands, then the records that lead to the one at hand. */
struct place {
    const struct config *config;
    struct config_report *report;
    const char *names[WALK_DEPTH_MAX + 4];
    size_t count;
};

static void place_wrong(struct place *place, const char *member, const char *text)
{
    char path[CHECK_PATH_SIZE];
    struct out o = out_over(path, sizeof path - 1);
    place->names[place->count] = member;
    place->names[place->count + 1] = NULL;
    out_put_byte(&o, '$');
    for (size_t i = 0; place->names[i]; i++) {
        out_put_format(&o, ".%s", place->names[i]);
    }
    path[o.size] = '\0';
    config_report_add(place->report, place->config, config_offset(place->config, place->names),
                      path, text);
}

static void check_tls(struct place *place, const struct option *row, const void *value)
{
    const struct tls_options *options = value;
    bool is_server = row->record == tls_server_table;
    if ((!is_server && row->record != tls_client_table) || !options->is_set) {
        return;
    }
    const char *member = NULL;
    struct why why = {""};
    if (tls_check(options, is_server ? TLS_SERVER : TLS_CLIENT, &member, &why)) {
        place_wrong(place, member, why.text);
    }
}

/* Each "tls" object within these options, which are the struct of `table`. */
static void check_options(struct place *place, const struct option *table, const void *options)
{
    struct walk walk = walk_begin(table);
    const uint8_t *bases[WALK_DEPTH_MAX] = {options}; /* NULL: a list, whose items lie elsewhere */
    unsigned depth = 0;
    const struct option *row = NULL;
    for (enum walk_step step = walk_next(&walk, &row); step != WALK_END;
         step = walk_next(&walk, &row)) {
        if (step == WALK_ENTER) {
            bool in_place = row->kind == OPTION_RECORD && bases[depth];
            bases[depth + 1] = in_place ? bases[depth] + row->offset : NULL;
            depth++;
            place->names[place->count++] = row->name;
            if (in_place) {
                check_tls(place, row, bases[depth]);
            }
        } else if (step == WALK_LEAVE) {
            depth--;
            place->count--;
        }
    }
}

/* --- tombstones --- */

static enum err check_tombstone(const struct config_stream *s, const struct config_uplink *u,
                                const char *field, struct why *why)
{
    struct avro_schema *schema = NULL;
    struct key key;
    if (!s->options.key) {
        why_set(why, "a tombstone says which key is gone, and stream %s has none: set its key",
                s->name);
        return ERR_CONFIG;
    }
    if (u->by_agent) {
        why_set(why, "with partition_by \"agent\" the key is the agent's name, and all that it "
                     "sent would be gone: set partition_by to \"key\"");
        return ERR_CONFIG;
    }
    if (agent_schema_load(s->options.schema, &schema, NULL)) {
        return ERR_OK; /* which is told of the stream */
    }
    enum err e = key_find(&key, schema, field, KEY_FLAG, why);
    avro_schema_close(schema);
    return e;
}

/* The agent's own events have a schema of ours, and none of them takes back another. */
static void check_own_tombstone(const struct config *config, const struct config_uplink *u,
                                struct config_report *report)
{
    if (u->class_->tombstone && u->class_->tombstone(u->options, CONFIG_EVENTS_STREAM)) {
        const char *text = "the agent's own events have no such field: leave it out";
        struct place place = {
            config, report, {"uplinks", u->name, "per_stream", CONFIG_EVENTS_STREAM}, 4};
        place_wrong(&place, "tombstone", text);
    }
}

static void check_tombstones(const struct config *config, const struct config_uplink *u,
                             struct config_report *report)
{
    for (size_t i = 0; u->class_->tombstone && i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        const char *field = u->class_->tombstone(u->options, s->name);
        struct why why = {""};
        if (field && check_tombstone(s, u, field, &why)) {
            struct place place = {config, report, {"uplinks", u->name, "per_stream", s->name}, 4};
            place_wrong(&place, "tombstone", why.text);
        }
    }
}

/* --- dead letters --- */

static void letter_wrong(const struct config *config, const struct config_stream *s,
                         struct config_report *report, const char *text)
{
    struct place place = {config, report, {"streams", s->name}, 2};
    place_wrong(&place, "dead_letter", text);
}

static void check_letter(const struct config *config, const struct config_stream *s,
                         struct config_report *report)
{
    struct why why = {""};
    bool is_taken = false;
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < config->uplink_count; i++) {
        const struct config_uplink *u = &config->uplinks[i];
        bool takes = s->uplinks >> i & 1 && u->class_->letter;
        is_taken = is_taken || takes;
        for (size_t k = 0; !e && takes && k < config->stream_count; k++) {
            const struct config_stream *beside = &config->streams[k];
            e = beside->uplinks >> i & 1 ? u->class_->letter(u->options, s->options.dead_letter,
                                                             s->name, beside->name, &why)
                                         : ERR_OK;
        }
    }
    if (!is_taken) {
        why_set(&why, "no uplink of this stream takes messages with headers (kafka does): leave it "
                      "out");
    } else if (strlen(s->name) + sizeof LETTER_STREAM_PREFIX > STREAM_NAME_SIZE_MAX) {
        why_set(&why, "with it a stream's name has at most %d characters",
                STREAM_NAME_SIZE_MAX - (int)sizeof LETTER_STREAM_PREFIX);
    }
    if (e || why.text[0]) {
        letter_wrong(config, s, report, why.text);
    }
}

static void check_letters(const struct config *config, struct config_report *report)
{
    size_t streams = config->stream_count + 1; /* weir.events */
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        if (s->options.dead_letter) {
            check_letter(config, s, report);
            if (++streams == STREAM_COUNT_MAX + 1) {
                letter_wrong(config, s, report,
                             "it needs a stream of the agent's own, and there are 256 at most");
            }
        }
    }
}

/* --- schemas at uplinks --- */

static void check_fits(const struct config *config, size_t uplink, const struct config_stream *s,
                       struct config_report *report)
{
    const struct config_uplink *u = &config->uplinks[uplink];
    struct avro_schema *schema = NULL;
    const char *member = NULL;
    struct why why = {""};
    if (!u->class_->fits || !(s->uplinks >> uplink & 1) ||
        agent_schema_load(s->options.schema, &schema, NULL)) {
        return; /* a schema that is wrong in itself is told of the stream */
    }
    if (u->class_->fits(u->options, avro_schema_text(schema), &member, &why) == ERR_CONFIG) {
        struct place place = {config, report, {"uplinks", u->name}, 2};
        why_add(&why, "stream %s", s->name);
        place_wrong(&place, member, why.text);
    }
    avro_schema_close(schema);
}

/* Of the stream's schema, which is fine in itself. */
static void say_obstacle(const struct config *config, const struct config_stream *s,
                         const struct avro_schema *schema, const char *uplink,
                         struct config_report *report)
{
    struct columns_plan *plan = NULL;
    const char *const names[] = {"streams", s->name, "schema", NULL};
    char place[160];
    struct why why;
    if (columns_plan_open(&plan, schema)) {
        return; /* no memory: a start says so */
    }
    if (columns_plan_obstacle(plan)) {
        (void)snprintf(place, sizeof place, "$.streams.%s.schema", s->name); /* names are shorter */
        why_set(&why,
                "%s: to uplink %s, whose layout is columns, its events go in batches of rows, "
                "which save less",
                columns_plan_obstacle(plan), uplink);
        config_report_warn(report, config, config_offset(config, names), place, why.text);
    }
    columns_plan_close(plan);
}

static void check_columns(const struct config *config, const struct config_stream *s,
                          struct config_report *report)
{
    struct avro_schema *schema = NULL;
    const char *uplink = NULL;
    for (size_t i = 0; !uplink && i < config->uplink_count; i++) {
        bool is_columns = config->uplinks[i].layout == LAYOUT_COLUMNS;
        uplink = is_columns && s->uplinks >> i & 1 ? config->uplinks[i].name : NULL;
    }
    if (uplink && !agent_stream_schema_load(&s->options, &schema, NULL)) {
        say_obstacle(config, s, schema, uplink, report);
    }
    avro_schema_close(schema);
}

static void check_dictionary(struct place *place, const struct config_uplink *u)
{
    struct zstd_dictionary *dictionary = NULL;
    struct why why = {""};
    if (agent_dictionary_load(u, &dictionary, &why)) {
        place_wrong(place, "dictionary", why.text);
    }
    zstd_dictionary_close(dictionary);
}

void agent_check_keys(const struct config *config, struct config_report *report)
{
    struct buffer_setup *setup = calloc(1, sizeof *setup);
    struct keys keys;
    struct why why = {""};
    if (!setup) {
        return; /* a start would say so */
    }
    keys_of_config(&keys, config);
    setup->path = config->buffer.path;
    setup->read_only = true;
    keys_lend(&keys, setup);
    /* A start says what else may be wrong with the file; while an agent has it, its keys are right. */
    if (access(setup->path, F_OK) == 0 && buffer_check_keys(setup, &why) == ERR_CONFIG) {
        const char *const names[] = {"buffer", "encryption", NULL};
        config_report_add(report, config, config_offset(config, names), "$.buffer.encryption",
                          why.text);
    }
    keys_wipe(&keys);
    free(setup);
}

static void check_zone(const struct config *config, struct config_report *report)
{
    struct why why = {""};
    if (zone_check(config->agent.time_zone, &why)) {
        const char *const names[] = {"agent", "time_zone", NULL};
        config_report_add(report, config, config_offset(config, names), "$.agent.time_zone",
                          why.text);
    }
}

void agent_check(const struct config *config, struct config_report *report)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        check_stream(config, &config->streams[i], report);
        check_columns(config, &config->streams[i], report);
    }
    for (size_t i = 0; i < config->driver_count; i++) {
        const struct config_driver *d = &config->drivers[i];
        struct place place = {config, report, {"drivers", d->name}, 2};
        check_options(&place, d->class_->options, d->options);
    }
    struct place status = {config, report, {"status"}, 1};
    check_options(&status, status_options_table, &config->status);
    check_routes(config, report);
    check_letters(config, report);
    check_zone(config, report);
    for (size_t i = 0; i < config->uplink_count; i++) {
        const struct config_uplink *u = &config->uplinks[i];
        struct place place = {config, report, {"uplinks", u->name}, 2};
        check_options(&place, u->class_->options, u->options);
        check_tombstones(config, u, report);
        check_own_tombstone(config, u, report);
        check_dictionary(&place, u);
        for (size_t j = 0; j < config->stream_count; j++) {
            check_fits(config, i, &config->streams[j], report);
        }
    }
}
