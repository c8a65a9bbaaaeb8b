/* weir buffer export: stored events as lines of JSON, or as Avro container files that every reader
 * opens. A file has its name when it is whole: until then it is NAME.part. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/buffer_impl.h"
#include "ports/file.h"
#include "ports/random.h"
#include "uplink/avro/container.h"

#define PATH_SIZE 4200
#define RAW_MAX (EVENT_SIZE_LIMIT + 128 * 1024)
#define PACKED_MAX (RAW_MAX + RAW_MAX / 8 + 64 * 1024)

struct export
{
    const struct buffer_arguments *a;
    struct progress progress;
    struct event_lines *lines; /* NDJSON; NULL: Avro */
    FILE *file;
    char path[PATH_SIZE]; /* "": standard output */
    char part[PATH_SIZE + 8];
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

/* --- files --- */

static enum err failed_on(const char *path, struct why *why)
{
    int number = errno;
    why_set(why, "can't write %s: %s", path[0] ? path : "standard output", strerror(number));
    return err_of_errno(number) == ERR_CLOSED ? ERR_IO : err_of_errno(number);
}

static enum err file_begin(struct export *x, const char *path, struct why *why)
{
    (void)snprintf(x->path, sizeof x->path, "%s", path); /* checked by open */
    if (!path[0]) {
        x->file = stdout;
        return ERR_OK;
    }
    (void)snprintf(x->part, sizeof x->part, "%s.part", path); /* fits */
    int fd = open(x->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    x->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!x->file) {
        enum err e = failed_on(x->part, why);
        if (fd >= 0) {
            close(fd);
        }
        return e;
    }
    x->files++;
    return ERR_OK;
}

/* `good`: it gets its name; else what is there goes. */
static enum err file_finish(struct export *x, bool good, struct why *why)
{
    FILE *file = x->file;
    x->file = NULL;
    if (!file) {
        return ERR_OK;
    }
    bool written = fflush(file) == 0 && !ferror(file);
    if (file == stdout) {
        return written ? ERR_OK : failed_on("", why);
    }
    written = written && fsync(fileno(file)) == 0;
    enum err e = written ? ERR_OK : failed_on(x->part, why);
    if (fclose(file) != 0 && !e) {
        e = failed_on(x->part, why);
    }
    if (e || !good) {
        (void)unlink(x->part); /* nothing of it is of use */
        return e;
    }
    if (rename(x->part, x->path) != 0) {
        return failed_on(x->path, why);
    }
    return file_sync_folder(x->path, why);
}

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
    enum err e = file_finish(x, true, why);
    if (e) {
        return e;
    }
    x->versions++;
    if (x->is_folder) {
        name_in_folder(x, path);
    } else if (x->a->out && strcmp(x->a->out, "-") != 0) {
        (void)snprintf(path, sizeof path, "%s", x->a->out); /* checked by open */
    }
    e = file_begin(x, path, why);
    if (e) {
        return e;
    }
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
    return fwrite(x->packed.data, 1, x->packed.size, x->file) == x->packed.size
               ? ERR_OK
               : failed_on(x->part, why);
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
    if (!e && fwrite(x->packed.data, 1, x->packed.size, x->file) != x->packed.size) {
        e = failed_on(x->part, why);
    }
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
        return e == ERR_CLOSED ? failed_on(x->part, why) : e; /* it could not be written */
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
        enum err e = file_begin(x, out, why);
        return e ? e : event_lines_open(&x->lines, x->file);
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
    if (!e && !x->lines && !x->file && x->events == 0 && !x->is_folder) {
        why_set(&why, "there are no such events");
        e = ERR_REJECTED;
    }
    struct why ignored;
    enum err finished = file_finish(x, e == ERR_OK, e ? &ignored : &why);
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
