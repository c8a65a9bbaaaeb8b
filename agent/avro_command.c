/* weir avro encode|decode|cat, weir schema canonical|fingerprint. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "ports/file.h"
#include "ports/lib/hash.h"
#include "uplink/avro/container.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"

#define INPUT_SIZE_MAX (64 * 1024 * 1024)

/* A file, or standard input for "-". The caller frees ret->data. */
static enum err read_input(const char *path, struct slice *ret, struct why *why)
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

static void free_input(struct slice input)
{
    free((void *)(uintptr_t)input.data);
}

static int complain(const char *path, const struct why *why)
{
    fprintf(stderr, "%s: %s\n", path, why->text);
    return EXIT_USAGE;
}

static enum err read_schema(const char *path, struct avro_schema **ret, struct why *why)
{
    struct slice text = {NULL, 0};
    enum err e = read_input(path, &text, why);
    e = e ? e : avro_schema_parse(ret, text, why);
    free_input(text);
    return e;
}

/* Runs with ever more memory until the result fits. */
static enum err grow(enum err (*work)(void *context, struct out *out, struct why *why),
                     void *context, struct out *ret, struct why *why)
{
    for (size_t room = 64 * 1024; room <= 8 * (size_t)INPUT_SIZE_MAX; room *= 4) {
        *ret = out_over(malloc(room), room);
        if (!ret->data) {
            return ERR_NOMEM;
        }
        enum err e = work(context, ret, why);
        if (!ret->overflow && e != ERR_FULL) {
            return e;
        }
        free(ret->data);
        ret->data = NULL;
    }
    why_set(why, "the result is too large");
    return ERR_REJECTED;
}

struct avro_work {
    const struct avro_schema *schema;
    struct slice input;
};

static enum err encode_work(void *context, struct out *out, struct why *why)
{
    const struct avro_work *w = context;
    return avro_encode_json(w->schema, w->input, out, why);
}

static enum err decode_work(void *context, struct out *out, struct why *why)
{
    const struct avro_work *w = context;
    struct slice data = w->input;
    enum err e = avro_decode_json(avro_schema_root(w->schema), &data, out, why);
    if (!e && data.size > 0) {
        why_set(why, "byte %zu: %zu bytes are left over behind the datum",
                w->input.size - data.size, data.size);
        return ERR_CORRUPT;
    }
    out_put_byte(out, '\n');
    return e;
}

static int convert(const char *schema_path, const char *path,
                   enum err (*work)(void *, struct out *, struct why *))
{
    struct why why = {""};
    struct avro_work w = {NULL, {NULL, 0}};
    struct avro_schema *schema = NULL;
    struct out out = {0};
    if (read_schema(schema_path, &schema, &why)) {
        return complain(schema_path, &why);
    }
    w.schema = schema;
    enum err e = read_input(path, &w.input, &why);
    e = e ? e : grow(work, &w, &out, &why);
    if (!e) {
        fwrite(out.data, 1, out.size, stdout);
    }
    free(out.data);
    free_input(w.input);
    avro_schema_close(schema);
    return e ? complain(path, &why) : EXIT_FINE;
}

static enum err read_file(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    FILE *file = context;
    *ret_size = fread(data, 1, size, file);
    return ferror(file) ? ERR_IO : ERR_OK;
}

static enum err print_block(const struct avro_node *root, uint64_t count, struct slice raw,
                            struct why *why)
{
    for (uint64_t i = 0; i < count; i++) {
        struct avro_work w = {NULL, raw};
        struct out line = {0};
        size_t room = raw.size * 12 + 65536;
        line = out_over(malloc(room), room);
        if (!line.data) {
            return ERR_NOMEM;
        }
        enum err e = avro_decode_json(root, &w.input, &line, why);
        if (!e) {
            fwrite(line.data, 1, line.size, stdout);
            putchar('\n');
        }
        free(line.data);
        raw = w.input;
        if (e) {
            return e;
        }
    }
    if (raw.size > 0) {
        why_set(why, "a block has %zu bytes more than its records", raw.size);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static int cat(const char *path)
{
    struct why why = {""};
    struct container_reader *reader = NULL;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: no such file, or not allowed\n", path);
        return EXIT_USAGE;
    }
    enum err e = container_reader_open(&reader, read_file, file, &why);
    while (!e) {
        uint64_t count;
        struct slice raw;
        e = container_block(reader, &count, &raw, &why);
        e = e ? e : print_block(avro_schema_root(container_schema(reader)), count, raw, &why);
    }
    container_reader_close(reader);
    if (file != stdin) {
        fclose(file);
    }
    return e == ERR_CLOSED ? EXIT_FINE : complain(path, &why);
}

int avro_command(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[0], "encode") == 0) {
        return convert(argv[1], argv[2], encode_work);
    }
    if (argc == 3 && strcmp(argv[0], "decode") == 0) {
        return convert(argv[1], argv[2], decode_work);
    }
    if (argc == 2 && strcmp(argv[0], "cat") == 0) {
        return cat(argv[1]);
    }
    return command_misuse("avro", "usage: weir avro encode SCHEMA JSON | decode SCHEMA BIN | cat "
                                  "FILE   (\"-\" is standard input)");
}

static void print_hash(const char *name, enum hash_kind kind, struct slice canonical)
{
    uint8_t digest[HASH_SIZE_MAX];
    uint8_t text[2 * HASH_SIZE_MAX];
    struct out o = out_over(text, sizeof text);
    hash_of(kind, canonical, digest);
    hash_put_hex(&o, (struct slice){digest, hash_size(kind)});
    printf("%s %.*s\n", name, (int)o.size, (const char *)o.data);
}

int schema_command(int argc, char **argv)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    bool canonical_only = argc == 2 && strcmp(argv[0], "canonical") == 0;
    if (!canonical_only && (argc != 2 || strcmp(argv[0], "fingerprint") != 0)) {
        return command_misuse("schema", "usage: weir schema canonical FILE | fingerprint FILE");
    }
    if (read_schema(argv[1], &schema, &why)) {
        return complain(argv[1], &why);
    }
    size_t room = AVRO_SCHEMA_SIZE_MAX * 4; /* full names may be longer than what was written */
    struct out canonical = out_over(malloc(room), room);
    if (canonical.data) {
        avro_canonical(schema, &canonical);
    }
    avro_schema_close(schema);
    if (!canonical.data || canonical.overflow) {
        free(canonical.data);
        fprintf(stderr, "%s: the canonical form is too large\n", argv[1]);
        return EXIT_FAILED;
    }
    if (canonical_only) {
        printf("%.*s\n", (int)canonical.size, (const char *)canonical.data);
    } else {
        printf("CRC-64-AVRO %016llx\n", (unsigned long long)avro_crc64(out_slice(&canonical)));
        print_hash("MD5", HASH_MD5, out_slice(&canonical));
        print_hash("SHA-256", HASH_SHA256, out_slice(&canonical));
    }
    free(canonical.data);
    return EXIT_FINE;
}
