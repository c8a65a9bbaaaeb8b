/* Set-aside events, listed and printed. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/aside_head.h"
#include "agent/aside_impl.h"
#include "ports/clock.h"
#include "ports/lib/hash.h"
#include "uplink/avro/decode.h"

/* --- what the words share --- */

enum err aside_open(struct aside_line *ret, struct slice payload, struct why *why)
{
    if (!tool_aside_take(payload, &ret->aside)) {
        why_set(why, "an answer that can't be read: are agent and command of one version?");
        return ERR_CORRUPT;
    }
    ret->has_head = aside_head_take(ret->aside.head, &ret->head, ret->fields);
    ret->is_cut = ret->aside.body.size < ret->aside.size;
    return ERR_OK;
}

enum err aside_schema_take(struct aside_schema *schema, struct slice payload)
{
    uint64_t number;
    struct slice stream;
    struct slice text;
    if (!slice_take_uvarint(&payload, &number) || !frame_take_text(&payload, &stream) ||
        !frame_take_text(&payload, &text)) {
        return ERR_CORRUPT;
    }
    avro_schema_close(schema->schema);
    schema->schema = NULL;
    schema->text.size = 0;
    schema->text.overflow = false;
    out_put_slice(&schema->text, text);
    enum err e = schema->text.overflow ? ERR_FULL : avro_schema_parse(&schema->schema, text, NULL);
    if (e) {
        schema->schema = NULL;
    }
    return e == ERR_NOMEM ? e : ERR_OK; /* what it can't read is shown as it is */
}

enum err aside_schema_open(struct aside_schema *ret)
{
    *ret =
        (struct aside_schema){.text = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX)};
    return ret->text.data ? ERR_OK : ERR_NOMEM;
}

void aside_schema_release(struct aside_schema *schema)
{
    avro_schema_close(schema->schema);
    free(schema->text.data);
}

static void put_text_or_hex(struct out *o, bool is_text, struct slice bytes)
{
    if (is_text) {
        out_put_json(o, bytes);
    } else {
        out_put_byte(o, '"');
        hash_put_hex(o, bytes);
        out_put_byte(o, '"');
    }
}

static void put_value(struct out *o, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
        out_put_text(o, "null");
        break;
    case VALUE_BOOL:
        out_put_text(o, v->as.boolean ? "true" : "false");
        break;
    case VALUE_INT:
        out_put_format(o, "%" PRId64, v->as.integer);
        break;
    case VALUE_DOUBLE: {
        bool is_finite = v->as.real - v->as.real == 0; /* NaN and the infinities are no JSON */
        out_put_format(o, is_finite ? "%.17g" : "\"%g\"", v->as.real);
        break;
    }
    case VALUE_NUMBER:
        out_put_slice(o, v->as.text);
        break;
    case VALUE_TEXT:
    case VALUE_BYTES:
        put_text_or_hex(o, slice_is_utf8(v->as.text), v->as.text);
        break;
    }
}

void aside_put_fields(struct out *o, const struct aside_head *head)
{
    out_put_byte(o, '{');
    for (size_t i = 0; i < head->field_count; i++) {
        out_put_text(o, i ? "," : "");
        out_put_json(o, head->fields[i].name);
        out_put_byte(o, ':');
        put_value(o, &head->fields[i].value);
    }
    out_put_byte(o, '}');
}

/* --- a line of JSON --- */

static void put_time(struct out *o, const char *name, int64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(time_us, 6, text);
    out_put_format(o, ",\"%s\":\"%s\"", name, text);
}

static void put_member(struct out *o, const char *name, struct slice text)
{
    out_put_format(o, ",\"%s\":", name);
    out_put_json(o, text);
}

/* What the head has. */
static void put_head(struct out *o, const struct aside_line *line)
{
    const struct aside_head *head = &line->head;
    if (head->driver.size > 0) {
        put_member(o, "driver", head->driver);
        put_member(o, "subject", head->subject);
    }
    if (line->aside.event_trust != TOOL_TIME_UNKNOWN) {
        put_time(o, "event_time", line->aside.event_time_us);
    }
    if (head->field_count > 0) {
        out_put_text(o, ",\"fields\":");
        aside_put_fields(o, head);
    }
    out_put_text(o, head->fields_are_lost ? ",\"fields_lost\":true" : "");
}

/* The datum by its schema, where that can be. */
static void put_datum(struct out *o, const struct aside_schema *schema, struct slice datum)
{
    size_t before = o->size;
    struct slice rest = datum;
    out_put_text(o, ",\"event\":");
    if (!schema->schema ||
        avro_decode_json(avro_schema_root(schema->schema), &rest, o, NULL) != ERR_OK ||
        rest.size > 0) {
        o->size = o->overflow ? o->size : before;
    }
}

static void put_line(struct out *o, const struct aside_line *line,
                     const struct aside_schema *schema)
{
    const struct tool_aside *a = &line->aside;
    bool is_datum = a->kind == ASIDE_DATUM;
    bool is_text = !is_datum && slice_is_utf8(a->body);
    o->size = 0;
    o->overflow = false;
    out_put_format(o, "{\"id\":%" PRId64, a->id);
    put_time(o, "time", a->time_us);
    put_member(o, "stream", a->stream);
    out_put_format(o, ",\"kind\":\"%s\",\"sequence\":%" PRIu64, is_datum ? "datum" : "payload",
                   a->sequence);
    put_member(o, "source", a->source);
    put_member(o, "reason", a->reason);
    if (line->has_head) {
        put_head(o, line);
    }
    out_put_format(o, ",\"size\":%" PRIu64 ",\"cut\":%s%s", a->size,
                   line->is_cut ? "true" : "false", a->is_damaged ? ",\"damaged\":true" : "");
    if (is_datum) {
        put_datum(o, schema, a->body);
    }
    out_put_format(o, ",\"body_is\":\"%s\",\"body\":", is_text ? "text" : "hex");
    put_text_or_hex(o, is_text, a->body);
    out_put_text(o, "}\n");
}

/* --- ls, cat --- */

struct printing {
    const struct buffer_arguments *a;
    struct progress progress;
    struct aside_schema schema;
    struct aside_line line;
    struct out text;
    bool is_ls;
    uint64_t count;
    uint64_t cut;
};

/* For a terminal: what comes from outside may have control characters in it. */
static void put_plain(struct out *o, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        out_put_byte(o, text.data[i] < 0x20 || text.data[i] == 0x7f ? ' ' : text.data[i]);
    }
}

static void put_row(struct printing *p)
{
    const struct tool_aside *a = &p->line.aside;
    struct out *o = &p->text;
    char time[CLOCK_TEXT_SIZE];
    clock_format(a->time_us, 0, time);
    o->size = 0;
    o->overflow = false;
    if (p->count == 0) {
        out_put_format(o, "%8s  %-20s  %-16s  %-7s  %9s  %s\n", "ID", "TIME", "STREAM", "KIND",
                       "BYTES", "REASON (SOURCE)");
    }
    out_put_format(o, "%8" PRId64 "  %-20s  %-16.*s  %-7s  %8" PRIu64 "%s  ", a->id, time,
                   a->stream.size ? (int)a->stream.size : 1,
                   a->stream.size ? (const char *)a->stream.data : "-",
                   a->kind == ASIDE_DATUM ? "datum" : "payload", a->size,
                   p->line.is_cut ? "!" : " ");
    put_plain(o, a->reason);
    out_put_text(o, " (");
    put_plain(o, a->source);
    out_put_text(o, ")\n");
}

/* The bytes as they came; typed fields as an object where there was nothing else. */
static void put_bytes(struct printing *p)
{
    struct out *o = &p->text;
    o->size = 0;
    o->overflow = false;
    if (p->line.aside.body.size == 0 && p->line.has_head && p->line.head.field_count > 0) {
        aside_put_fields(o, &p->line.head);
    } else {
        out_put_slice(o, p->line.aside.body);
    }
    out_put_byte(o, '\n');
}

static enum err print_frame(void *context, enum frame_kind kind, struct slice payload,
                            struct why *why)
{
    struct printing *p = context;
    if (progress_frame(&p->progress, kind, payload)) {
        return ERR_OK;
    }
    if (kind != FRAME_ASIDE) {
        return kind == FRAME_SCHEMA ? aside_schema_take(&p->schema, payload) : ERR_OK;
    }
    enum err e = aside_open(&p->line, payload, why);
    if (e) {
        return e;
    }
    if (p->a->json) {
        put_line(&p->text, &p->line, &p->schema);
    } else if (p->is_ls) {
        put_row(p);
    } else {
        put_bytes(p);
    }
    if (p->text.overflow) {
        why_set(why, "set-aside event %" PRId64 " is larger than %d MiB as text", p->line.aside.id,
                BUFFER_LINE_MAX >> 20);
        return ERR_FULL;
    }
    p->count++;
    p->cut += p->line.is_cut;
    p->progress.has_bad = p->progress.has_bad || p->line.aside.is_damaged;
    return fwrite(p->text.data, 1, p->text.size, stdout) == p->text.size ? ERR_OK : ERR_CLOSED;
}

static void printing_close(struct printing *p)
{
    aside_schema_release(&p->schema);
    free(p->text.data);
    free(p);
}

static int print(const struct buffer_arguments *a, bool is_ls)
{
    struct why why = {""};
    int code = EXIT_FAILED;
    struct printing *p = calloc(1, sizeof *p);
    if (!p) {
        return buffer_failed(a->word, ERR_NOMEM, &why);
    }
    p->a = a;
    p->is_ls = is_ls;
    p->text = out_over(malloc(BUFFER_LINE_MAX), BUFFER_LINE_MAX);
    enum err e = aside_schema_open(&p->schema);
    e = e || p->text.data ? e : ERR_NOMEM;
    struct tool_source *source = e ? NULL : buffer_source(a, false, &code);
    if (!source) {
        printing_close(p);
        return e ? buffer_failed(a->word, e, &why) : code;
    }
    progress_init(&p->progress, a->word, isatty(STDOUT_FILENO));
    e = tool_source_run(source, &a->request, print_frame, p, &why);
    progress_end(&p->progress);
    tool_source_close(source);
    code = e && e != ERR_CLOSED ? buffer_failed(a->word, e, &why) : progress_code(&p->progress);
    if (code == EXIT_FINE && p->cut && !a->json) {
        fprintf(stderr, "weir %s: of %" PRIu64 " only the first 64 KiB were kept%s\n", a->word,
                p->cut, is_ls ? " (!)" : "");
    }
    printing_close(p);
    return code;
}

int aside_ls_command(const struct buffer_arguments *a)
{
    return print(a, true);
}

int aside_cat_command(const struct buffer_arguments *a)
{
    return print(a, false);
}
