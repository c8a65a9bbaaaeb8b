/* weir buffer import: first the whole file is looked at, so that nothing of one that does not fit
 * is taken; then it goes in, batch by batch. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/buffer_impl.h"
#include "agent/import_file.h"
#include "ports/identity.h"
#include "ports/lib/hash.h"

struct import {
    const struct buffer_arguments *a;
    struct tool_request request;
    char source[STREAM_NAME_SIZE_MAX]; /* the stream that the file says; "": none */
    struct import_schemas schemas;
    uint64_t position;
    uint64_t before; /* of them, by earlier runs */
    bool is_done;
    uint64_t total;
    struct out batch;
    uint32_t schema; /* of the batch */
    uint64_t events; /* in the batch */
    size_t size;     /* of its datums */
    struct progress progress;
};

/* --- what the buffer knows --- */

static enum err import_frame(void *context, enum frame_kind kind, struct slice payload,
                             struct why *why)
{
    struct import *x = context;
    struct json_tree *tree = NULL;
    uint64_t number;
    struct slice stream;
    struct slice text;
    size_t offset;
    int64_t position = 0;
    if (kind == FRAME_SCHEMA) {
        return slice_take_uvarint(&payload, &number) && frame_take_text(&payload, &stream) &&
                       frame_take_text(&payload, &text)
                   ? import_schemas_add(&x->schemas, (uint32_t)number, text, why)
                   : ERR_CORRUPT;
    }
    if (kind != FRAME_JSON) {
        return ERR_OK;
    }
    enum err e = json_tree_open(&tree, payload, why, &offset);
    if (e) {
        return e;
    }
    const struct json_node *root = json_tree_root(tree);
    const struct json_node *done = json_node_find(root, "done");
    const struct json_node *at = json_node_find(root, "position");
    x->is_done = done && done->kind == JSON_TRUE;
    x->position = at && json_node_integer(at, &position) ? (uint64_t)position : 0;
    x->before = x->position;
    json_tree_close(tree);
    return ERR_OK;
}

/* The stream: what is said, else what the file says. */
static enum err find_stream(struct import *x, struct why *why)
{
    struct import_file *file = NULL;
    struct import_setup setup = {.path = x->a->file};
    enum err e = import_file_open(&file, &setup, why);
    e = e || x->a->plain ? e : import_file_stream(file, x->request.stream, x->source, why);
    import_file_close(file);
    if (!e && !x->request.stream[0]) {
        memcpy(x->request.stream, x->source, sizeof x->source);
    }
    if (!e && !x->request.stream[0]) {
        why_set(why, "%s does not say of which stream it is: say --stream", x->a->file);
        e = ERR_REJECTED;
    }
    return e;
}

/* --- batches --- */

static void batch_begin(struct import *x, uint32_t schema)
{
    x->batch.size = 0;
    x->batch.overflow = false;
    out_put_uvarint(&x->batch, schema);
    out_put_byte(&x->batch, 0);
    x->schema = schema;
    x->events = 0;
    x->size = 0;
}

static enum err batch_send(struct import *x, struct tool_source *source, struct why *why)
{
    uint8_t memory[16];
    struct out number = out_over(memory, sizeof memory);
    if (x->events == 0) {
        return ERR_OK;
    }
    out_put_uvarint(&number, x->schema);
    x->batch.data[number.size] = x->position + x->events == x->total; /* the last one */
    enum err e = tool_source_import(source, out_slice(&x->batch), why);
    if (!e) {
        x->position += x->events;
        number.size = 0;
        out_put_uvarint(&number, x->position);
        out_put_uvarint(&number, x->total);
        progress_show(&x->progress, out_slice(&number));
    }
    x->events = 0;
    return e;
}

static enum err batch_add(struct import *x, struct tool_source *source, uint32_t schema,
                          const struct tool_event *event, struct why *why)
{
    enum err e = ERR_OK;
    bool fits = x->events > 0 && x->schema == schema && x->events < IMPORT_EVENT_MAX &&
                x->size + event->datum.size <= WRITE_SIZE_MAX / 2;
    if (!fits) {
        e = batch_send(x, source, why);
        batch_begin(x, schema);
    }
    out_put_uvarint(&x->batch, 0);
    out_put_byte(&x->batch, event->trust);
    out_put_varint(&x->batch, event->time_us);
    frame_put_text(&x->batch, event->datum);
    x->events++;
    x->size += event->datum.size;
    return e ? e : x->batch.overflow ? ERR_FULL : ERR_OK;
}

/* All records; without a source they are only counted. */
static enum err go_through(struct import *x, struct tool_source *source, struct why *why)
{
    struct import_file *file = NULL;
    struct import_setup setup = {
        .path = x->a->file, .stream = x->source, .schemas = &x->schemas, .is_plain = x->a->plain};
    struct tool_event event;
    uint64_t count = 0;
    uint64_t passed = x->position; /* taken by an earlier import of this file */
    uint32_t schema = 0;
    enum err e = import_file_open(&file, &setup, why);
    while (!e && (e = import_file_next(file, &schema, &event, why)) == ERR_OK) {
        count++;
        if (source && count > passed) {
            e = batch_add(x, source, schema, &event, why);
        }
    }
    import_file_close(file);
    if (e == ERR_CLOSED) {
        e = source ? batch_send(x, source, why) : ERR_OK;
    }
    if (!e && source && count != x->total) {
        why_set(why, "%s has changed while it was imported", x->a->file);
        e = ERR_REJECTED;
    }
    x->total = count;
    return e;
}

/* --- the command --- */

static enum err run(struct import *x, struct tool_source *source, bool *ret_refused,
                    struct why *why)
{
    *ret_refused = false;
    enum err e = tool_source_run(source, &x->request, import_frame, x, why);
    if (!e && x->is_done) {
        *ret_refused = true;
        return ERR_OK;
    }
    e = e ? e : go_through(x, NULL, why);
    if (!e && x->total < x->position) {
        why_set(why, "%s has fewer events than were taken of it", x->a->file);
        e = ERR_REJECTED;
    }
    return e ? e : go_through(x, source, why);
}

static int finish(const struct import *x)
{
    if (x->a->json) {
        printf("{\"imported\":%" PRIu64 ",\"earlier\":%" PRIu64 "}\n", x->position - x->before,
               x->before);
    } else {
        printf("%" PRIu64 " events were imported into stream %s\n", x->position - x->before,
               x->request.stream);
    }
    return command_finish();
}

/* New events get sequences: on another machine than the file was used on before, those of another
 * incarnation, as with `weir run`. NULL: *ret_code. */
static struct tool_source *open_source(const struct import *x, int *ret_code)
{
    struct tool_source *source = NULL;
    struct source_setup setup = buffer_where(x->a, true);
    struct machine machine;
    struct why why = {""};
    identity_machine("", &machine);
    setup.machine = &machine;
    enum err e = tool_source_open(&source, &setup, &why);
    if (e) {
        *ret_code = buffer_failed(x->a->word, e, &why);
        return NULL;
    }
    const struct buffer *buffer = tool_source_buffer(source);
    if (buffer && buffer_incarnation_before(buffer)) {
        fprintf(stderr,
                "weir %s: the buffer was used on another machine: what is imported has the "
                "incarnation %08" PRIx32 ", what was stored keeps %08" PRIx32 "\n",
                x->a->word, buffer_incarnation(buffer), buffer_incarnation_before(buffer));
    }
    return source;
}

static int import(struct import *x)
{
    struct why why = {""};
    uint8_t id[IMPORT_ID_SIZE];
    bool is_refused = false;
    int code = EXIT_FAILED;
    enum err e = find_stream(x, &why);
    e = e ? e : import_file_id(x->a->file, x->request.stream, id, &why);
    if (e) {
        return buffer_failed(x->a->word, e, &why);
    }
    struct out hex = out_over(x->request.file, sizeof x->request.file - 1);
    hash_put_hex(&hex, (struct slice){id, sizeof id});
    struct tool_source *source = open_source(x, &code);
    if (!source) {
        return code;
    }
    progress_init(&x->progress, x->a->word, false);
    e = run(x, source, &is_refused, &why);
    progress_end(&x->progress);
    tool_source_close(source);
    if (is_refused) {
        fprintf(stderr,
                "weir %s: %s was imported into stream %s before (%" PRIu64
                " events): --again takes it once more\n",
                x->a->word, x->a->file, x->request.stream, x->position);
        return EXIT_NEGATIVE;
    }
    if (e && x->position > 0) {
        fprintf(stderr,
                "weir %s: %" PRIu64 " events are in; the same command goes on behind them\n",
                x->a->word, x->position);
    }
    return e ? buffer_failed(x->a->word, e, &why) : finish(x);
}

int buffer_import_command(const struct buffer_arguments *a)
{
    if (!a->file) {
        return command_misuse(a->word, "name the file");
    }
    struct import *x = calloc(1, sizeof *x);
    int code = EXIT_FAILED;
    if (x) {
        x->a = a;
        x->request = a->request;
        x->request.again = a->again;
        x->batch = out_over(malloc(IMPORT_BATCH_MAX), IMPORT_BATCH_MAX);
    }
    if (x && x->batch.data) {
        code = import(x);
    } else {
        fprintf(stderr, "weir %s: no memory\n", a->word);
    }
    if (x) {
        import_schemas_release(&x->schemas);
        free(x->batch.data);
    }
    free(x);
    return code;
}
