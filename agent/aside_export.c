/* weir aside export: set-aside events as an Avro container file that every reader opens. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/aside_impl.h"
#include "agent/out_file.h"
#include "ports/random.h"
#include "uplink/avro/container.h"
#include "uplink/avro/encode.h"

#define RAW_MAX (4 * 1024 * 1024)
#define RAW_FULL (256 * 1024) /* of a block; one event more always fits */
#define PACKED_MAX (RAW_MAX + RAW_MAX / 8 + 64 * 1024)

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"Aside\",\"namespace\":\"weir\","
    "\"doc\":\"An event that was set aside.\",\"fields\":["
    "{\"name\":\"id\",\"type\":\"long\"},"
    "{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},"
    "\"doc\":\"When it was set aside.\"},"
    "{\"name\":\"stream\",\"type\":\"string\",\"doc\":\"Empty: no route took it.\"},"
    "{\"name\":\"kind\",\"type\":{\"type\":\"enum\",\"name\":\"AsideKind\",\"symbols\":"
    "[\"payload\",\"datum\"]},\"doc\":\"payload: intake could not take it; datum: a destination "
    "refused it.\"},"
    "{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Where it came from; datum: the uplink.\"},"
    "{\"name\":\"driver\",\"type\":[\"null\",\"string\"]},"
    "{\"name\":\"subject\",\"type\":[\"null\",\"string\"],\"doc\":\"What routes look at.\"},"
    "{\"name\":\"event_time\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":"
    "\"timestamp-micros\"}],\"doc\":\"Its own time, or its arrival.\"},"
    "{\"name\":\"reason\",\"type\":\"string\"},"
    "{\"name\":\"sequence\",\"type\":[\"null\",\"long\"],\"doc\":\"datum: of its stream.\"},"
    "{\"name\":\"schema\",\"type\":[\"null\",\"string\"],\"doc\":\"datum: the body's.\"},"
    "{\"name\":\"size\",\"type\":\"long\",\"doc\":\"Bytes of the body as it came.\"},"
    "{\"name\":\"cut\",\"type\":\"boolean\",\"doc\":\"Not all of the body was kept.\"},"
    "{\"name\":\"fields\",\"type\":[\"null\",\"string\"],\"doc\":\"Typed fields beside the body, "
    "as JSON.\"},"
    "{\"name\":\"body\",\"type\":\"bytes\"}]}";

struct export
{
    const struct buffer_arguments *a;
    struct progress progress;
    struct out_file file;
    struct aside_schema schema;
    struct aside_line line;
    struct container_packer *packer;
    uint8_t sync[CONTAINER_SYNC_SIZE];
    struct out raw;
    struct out packed;
    uint64_t block_count;
    uint64_t count;
    uint64_t cut;
};

static bool is_stdout(const struct export *x)
{
    return strcmp(x->a->file, "-") == 0;
}

/* --- a record --- */

static void put_null(struct out *o)
{
    out_put_varint(o, 0);
}

static void put_some(struct out *o, struct slice text)
{
    out_put_varint(o, 1);
    avro_put_bytes(o, text);
}

static void put_some_or_null(struct out *o, bool is_some, struct slice text)
{
    if (is_some) {
        put_some(o, text);
    } else {
        put_null(o);
    }
}

/* Reasons and sources may have anything in them, and an Avro string is UTF-8. */
static void put_string(struct out *o, struct slice text)
{
    avro_put_bytes(o, slice_is_utf8(text) ? text : SLICE("(not UTF-8)"));
}

static void put_fields(struct out *o, const struct aside_head *head)
{
    static const size_t room = 8 * ASIDE_HEAD_SIZE_MAX; /* as JSON */
    uint8_t *memory = head->field_count ? malloc(room) : NULL;
    struct out text = out_over(memory, memory ? room : 0);
    if (memory) {
        aside_put_fields(&text, head);
    }
    put_some_or_null(o, memory && !text.overflow, out_slice(&text));
    free(memory);
}

static void put_record(struct export *x)
{
    const struct tool_aside *a = &x->line.aside;
    const struct aside_head *head = &x->line.head;
    struct out *o = &x->raw;
    bool is_datum = a->kind == ASIDE_DATUM;
    bool has_driver = x->line.has_head && head->driver.size > 0;
    out_put_varint(o, a->id);
    out_put_varint(o, a->time_us);
    put_string(o, a->stream);
    out_put_varint(o, is_datum);
    put_string(o, a->source);
    put_some_or_null(o, has_driver, head->driver);
    put_some_or_null(o, has_driver && slice_is_utf8(head->subject), head->subject);
    if (a->event_trust == TOOL_TIME_UNKNOWN) {
        put_null(o);
    } else {
        out_put_varint(o, 1);
        out_put_varint(o, a->event_time_us);
    }
    put_string(o, a->reason);
    out_put_varint(o, is_datum);
    if (is_datum) {
        out_put_varint(o, (int64_t)a->sequence);
    }
    put_some_or_null(o, is_datum && x->schema.text.size > 0, out_slice(&x->schema.text));
    out_put_varint(o, (int64_t)a->size);
    avro_put_boolean(o, x->line.is_cut);
    if (x->line.has_head) {
        put_fields(o, head);
    } else {
        put_null(o);
    }
    avro_put_bytes(o, a->body);
}

/* --- the file --- */

static enum err put_block(struct export *x, struct why *why)
{
    if (x->block_count == 0) {
        return ERR_OK;
    }
    x->packed.size = 0;
    x->packed.overflow = false;
    enum err e =
        container_put_block(x->packer, x->block_count, out_slice(&x->raw), x->sync, &x->packed);
    e = e ? e : out_file_put(&x->file, out_slice(&x->packed), why);
    x->raw.size = 0;
    x->block_count = 0;
    return e;
}

/* The file begins with the first answer: a refusal leaves nothing behind. */
static enum err file_begin(struct export *x, struct why *why)
{
    if (x->file.file) {
        return ERR_OK;
    }
    enum err e = out_file_begin(&x->file, is_stdout(x) ? "" : x->a->file, why);
    if (e) {
        return e;
    }
    for (size_t i = 0; i < sizeof x->sync; i += 4) {
        uint32_t bits = random_u32();
        memcpy(x->sync + i, &bits, 4);
    }
    x->packed.size = 0;
    x->packed.overflow = false;
    container_put_header(&x->packed, slice_of_text(schema_text), CONTAINER_DEFLATE, NULL, 0,
                         x->sync);
    return out_file_put(&x->file, out_slice(&x->packed), why);
}

static enum err export_frame(void *context, enum frame_kind kind, struct slice payload,
                             struct why *why)
{
    struct export *x = context;
    if (progress_frame(&x->progress, kind, payload)) {
        return ERR_OK;
    }
    if (kind != FRAME_ASIDE) {
        return kind == FRAME_SCHEMA ? aside_schema_take(&x->schema, payload) : ERR_OK;
    }
    enum err e = aside_open(&x->line, payload, why);
    e = e ? e : file_begin(x, why);
    if (e) {
        return e;
    }
    put_record(x);
    if (x->raw.overflow) {
        why_set(why, "set-aside event %" PRId64 " is too large for a container", x->line.aside.id);
        return ERR_FULL;
    }
    x->block_count++;
    x->count++;
    x->cut += x->line.is_cut;
    x->progress.has_bad = x->progress.has_bad || x->line.aside.is_damaged;
    return x->raw.size >= RAW_FULL ? put_block(x, why) : ERR_OK;
}

static enum err export_open(struct export *x, struct why *why)
{
    struct stat is;
    if (!is_stdout(x) && stat(x->a->file, &is) == 0) {
        why_set(why, "%s is there already: name another file", x->a->file);
        return ERR_REJECTED;
    }
    x->raw = out_over(malloc(RAW_MAX), RAW_MAX);
    x->packed = out_over(malloc(PACKED_MAX), PACKED_MAX);
    enum err e = x->raw.data && x->packed.data ? aside_schema_open(&x->schema) : ERR_NOMEM;
    return e ? e : container_packer_open(&x->packer, CONTAINER_DEFLATE, 0);
}

static void export_close(struct export *x)
{
    container_packer_close(x->packer);
    aside_schema_release(&x->schema);
    free(x->raw.data);
    free(x->packed.data);
    free(x);
}

/* On stderr, because the events may be on stdout. */
static void tell(const struct export *x)
{
    if (x->a->json) {
        fprintf(stderr, "{\"events\":%" PRIu64 ",\"cut\":%" PRIu64 "}\n", x->count, x->cut);
        return;
    }
    fprintf(stderr, "%" PRIu64 " set-aside events were exported\n", x->count);
    if (x->cut) {
        fprintf(stderr, "of %" PRIu64 " only the first 64 KiB were kept\n", x->cut);
    }
}

int aside_export_command(const struct buffer_arguments *a)
{
    struct why why = {""};
    int code = EXIT_FAILED;
    if (!a->file) {
        return command_misuse(a->word, "name the file to write; - is standard output");
    }
    struct export *x = calloc(1, sizeof *x);
    if (!x) {
        return buffer_failed(a->word, ERR_NOMEM, &why);
    }
    x->a = a;
    struct tool_source *source = buffer_source(a, false, &code);
    if (!source) {
        export_close(x);
        return code;
    }
    progress_init(&x->progress, a->word, is_stdout(x) && isatty(STDOUT_FILENO));
    enum err e = export_open(x, &why);
    e = e ? e : tool_source_run(source, &a->request, export_frame, x, &why);
    e = e ? e : file_begin(x, &why); /* one without events is a container, too */
    e = e ? e : put_block(x, &why);
    struct why ignored;
    enum err finished = out_file_finish(&x->file, e == ERR_OK, e ? &ignored : &why);
    e = e ? e : finished;
    progress_end(&x->progress);
    tool_source_close(source);
    if (!e) {
        tell(x);
    }
    code = e ? buffer_failed(a->word, e, &why) : x->progress.has_bad ? EXIT_NEGATIVE : EXIT_FINE;
    export_close(x);
    return code;
}
