#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/register_impl.h"
#include "uplink/aws/kinesis.h"
#include "uplink/kafka/kafka.h"
#include "uplink/layout/columns.h"

static void work_told(struct work *w, const struct told *told)
{
    int code = register_print(w, told);
    w->is_over = true;
    w->is_lost = code == EXIT_FAILED;
    w->code = code > w->code ? code : w->code;
    w->count++;
}

static bool is_batch(const struct work *w)
{
    return strcmp(w->stream, COLUMNS_SCHEMA_NAME) == 0;
}

/* --- registries with Confluent's API --- */

static void registration_done(void *context, const struct registration_result *result)
{
    struct work *w = context;
    struct why why = {""};
    struct told told = {.end = result->end,
                        .subject = result->subject,
                        .version = result->version,
                        .is_reference = result->is_reference,
                        .is_new = result->is_new,
                        .message = result->message};
    registration_why(result, &w->options, &why);
    told.why = why.text;
    (void)snprintf(told.id, sizeof told.id, "%" PRIu32, result->id);
    work_told(w, &told);
}

static enum err ask_registry(struct work *w, const char *topic, const struct schema_info *schema,
                             struct why *why)
{
    struct registration *registration = NULL;
    struct registration_setup setup = {.loop = w->loop,
                                       .http = w->http,
                                       .options = &w->options,
                                       .mode =
                                           w->dry_run ? REGISTRATION_ASK_ONLY : REGISTRATION_FULL,
                                       .wants_version = true,
                                       .context = w,
                                       .done = registration_done};
    enum err e = registration_open(&registration, &setup, topic, schema, why);
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

/* --- Glue --- */

static void glue_told(void *context, const struct glue_result *result)
{
    struct told told = {.end = result->end,
                        .subject = result->name,
                        .version = result->version,
                        .is_new = result->is_new,
                        .id_is_text = true,
                        .why = result->text,
                        .message = ""};
    struct out id = out_over(told.id, sizeof told.id - 1);
    glue_id_put(result->id, &id);
    assert(!id.overflow);
    work_told(context, &told);
}

static enum err ask_glue(struct work *w, const char *topic, const struct schema_info *schema,
                         struct why *why)
{
    uint8_t prefix[GLUE_PREFIX_SIZE];
    w->is_over = false;
    enum err e = glue_prefix(w->glue, topic, schema, prefix, why);
    assert(e);               /* nothing is known before it is asked */
    if (e == ERR_REJECTED) { /* it can't even be asked for */
        work_told(w, &(struct told){.end = REGISTRATION_INVALID,
                                    .subject = topic ? topic : COLUMNS_SCHEMA_NAME,
                                    .why = why->text,
                                    .message = ""});
        return ERR_OK;
    }
    e = e == ERR_AGAIN ? ERR_OK : e;
    while (!e && !w->is_over) { /* each request has a limit of time */
        e = loop_turn(w->loop, -1);
    }
    return e;
}

static enum err glue_begin(struct work *w, const struct glue_options *options, struct why *why)
{
    const struct glue_setup setup = {.loop = w->loop,
                                     .names = w->names,
                                     .http = w->http,
                                     .options = &w->glue_options,
                                     .context = w,
                                     .told = glue_told,
                                     .only_asks = w->dry_run};
    w->glue_options = *options;
    w->glue_options.may_register = true;
    w->glue_options.ask_first = true;
    return glue_open(&w->glue, &setup, why);
}

/* --- whose --- */

static enum err kafka_topic(const struct work *w, char ret[TARGET_NAME_SIZE_MAX], struct why *why)
{
    return kafka_topic_put(w->topic, w->stream, w->agent_id, ret, why);
}

static enum err kinesis_topic(const struct work *w, char ret[TARGET_NAME_SIZE_MAX], struct why *why)
{
    char name[TARGET_NAME_SIZE_MAX];
    const struct aws_name stream = {.pattern = w->topic,
                                    .stream = w->stream,
                                    .agent_id = w->agent_id,
                                    .size_max = KINESIS_NAME_SIZE_MAX};
    enum err e = aws_name_put(&stream, name, sizeof name, why);
    if (!e) {
        (void)snprintf(ret, TARGET_NAME_SIZE_MAX, "%s", aws_name_own(name));
    }
    return e;
}

enum err register_open(struct work *w, const void *uplink, const char *type, bool *ret_has,
                       struct why *why)
{
    const struct kafka_options *kafka = strcmp(type, "kafka") == 0 ? uplink : NULL;
    const struct kinesis_options *kinesis = strcmp(type, "kinesis") == 0 ? uplink : NULL;
    bool has_glue = kafka ? kafka->glue.is_set : kinesis && kinesis->glue.is_set;
    bool has_registry = kafka && kafka->registry.is_set;
    *ret_has = has_glue || has_registry;
    w->options = (struct registry_options){.is_set = false};
    w->topic_put = kafka ? kafka_topic : kinesis_topic;
    w->topic = kafka ? kafka->topic : kinesis ? kinesis->stream : NULL;
    if (has_registry) {
        w->options = kafka->registry;
        w->options.may_register = true;
        w->options.ask_first = true;
        return ERR_OK;
    }
    if (has_glue) {
        const struct glue_options glue = kafka ? kafka->glue : kinesis_glue(kinesis);
        return glue_begin(w, &glue, why);
    }
    return ERR_OK;
}

void register_close(struct work *w)
{
    glue_close(w->glue);
    w->glue = NULL;
}

enum err register_ask(struct work *w, const struct avro_schema *parsed, struct why *why)
{
    char name[TARGET_NAME_SIZE_MAX];
    const struct schema_info schema = {.number = ++w->schema, .json = avro_schema_text(parsed)};
    const char *topic = is_batch(w) ? NULL : name;
    enum err e = topic ? w->topic_put(w, name, why) : ERR_OK;
    if (e) {
        return e;
    }
    return w->glue ? ask_glue(w, topic, &schema, why) : ask_registry(w, topic, &schema, why);
}
