/* weir columns encode|decode. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/map.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"
#include "uplink/layout/columns.h"

#define OUTPUT_SIZE_FIRST ((size_t)256 * 1024)
#define OUTPUT_SIZE_MAX ((size_t)1024 * 1024 * 1024)
#define WORK_SIZE_MAX ((size_t)1024 * 1024 * 1024)

struct words {
    const char *schema;
    const char *input;
    uint64_t sequence;
    uint32_t schema_id;
    bool has_schema_id;
    bool plain;
};

struct job {
    const struct words *words;
    const struct avro_schema *schema;
    const struct columns_plan *plan;
    struct mapper *mapper;
    struct out datums;
    struct message *rows;
    uint32_t row_max;
    uint32_t row_count;
    struct out out;
};

/* Four times the room; what was written stays. */
static enum err grow(struct out *out)
{
    size_t size_max = out->size_max ? out->size_max * 4 : OUTPUT_SIZE_FIRST;
    uint8_t *memory = size_max <= OUTPUT_SIZE_MAX ? realloc(out->data, size_max) : NULL;
    if (!memory) {
        return ERR_NOMEM;
    }
    *out = (struct out){.data = memory, .size = out->size, .size_max = size_max};
    return ERR_OK;
}

/* --- encode --- */

/* Behind the datums that are there: each is put on its own, since mapping wants an empty `out`. */
static enum err encode_value(struct job *job, struct slice line, struct why *why)
{
    struct out *all = &job->datums;
    struct out one = out_over(all->data + all->size, all->size_max - all->size);
    struct map_result result;
    struct map_task task = {
        .record = avro_schema_root(job->schema), .body_kind = BODY_JSON, .body = line};
    enum err e = job->mapper ? map_run(job->mapper, &task, &one, &result, why)
                             : avro_encode_json(job->schema, line, &one, why);
    all->size += one.size;
    all->overflow = one.overflow;
    return e;
}

/* Datums are noted by where they begin: their memory still moves. */
static enum err add_row(struct job *job, struct slice line, struct why *why)
{
    size_t before = job->datums.size;
    enum err e;
    if (job->row_count == job->row_max) {
        why_set(why, "a batch has at most %u rows", job->row_max);
        return ERR_REJECTED;
    }
    while ((e = encode_value(job, line, why)) != ERR_OK &&
           (e == ERR_FULL || job->datums.overflow)) {
        job->datums.size = before;
        e = grow(&job->datums);
        if (e) {
            return e;
        }
    }
    if (!e) {
        struct message *row = &job->rows[job->row_count];
        *row = (struct message){.body = {NULL, job->datums.size - before},
                                .sequence = job->words->sequence + job->row_count};
        job->row_count++;
    }
    return e;
}

static enum err read_rows(struct job *job, struct slice input, struct why *why)
{
    unsigned line = 0;
    job->row_max = COLUMNS_EVENT_MAX;
    job->rows = calloc(job->row_max, sizeof *job->rows);
    enum err e = job->rows ? grow(&job->datums) : ERR_NOMEM;
    while (!e && input.size > 0) {
        const uint8_t *end = memchr(input.data, '\n', input.size);
        size_t size = end ? (size_t)(end - input.data) : input.size;
        line++;
        e = size > 0 ? add_row(job, (struct slice){input.data, size}, why) : ERR_OK;
        if (e) {
            why_add(why, "line %u", line);
        }
        size += end != NULL;
        input.data += size;
        input.size -= size;
    }
    const uint8_t *at = job->datums.data;
    for (uint32_t i = 0; !e && i < job->row_count; i++) {
        job->rows[i].body.data = at;
        at += job->rows[i].body.size;
        e = columns_check(job->plan, job->rows[i].body);
        if (e) {
            why_set(why, "row %u nests deeper than %d", i, AVRO_NEST_MAX);
        }
    }
    return e;
}

/* With ever more memory until the batch fits. */
static enum err encode_batch(struct job *job, struct why *why)
{
    uint8_t id[4];
    struct out id_out = out_over(id, sizeof id);
    struct columns_setup setup = {.plan = job->plan};
    enum err e = ERR_FULL;
    out_put_u32_be(&id_out, job->words->schema_id);
    setup.schema_id = job->words->has_schema_id ? out_slice(&id_out) : setup.schema_id;
    for (size_t size = COLUMNS_WORK_SIZE; e == ERR_FULL && size <= WORK_SIZE_MAX; size *= 4) {
        e = columns_work_open(&setup.work, size);
        while (!e && job->out.size_max < 4 * job->datums.size + OUTPUT_SIZE_FIRST) {
            e = grow(&job->out);
        }
        e = e ? e : columns_encode(&setup, job->rows, job->row_count, COLUMNS_BETTER, &job->out);
        columns_work_close(setup.work);
        setup.work = NULL;
    }
    if (e == ERR_FULL) {
        why_set(why, "the batch needs too much memory");
    } else if (e == ERR_REJECTED) {
        why_set(why, "there are no rows, and its schema has no columns: a batch needs one of both");
    }
    return e;
}

static enum err open_mapper(struct job *job, struct why *why)
{
    const struct avro_node *root = avro_schema_root(job->schema);
    if (root->kind != AVRO_RECORD || root->field_count > MAP_FIELD_MAX) {
        why_set(why, "--plain wants a schema of a record with at most %d fields", MAP_FIELD_MAX);
        return ERR_CONFIG;
    }
    return mapper_open(&job->mapper);
}

static enum err encode(struct job *job, struct slice input, struct why *why)
{
    enum err e = job->words->plain ? open_mapper(job, why) : ERR_OK;
    e = e ? e : read_rows(job, input, why);
    e = e ? e : encode_batch(job, why);
    if (!e) {
        fwrite(job->out.data, 1, job->out.size, stdout);
    }
    mapper_close(job->mapper);
    return e;
}

/* --- decode --- */

static enum err print_row(void *context, struct slice datum, uint64_t sequence)
{
    struct job *job = context;
    enum err e;
    (void)sequence; /* not a part of the row */
    for (;;) {
        struct slice rest = datum;
        job->out.size = 0;
        job->out.overflow = false;
        e = avro_decode_json(avro_schema_root(job->schema), &rest, &job->out, NULL);
        out_put_byte(&job->out, '\n');
        if (!job->out.overflow) {
            break;
        }
        e = grow(&job->out);
        if (e) {
            return e;
        }
    }
    if (!e) {
        fwrite(job->out.data, 1, job->out.size, stdout);
    }
    return e;
}

static enum err decode(struct job *job, struct slice input, struct why *why)
{
    struct columns_taker taker = {.row = print_row, .context = job};
    return columns_decode(job->plan, input, COLUMNS_VALUE_MAX, &taker, why);
}

/* --- the command --- */

static int convert(const struct words *words,
                   enum err (*work)(struct job *, struct slice, struct why *))
{
    struct why why = {""};
    struct job job = {.words = words};
    struct avro_schema *schema = NULL;
    struct columns_plan *plan = NULL;
    struct slice input = {NULL, 0};
    const char *at = words->schema; /* what an error is about */
    enum err e = command_read_schema(at, &schema, &why);
    e = e ? e : columns_plan_open(&plan, schema);
    job.schema = schema;
    job.plan = plan;
    if (!e) {
        at = words->input;
        e = command_read_input(at, &input, &why);
        e = e ? e : work(&job, input, &why);
    }
    free(job.out.data);
    free(job.datums.data);
    free(job.rows);
    command_free_input(input);
    columns_plan_close(plan);
    avro_schema_close(schema);
    return e ? command_complain(at, e, &why) : command_finish();
}

/* Digits only. */
static bool number_of(const char *text, uint64_t most, uint64_t *ret)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return at != text && !*at;
}

/* False: a word that does not belong here. */
static bool take_words(int argc, char **argv, struct words *words)
{
    for (int i = 0; i < argc; i++) {
        const char *sequence = command_option(argc, argv, &i, "--sequence");
        const char *id = sequence ? NULL : command_option(argc, argv, &i, "--schema-id");
        uint64_t number;
        if (sequence) {
            if (!number_of(sequence, INT64_MAX, &words->sequence)) {
                return false;
            }
        } else if (id) {
            if (!number_of(id, INT32_MAX, &number)) {
                return false;
            }
            words->schema_id = (uint32_t)number;
            words->has_schema_id = true;
        } else if (strcmp(argv[i], "--plain") == 0) {
            words->plain = true;
        } else if (!words->schema) {
            words->schema = argv[i];
        } else if (!words->input) {
            words->input = argv[i];
        } else {
            return false;
        }
    }
    return words->input != NULL;
}

int columns_command(int argc, char **argv)
{
    struct words words = {.schema = NULL};
    const char *verb = argc > 0 ? argv[0] : "";
    bool fine = argc > 1 && take_words(argc - 1, argv + 1, &words);
    if (fine && strcmp(verb, "encode") == 0) {
        return convert(&words, encode);
    }
    if (fine && strcmp(verb, "decode") == 0 && !words.plain && !words.has_schema_id &&
        !words.sequence) {
        return convert(&words, decode);
    }
    return command_misuse("columns", "usage: weir " COLUMNS_USAGE "   (\"-\" is standard input)");
}
