/* For compat_test.py: each line of standard input has two schemas, READER TAB WRITER; answers with
 * a line of findings, "KIND LOCATION" with semicolons between, "compatible", "no answer", or
 * "invalid" when one is no schema. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/avro/compat.h"

#define LOCATION_SIZE_MAX 65536

static void print_findings(const struct avro_compat *compat)
{
    static uint8_t location[LOCATION_SIZE_MAX];
    for (uint32_t i = 0; i < avro_compat_count(compat); i++) {
        const struct avro_finding *f = avro_compat_finding(compat, i);
        struct out o = out_over(location, sizeof location);
        avro_finding_put_location(f, &o);
        printf("%s%s %.*s", i == 0 ? "" : ";", avro_finding_kind_name(f->kind), (int)o.size,
               (const char *)o.data);
    }
    puts(avro_compat_count(compat) == 0 ? "compatible" : avro_compat_is_cut(compat) ? ";..." : "");
}

/* Who reads must not matter, nor how it is asked: by types and by mode. */
static enum err ask(struct avro_compat **ret, const struct avro_schema *reader,
                    const struct avro_schema *writer, unsigned long line)
{
    struct why why = {""};
    switch (line % 3) {
    case 0:
        return avro_compat_open_types(ret, avro_schema_root(reader), avro_schema_root(writer),
                                      &why);
    case 1:
        return avro_compat_open(ret, reader, &writer, 1, AVRO_MODE_BACKWARD, &why);
    default:
        return avro_compat_open(ret, writer, &reader, 1, AVRO_MODE_FORWARD_TRANSITIVE, &why);
    }
}

static void answer(struct slice reader_text, struct slice writer_text, unsigned long line)
{
    struct avro_schema *reader = NULL;
    struct avro_schema *writer = NULL;
    struct avro_compat *compat = NULL;
    struct why why = {""};
    if (avro_schema_parse(&reader, reader_text, &why) ||
        avro_schema_parse(&writer, writer_text, &why)) {
        printf("invalid %s\n", why.text);
    } else if (ask(&compat, reader, writer, line)) {
        puts("no answer");
    } else {
        print_findings(compat);
    }
    avro_compat_close(compat);
    avro_schema_close(writer);
    avro_schema_close(reader);
}

int main(void)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    for (unsigned long line = 0; (size = getline(&text, &room, stdin)) > 0; line++) {
        char *tab = memchr(text, '\t', (size_t)size);
        if (!tab) {
            fprintf(stderr, "line %lu has no tab\n", line + 1);
            return 2;
        }
        struct slice reader = {(const uint8_t *)text, (size_t)(tab - text)};
        struct slice writer = {(const uint8_t *)tab + 1, (size_t)(text + size - tab) - 1};
        writer.size -= writer.size > 0 && writer.data[writer.size - 1] == '\n';
        answer(reader, writer, line);
    }
    free(text);
    return 0;
}
