/* For differential_test.py: each line of standard input is a task, its words apart by tabs; each
 * gets a line, "ok" TAB answer, or "no" TAB reason.
 *   S SCHEMA                 canonical form, CRC-64-AVRO, MD5, SHA-256
 *   E SCHEMA JSON            the datum as hex digits
 *   R WRITER READER HEX      the datum, as the reader has it, in the JSON encoding */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/hash.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/resolve.h"

#define ROOM ((size_t)4 * 1024 * 1024)
#define WORD_MAX 4

struct peer {
    struct out first; /* a datum */
    struct out second;
    struct out answer;
    struct slice words[WORD_MAX];
    size_t word_count;
};

static void put_hash(struct out *o, enum hash_kind kind, struct slice bytes)
{
    uint8_t digest[HASH_SIZE_MAX];
    hash_of(kind, bytes, digest);
    out_put_byte(o, '\t');
    hash_put_hex(o, (struct slice){digest, hash_size(kind)});
}

static enum err tell_schema(struct peer *p, const struct avro_schema *schema)
{
    avro_canonical(schema, &p->first);
    struct slice canonical = out_slice(&p->first);
    out_put_slice(&p->answer, canonical);
    out_put_format(&p->answer, "\t%016llx", (unsigned long long)avro_crc64(canonical));
    put_hash(&p->answer, HASH_MD5, canonical);
    put_hash(&p->answer, HASH_SHA256, canonical);
    return ERR_OK;
}

static enum err tell_datum(struct peer *p, const struct avro_schema *schema, struct why *why)
{
    enum err e = avro_encode_json(schema, p->words[2], &p->first, why);
    if (!e) {
        hash_put_hex(&p->answer, out_slice(&p->first));
    }
    return e;
}

static unsigned digit_of(uint8_t c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

static enum err tell_resolved(struct peer *p, const struct avro_schema *writer,
                              const struct avro_schema *reader, struct why *why)
{
    struct avro_resolver *resolver = NULL;
    struct slice hex = p->words[3];
    for (size_t i = 0; i + 1 < hex.size; i += 2) {
        out_put_byte(&p->first, (uint8_t)(digit_of(hex.data[i]) << 4 | digit_of(hex.data[i + 1])));
    }
    struct slice datum = out_slice(&p->first);
    enum err e = avro_resolver_open(&resolver, writer, reader, why);
    e = e ? e : avro_resolve(resolver, &datum, &p->second, why);
    if (!e && datum.size > 0) {
        why_set(why, "bytes are left over");
        e = ERR_CORRUPT;
    }
    datum = out_slice(&p->second);
    e = e ? e : avro_decode_json(avro_schema_root(reader), &datum, &p->answer, why);
    avro_resolver_close(resolver);
    return e;
}

static enum err answer(struct peer *p, struct why *why)
{
    struct avro_schema *schema = NULL;
    struct avro_schema *reader = NULL;
    enum err e = avro_schema_parse(&schema, p->words[1], why);
    uint8_t task = p->words[0].data[0];
    if (!e && task == 'S') {
        e = tell_schema(p, schema);
    } else if (!e && task == 'E') {
        e = tell_datum(p, schema, why);
    } else if (!e) {
        e = avro_schema_parse(&reader, p->words[2], why);
        e = e ? e : tell_resolved(p, schema, reader, why);
    }
    avro_schema_close(reader);
    avro_schema_close(schema);
    return e ? e : p->answer.overflow ? ERR_FULL : ERR_OK;
}

static void split(struct peer *p, struct slice line)
{
    p->word_count = 0;
    while (p->word_count < WORD_MAX) {
        const uint8_t *tab = line.size ? memchr(line.data, '\t', line.size) : NULL;
        size_t size = tab ? (size_t)(tab - line.data) : line.size;
        p->words[p->word_count++] = (struct slice){line.data, size};
        if (!tab) {
            break;
        }
        line = (struct slice){tab + 1, line.size - size - 1};
    }
}

static void serve(struct peer *p, struct slice line)
{
    struct why why = {""};
    split(p, line);
    size_t wanted = p->words[0].size != 1 ? 0
                    : line.data[0] == 'S' ? 2
                    : line.data[0] == 'E' ? 3
                                          : 4;
    if (p->word_count != wanted) {
        fprintf(stderr, "not a task: %.*s\n", (int)line.size, (const char *)line.data);
        exit(2);
    }
    p->first.size = p->second.size = p->answer.size = 0;
    enum err e = answer(p, &why);
    if (e) {
        printf("no\t%s: %s\n", err_name(e), why.text);
    } else {
        printf("ok\t%.*s\n", (int)p->answer.size, (const char *)p->answer.data);
    }
}

int main(void)
{
    struct peer p = {.first = out_over(malloc(ROOM), ROOM),
                     .second = out_over(malloc(ROOM), ROOM),
                     .answer = out_over(malloc(ROOM), ROOM)};
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    if (!p.first.data || !p.second.data || !p.answer.data) {
        return 3;
    }
    while ((size = getline(&text, &room, stdin)) > 0) {
        serve(&p, (struct slice){(const uint8_t *)text, (size_t)size - (text[size - 1] == '\n')});
    }
    free(text);
    free(p.first.data);
    free(p.second.data);
    free(p.answer.data);
    return 0;
}
