/* weir avro encode|decode|cat. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/map.h"
#include "ports/file.h"
#include "uplink/avro/container.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/resolve.h"

#define INPUT_SIZE_MAX (64 * 1024 * 1024)
#define OUTPUT_SIZE_FIRST ((size_t)64 * 1024)
#define OUTPUT_SIZE_MAX (8 * (size_t)INPUT_SIZE_MAX)

enum err command_read_input(const char *path, struct slice *ret, struct why *why)
{
    if (strcmp(path, "-") != 0) {
        return file_read(path, INPUT_SIZE_MAX, ret, why);
    }
    uint8_t *data = NULL;
    size_t size = 0;
    for (size_t room = 65536; room <= INPUT_SIZE_MAX; room *= 2) {
        uint8_t *grown = realloc(data, room);
        if (!grown) {
            free(data);
            return ERR_NOMEM;
        }
        data = grown;
        size += fread(data + size, 1, room - size, stdin);
        if (size < room) {
            *ret = (struct slice){data, size};
            return ERR_OK;
        }
    }
    free(data);
    why_set(why, "standard input has more than %d bytes", INPUT_SIZE_MAX);
    return ERR_REJECTED;
}

void command_free_input(struct slice input)
{
    free((void *)(uintptr_t)input.data);
}

int command_complain(const char *path, enum err e, const struct why *why)
{
    fprintf(stderr, "%s: %s\n", path, why->text[0] ? why->text : err_name(e));
    return e == ERR_NOMEM || e == ERR_IO ? EXIT_FAILED : EXIT_USAGE;
}

enum err command_read_schema(const char *path, struct avro_schema **ret, struct why *why)
{
    struct slice text = {NULL, 0};
    enum err e = command_read_input(path, &text, why);
    e = e ? e : avro_schema_parse(ret, text, why);
    command_free_input(text);
    return e;
}

struct avro_work {
    const struct avro_schema *schema;
    struct mapper *mapper;          /* of "encode --plain" */
    struct avro_resolver *resolver; /* of "--reader"; then `schema` is the reader's */
    struct slice input;             /* decoding takes off what it has read */
    struct out out;
    struct out resolved; /* the reader's datum */
};

/* Runs with ever more memory until the result fits; `out` keeps its memory. */
static enum err grow(enum err (*work)(struct avro_work *w, struct why *why), struct avro_work *w,
                     struct why *why)
{
    size_t room = w->out.size_max ? w->out.size_max : OUTPUT_SIZE_FIRST;
    for (; room <= OUTPUT_SIZE_MAX; room *= 4) {
        if (room != w->out.size_max) {
            free(w->out.data);
            w->out = out_over(malloc(room), room);
        }
        if (!w->out.data) {
            w->out.size_max = 0;
            return ERR_NOMEM;
        }
        w->out.size = 0;
        w->out.overflow = false;
        enum err e = work(w, why);
        if (!w->out.overflow) {
            return e;
        }
    }
    why_set(why, "the result is too large");
    return ERR_REJECTED;
}

static enum err encode_work(struct avro_work *w, struct why *why)
{
    return avro_encode_json(w->schema, w->input, &w->out, why);
}

static enum err plain_work(struct avro_work *w, struct why *why)
{
    struct map_result result;
    struct map_task task = {.record = avro_schema_root(w->schema),
                            .body_kind = BODY_JSON,
                            .body = w->input,
                            .unknown_is_refused = false};
    return map_run(w->mapper, &task, &w->out, &result, why);
}

static enum err decode_work(struct avro_work *w, struct why *why)
{
    struct slice data = w->input;
    enum err e = avro_decode_json(avro_schema_root(w->schema), &data, &w->out, why);
    out_put_byte(&w->out, '\n');
    if (!e && !w->out.overflow) {
        w->input = data;
    }
    return e;
}

static enum err resolve_work(struct avro_work *w, struct why *why)
{
    return avro_resolve(w->resolver, &w->input, &w->out, why);
}

/* One datum as a line in w->out. */
static enum err decode_line(struct avro_work *w, struct why *why)
{
    if (!w->resolver) {
        return grow(decode_work, w, why);
    }
    struct avro_work first = {.resolver = w->resolver, .input = w->input, .out = w->resolved};
    enum err e = grow(resolve_work, &first, why);
    w->resolved = first.out;
    if (!e) {
        w->input = out_slice(&first.out);
        e = grow(decode_work, w, why);
    }
    if (!e) {
        w->input = first.input;
    }
    return e;
}

static enum err decode_one(struct avro_work *w, struct why *why)
{
    size_t size = w->input.size;
    enum err e = decode_line(w, why);
    if (!e && w->input.size > 0) {
        why_set(why, "byte %zu: %zu bytes are left over behind the datum", size - w->input.size,
                w->input.size);
        e = ERR_CORRUPT;
    }
    return e;
}

static enum err encode_plain(struct avro_work *w, struct why *why)
{
    const struct avro_node *root = avro_schema_root(w->schema);
    if (root->kind != AVRO_RECORD || root->field_count > MAP_FIELD_MAX) {
        why_set(why, "--plain wants a schema of a record with at most %d fields", MAP_FIELD_MAX);
        return ERR_CONFIG;
    }
    enum err e = mapper_open(&w->mapper);
    e = e ? e : grow(plain_work, w, why);
    mapper_close(w->mapper);
    return e;
}

static enum err encode_one(struct avro_work *w, struct why *why)
{
    return grow(encode_work, w, why);
}

/* What all three verbs take. */
struct words {
    const char *schema;
    const char *input;
    const char *reader; /* NULL: as it was written */
    bool plain;
};

/* Reads the reader's schema, if one was given, and makes it that of the work. */
static enum err read_reader(const char *path, struct avro_schema **ret, struct avro_work *w,
                            struct why *why)
{
    if (!path) {
        return ERR_OK;
    }
    enum err e = command_read_schema(path, ret, why);
    e = e ? e : avro_resolver_open(&w->resolver, w->schema, *ret, why);
    w->schema = e ? w->schema : *ret;
    return e;
}

static int convert(const struct words *words, enum err (*work)(struct avro_work *, struct why *))
{
    struct why why = {""};
    struct avro_work w = {.schema = NULL};
    struct avro_schema *schema = NULL;
    struct avro_schema *reader = NULL;
    struct slice input = {NULL, 0};
    const char *at = words->schema; /* what an error is about */
    enum err e = command_read_schema(at, &schema, &why);
    if (!e) {
        w.schema = schema;
        at = words->reader ? words->reader : at;
        e = read_reader(words->reader, &reader, &w, &why);
    }
    if (!e) {
        at = words->input;
        e = command_read_input(at, &input, &why);
        w.input = input;
        e = e ? e : work(&w, &why);
    }
    if (!e) {
        fwrite(w.out.data, 1, w.out.size, stdout);
    }
    free(w.out.data);
    free(w.resolved.data);
    command_free_input(input);
    avro_resolver_close(w.resolver);
    avro_schema_close(reader);
    avro_schema_close(schema);
    return e ? command_complain(at, e, &why) : command_finish();
}

struct opened_file {
    FILE *file;
    int number; /* errno; 0: fine */
};

static enum err read_file(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    struct opened_file *opened = context;
    *ret_size = fread(data, 1, size, opened->file);
    opened->number = ferror(opened->file) ? errno : 0;
    return opened->number ? ERR_IO : ERR_OK;
}

/* The records of a block, one a line. */
static enum err print_block(struct avro_work *w, uint64_t count, struct slice raw, struct why *why)
{
    w->input = raw;
    for (uint64_t i = 0; i < count; i++) {
        enum err e = decode_line(w, why);
        if (e) {
            why_add(why, "record %llu of a block", (unsigned long long)i);
            return e;
        }
        fwrite(w->out.data, 1, w->out.size, stdout);
    }
    if (w->input.size > 0) {
        why_set(why, "a block has %zu bytes more than its records", w->input.size);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static int cat(const char *path, const char *reader_path)
{
    struct why why = {""};
    struct container_reader *reader = NULL;
    struct avro_schema *schema = NULL;
    struct avro_work w = {.schema = NULL};
    struct opened_file opened = {.file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb")};
    if (!opened.file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    enum err e = container_reader_open(&reader, read_file, &opened, &why);
    w.schema = e ? NULL : container_schema(reader);
    if (!e) {
        e = read_reader(reader_path, &schema, &w, &why);
        why_add(&why, "%s", e ? reader_path : "");
    }
    while (!e) {
        uint64_t count;
        struct slice raw;
        e = container_block(reader, &count, &raw, &why);
        e = e ? e : print_block(&w, count, raw, &why);
    }
    if (opened.number) {
        why_set(&why, "can't be read: %s", strerror(opened.number));
    }
    avro_resolver_close(w.resolver);
    avro_schema_close(schema);
    container_reader_close(reader);
    free(w.out.data);
    free(w.resolved.data);
    if (opened.file != stdin) {
        fclose(opened.file);
    }
    int code = command_finish();
    return e != ERR_CLOSED ? command_complain(path, e, &why) : code;
}

/* The good records of all the files; the worst exit code. */
static int cat_all(int count, char **paths, const char *reader)
{
    int worst = EXIT_FINE;
    for (int i = 0; i < count; i++) {
        int code = cat(paths[i], reader);
        worst = code > worst ? code : worst;
    }
    return worst;
}

/* Takes the options out of the words behind the verb; how many others are left. */
static int take_options(int argc, char **argv, struct words *words)
{
    int count = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--plain") == 0 && !words->plain) {
            words->plain = true;
        } else if (strcmp(argv[i], "--reader") == 0 && i + 1 < argc && !words->reader) {
            words->reader = argv[++i];
        } else {
            argv[count++] = argv[i];
        }
    }
    words->schema = count > 0 ? argv[0] : NULL;
    words->input = count > 1 ? argv[1] : NULL;
    return count;
}

int avro_command(int argc, char **argv)
{
    struct words words = {.schema = NULL};
    const char *verb = argc > 0 ? argv[0] : "";
    int count = argc > 1 ? take_options(argc - 1, argv + 1, &words) : 0;
    if (strcmp(verb, "encode") == 0 && count == 2 && !words.reader) {
        return convert(&words, words.plain ? encode_plain : encode_one);
    }
    if (strcmp(verb, "decode") == 0 && count == 2 && !words.plain) {
        return convert(&words, decode_one);
    }
    if (strcmp(verb, "cat") == 0 && count > 0 && !words.plain) {
        return cat_all(count, argv + 1, words.reader);
    }
    return command_misuse("avro", "usage: weir avro encode SCHEMA JSON [--plain] | decode SCHEMA "
                                  "BIN [--reader SCHEMA] | cat FILE... [--reader SCHEMA]   "
                                  "(\"-\" is standard input)");
}
