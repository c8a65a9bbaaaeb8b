/* `weir check`: would the gate let the streams' schemas through? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/command.h"
#include "agent/kept.h"
#include "uplink/avro/schema.h"

/* Those of the stream, or of the name that it had before. */
static size_t versions_of(const struct kept_all *all, const char *name, struct gate_version *ret)
{
    size_t count = 0;
    for (size_t i = 0; name && i < all->count; i++) {
        if (strcmp(all->items[i].stream, name) == 0) {
            ret[count++] = all->items[i].version;
        }
    }
    return count;
}

static void say(const struct config *config, const struct config_stream *s,
                const struct gate_answer *answer, struct config_report *report)
{
    char line[GATE_TEXT_SIZE];
    char place[160];
    struct why why;
    const char *const names[] = {"streams", s->name, "schema", NULL};
    size_t offset = config_offset(config, names);
    (void)snprintf(place, sizeof place, "$.streams.%s.schema", s->name); /* names are shorter */
    if (answer->unread) {
        why_set(&why, "schema %u of the buffer can't be read, and is not compared", answer->unread);
        config_report_warn(report, config, offset, place, why.text);
    }
    for (uint32_t i = 0;
         answer->refusal && gate_refusal_line(answer->refusal, i, line, sizeof line); i++) {
        char text[GATE_TEXT_SIZE + 64];
        (void)snprintf(text, sizeof text, "refused (compatibility %s): %s",
                       avro_mode_name(answer->refusal->mode), line); /* fits */
        config_report_add(report, config, offset, place, text);
    }
}

static enum err check_stream(const struct config *config, const struct config_stream *s,
                             const struct kept_all *all, struct config_report *report)
{
    struct avro_schema *schema = NULL;
    struct gate_answer answer = {.number = 0};
    struct gate_version *versions = calloc(all->count + 1, sizeof *versions);
    if (!versions) {
        return ERR_NOMEM;
    }
    size_t count = versions_of(all, s->name, versions);
    count = count ? count : versions_of(all, s->options.renamed_from, versions);
    enum err e = agent_stream_schema_load(&s->options, &schema, NULL);
    e = e ? e
          : gate_check(versions, count, schema, (enum avro_mode)s->options.compatibility, &answer);
    if (!e) {
        say(config, s, &answer, report);
    }
    free(answer.refusal);
    avro_schema_close(schema);
    free(versions);
    return e == ERR_NOMEM ? e : ERR_OK; /* a schema that is wrong in itself is told already */
}

void check_gate(const struct config *config, struct config_report *report)
{
    struct kept_all all = {.count = 0};
    struct why why = {""};
    struct keys keys;
    struct source_setup setup = {
        .buffer_path = config->buffer.path, .socket_path = config->agent.socket, .keys = &keys};
    keys_of_config(&keys, config);
    enum err e = kept_ask(&all, &setup, "", &why);
    keys_wipe(&keys);
    for (size_t i = 0; !e && i < config->stream_count; i++) {
        e = check_stream(config, &config->streams[i], &all, report);
    }
    if (e && e != ERR_CONFIG) {
        struct why text;
        const char *const names[] = {"streams", NULL};
        why_set(&text, "schemas are not compared with those in the buffer: %s",
                why.text[0] ? why.text : err_name(e));
        config_report_warn(report, config, config_offset(config, names), "$.streams", text.text);
    }
    kept_release(&all);
}
