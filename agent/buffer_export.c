/* weir buffer export: stored events as lines of JSON, or as Avro container files that every reader
 * opens. A file has its name when it is whole: until then it is NAME.part. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/buffer_impl.h"
#include "agent/out_file.h"
#include "ports/random.h"
#include "uplink/avro/container.h"

#define PATH_SIZE OUT_FILE_PATH_SIZE
#define RAW_MAX (EVENT_SIZE_LIMIT + 128 * 1024)
#define PACKED_MAX (RAW_MAX + RAW_MAX / 8 + 64 * 1024)

struct export
{
    const struct buffer_arguments *a;
    struct progress progress;
    struct event_lines *lines; /* NDJSON; NULL: Avro */
    struct out_file file;
    bool is_folder;
    /* Avro */
    enum container_codec codec;
    struct container_packer *packer;
    uint8_t sync[CONTAINER_SYNC_SIZE];
    struct out raw;
    struct out packed;
    char stream[STREAM_NAME_SIZE_MAX];
    unsigned versions; /* files of this stream so far */
    uint64_t files;
    struct out schema; /* of the events that come next; written with the first one */
    bool schema_waits;
    uint64_t events;
    uint64_t timeless;
};

/* --- Avro --- */

/* FOLDER/STREAM.avro, STREAM.2.avro, ...: '/' can't be in a name of a file. */
static void name_in_folder(struct export *x, char ret[PATH_SIZE])
{
    struct out o = out_over(ret, PATH_SIZE - 1);
    out_put_text(&o, x->a->out);
    out_put_byte(&o, '/');
    for (const char *c = x->stream; *c; c++) {
        out_put_byte(&o, *c == '/' ? '_' : (uint8_t)*c);
    }
    if (x->versions > 1) {
        out_put_format(&o, ".%u", x->versions);
    }
    out_put_text(&o, ".avro");
    ret[o.size] = 0;
}

/* A file for the events that come now: the last one's schema is another, or its stream is. */
static enum err container_begin(struct export *x, uint64_t sequence, struct why *why)
{
    char path[PATH_SIZE] = "";
    if (!x->is_folder && x->events > 0) {
        why_set(why,
                "event %" PRIu64 " of stream %s has another schema, and a container has one: give "
                "a folder as --out, or narrow it by --to-seq %" PRIu64,
                sequence, x->stream, sequence - 1);
        return ERR_REJECTED;
    }
    enum err e = out_file_finish(&x->file, true, why);
    if (e) {
        return e;
    }
    x->versions++;
    if (x->is_folder) {
        name_in_folder(x, path);
    } else if (x->a->out && strcmp(x->a->out, "-") != 0) {
        (void)snprintf(path, sizeof path, "%s", x->a->out); /* checked by open */
    }
    e = out_file_begin(&x->file, path, why);
    if (e) {
        return e;
    }
    x->files += path[0] != 0;
    struct container_meta meta[] = {
        {SLICE("weir.stream"), slice_of_text(x->stream)},
    };
    for (size_t i = 0; i < sizeof x->sync; i += 4) {
        uint32_t bits = random_u32();
        memcpy(x->sync + i, &bits, 4);
    }
    x->packed.size = 0;
    x->packed.overflow = false;
    container_put_header(&x->packed, out_slice(&x->schema), x->codec, meta, ARRAY_COUNT(meta),
                         x->sync);
    x->schema_waits = false;
    return out_file_put(&x->file, out_slice(&x->packed), why);
}

static enum err take_schema(struct export *x, struct slice payload, struct why *why)
{
    uint64_t number;
    struct slice stream;
    struct slice text;
    char name[STREAM_NAME_SIZE_MAX];
    if (!slice_take_uvarint(&payload, &number) || !frame_take_text(&payload, &stream) ||
        !frame_take_text(&payload, &text) || !slice_to_text(stream, name, sizeof name)) {
        return ERR_CORRUPT;
    }
    x->versions = strcmp(name, x->stream) == 0 ? x->versions : 0;
    memcpy(x->stream, name, sizeof name);
    x->schema.size = 0;
    x->schema.overflow = false;
    out_put_slice(&x->schema, text);
    x->schema_waits = true;
    if (text.size == 0) {
        why_set(why,
                "schema %" PRIu64 " of stream %s is not known: --format ndjson shows the bytes",
                number, name);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err take_events(struct export *x, struct slice payload, struct why *why)
{
    struct tool_event event;
    uint64_t count = 0;
    enum err e = ERR_OK;
    x->raw.size = 0;
    x->raw.overflow = false;
    while (!e && payload.size > 0) {
        if (!tool_event_take(&payload, &event)) {
            return ERR_CORRUPT;
        }
        if (x->schema_waits) {
            e = container_begin(x, event.sequence, why);
        }
        out_put_slice(&x->raw, event.datum);
        x->timeless += event.trust == TOOL_TIME_UNKNOWN;
        count++;
    }
    if (e || count == 0) {
        return e;
    }
    x->packed.size = 0;
    x->packed.overflow = false;
    e = container_put_block(x->packer, count, out_slice(&x->raw), x->sync, &x->packed);
    e = e ? e : out_file_put(&x->file, out_slice(&x->packed), why);
    x->events += e ? 0 : count;
    return e;
}

static enum err export_frame(void *context, enum frame_kind kind, struct slice payload,
                             struct why *why)
{
    struct export *x = context;
    if (progress_frame(&x->progress, kind, payload)) {
        return ERR_OK;
    }
    if (x->lines) {
        enum err e = event_lines_frame(x->lines, kind, payload, why);
        return e == ERR_CLOSED ? out_file_failed(&x->file, why) : e; /* it could not be written */
    }
    return kind == FRAME_SCHEMA   ? take_schema(x, payload, why)
           : kind == FRAME_EVENTS ? take_events(x, payload, why)
                                  : ERR_OK;
}

/* --- the command --- */

static int check_arguments(struct export *x)
{
    const struct buffer_arguments *a = x->a;
    static const char *const codecs[] = {"null", "deflate", "zstandard"};
    bool is_avro = a->format && strcmp(a->format, "avro") == 0;
    struct stat is;
    size_t codec = CONTAINER_DEFLATE;
    if (!a->format || (!is_avro && strcmp(a->format, "ndjson") != 0)) {
        return command_misuse(a->word, "say --format avro or --format ndjson");
    }
    if (a->codec) {
        for (codec = 0; codec < ARRAY_COUNT(codecs) && strcmp(codecs[codec], a->codec) != 0;) {
            codec++;
        }
        if (!is_avro || codec == ARRAY_COUNT(codecs)) {
            return command_misuse(a->word, "--codec is deflate, null or zstandard, for avro");
        }
    }
    x->codec = (enum container_codec)codec;
    x->is_folder = is_avro && a->out && stat(a->out, &is) == 0 && S_ISDIR(is.st_mode);
    if (is_avro && !x->is_folder && !a->request.stream[0]) {
        return command_misuse(a->word,
                              "a container has events of one stream: say --stream, or give "
                              "a folder that exists as --out");
    }
    return EXIT_FINE;
}

static enum err export_open(struct export *x, struct why *why)
{
    const char *out = x->a->out && strcmp(x->a->out, "-") != 0 ? x->a->out : "";
    if (strcmp(x->a->format, "ndjson") == 0) {
        enum err e = out_file_begin(&x->file, out, why);
        x->files += !e && out[0];
        return e ? e : event_lines_open(&x->lines, x->file.file);
    }
    x->raw = out_over(malloc(RAW_MAX), RAW_MAX);
    x->packed = out_over(malloc(PACKED_MAX), PACKED_MAX);
    x->schema = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX);
    return x->raw.data && x->packed.data && x->schema.data
               ? container_packer_open(&x->packer, x->codec, 0)
               : ERR_NOMEM;
}

static void export_close(struct export *x)
{
    event_lines_close(x->lines);
    container_packer_close(x->packer);
    free(x->raw.data);
    free(x->packed.data);
    free(x->schema.data);
}

/* On stderr, because the events may be on stdout. */
static void tell(const struct export *x, uint64_t events)
{
    if (x->a->json) {
        fprintf(stderr, "{\"events\":%" PRIu64 ",\"files\":%" PRIu64 "}\n", events, x->files);
    } else {
        fprintf(stderr, "%" PRIu64 " events were exported\n", events);
    }
    if (x->timeless) {
        fprintf(stderr,
                "weir %s: the times of %" PRIu64 " events are those since the machine's start: its "
                "clock is not set yet\n",
                x->a->word, x->timeless);
    }
}

int buffer_export_command(const struct buffer_arguments *a)
{
    struct why why = {""};
    struct export *x = calloc(1, sizeof *x);
    if (!x) {
        return buffer_failed(a->word, ERR_NOMEM, &why);
    }
    x->a = a;
    int code = check_arguments(x);
    struct tool_source *source = code ? NULL : buffer_source(a, false, &code);
    if (!source) {
        free(x);
        return code;
    }
    bool is_on_terminal = (!a->out || strcmp(a->out, "-") == 0) && isatty(STDOUT_FILENO);
    progress_init(&x->progress, a->word, is_on_terminal);
    enum err e = export_open(x, &why);
    e = e ? e : tool_source_run(source, &a->request, export_frame, x, &why);
    if (!e && !x->lines && !x->file.file && x->events == 0 && !x->is_folder) {
        why_set(&why, "there are no such events");
        e = ERR_REJECTED;
    }
    struct why ignored;
    enum err finished = out_file_finish(&x->file, e == ERR_OK, e ? &ignored : &why);
    e = e ? e : finished;
    progress_end(&x->progress);
    tool_source_close(source);
    if (!e) {
        tell(x, x->lines ? event_lines_count(x->lines) : x->events);
    }
    code = x->progress.has_bad ? EXIT_NEGATIVE : EXIT_FINE;
    export_close(x);
    free(x);
    return e ? buffer_failed(a->word, e, &why) : code;
}
