/* Writes a container file from lines in Avro's JSON encoding, for the readers of others.
 * usage: container_write SCHEMA LINES CODEC FILE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/file.h"
#include "uplink/avro/container.h"
#include "uplink/avro/encode.h"

#define INPUT_SIZE_MAX ((size_t)64 * 1024 * 1024)
#define BLOCK_RECORDS 100

static const uint8_t sync_marker[CONTAINER_SYNC_SIZE] = "0123456789abcdef";

static int fail(const char *what, const struct why *why)
{
    fprintf(stderr, "%s: %s\n", what, why->text);
    return 1;
}

static enum container_codec codec_of(const char *name)
{
    for (int codec = CONTAINER_NULL; codec <= CONTAINER_ZSTANDARD; codec++) {
        if (strcmp(name, container_codec_name((enum container_codec)codec)) == 0) {
            return (enum container_codec)codec;
        }
    }
    fprintf(stderr, "no codec %s\n", name);
    exit(2);
}

struct writer {
    struct container_packer *packer;
    struct out raw; /* of the open block */
    uint64_t count;
    struct out file;
};

static enum err put_block(struct writer *w)
{
    enum err e = w->count == 0 ? ERR_OK
                               : container_put_block(w->packer, w->count, out_slice(&w->raw),
                                                     sync_marker, &w->file);
    w->raw.size = 0;
    w->count = 0;
    return e;
}

static enum err put_lines(struct writer *w, const struct avro_schema *schema, struct slice lines,
                          struct why *why)
{
    enum err e = ERR_OK;
    while (!e && lines.size > 0) {
        const uint8_t *end = memchr(lines.data, '\n', lines.size);
        struct slice line = {lines.data, end ? (size_t)(end - lines.data) : lines.size};
        lines.data += line.size + (end != NULL);
        lines.size -= line.size + (end != NULL);
        e = avro_encode_json(schema, line, &w->raw, why);
        w->count++;
        if (!e && w->count == BLOCK_RECORDS) {
            e = put_block(w);
        }
    }
    return e ? e : put_block(w);
}

int main(int argc, char **argv)
{
    struct why why = {""};
    struct slice text;
    struct slice lines;
    struct avro_schema *schema = NULL;
    if (argc != 5) {
        fprintf(stderr, "usage: container_write SCHEMA LINES CODEC FILE\n");
        return 2;
    }
    if (file_read(argv[1], AVRO_SCHEMA_SIZE_MAX, &text, &why) ||
        file_read(argv[2], INPUT_SIZE_MAX, &lines, &why)) {
        return fail("reading", &why);
    }
    if (avro_schema_parse(&schema, text, &why)) {
        return fail(argv[1], &why);
    }
    struct writer w = {.raw = out_over(malloc(INPUT_SIZE_MAX), INPUT_SIZE_MAX),
                       .file = out_over(malloc(INPUT_SIZE_MAX), INPUT_SIZE_MAX)};
    container_put_header(&w.file, avro_schema_text(schema), codec_of(argv[3]), NULL, 0,
                         sync_marker);
    if (container_packer_open(&w.packer, codec_of(argv[3]), 0) ||
        put_lines(&w, schema, lines, &why) ||
        file_replace(argv[4], out_slice(&w.file), 0644, &why)) {
        return fail(argv[2], &why);
    }
    container_packer_close(w.packer);
    avro_schema_close(schema);
    free(w.raw.data);
    free(w.file.data);
    free((void *)(uintptr_t)text.data);
    free((void *)(uintptr_t)lines.data);
    return 0;
}
