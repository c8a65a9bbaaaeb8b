/* weir schema canonical|fingerprint, and the way to the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/schema_impl.h"
#include "ports/lib/hash.h"

bool schema_line_open(struct out *ret)
{
    *ret = out_over(malloc(SCHEMA_LINE_SIZE_MAX), SCHEMA_LINE_SIZE_MAX);
    if (!ret->data) {
        fprintf(stderr, "weir schema: no memory\n");
        return false;
    }
    return true;
}

void schema_line_print(struct out *line)
{
    fwrite(line->data, 1, line->size, stdout);
    puts(line->overflow ? "..." : "");
    line->size = 0;
    line->overflow = false;
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

static int canonical_command(const char *path, bool canonical_only)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    enum err e = command_read_schema(path, &schema, &why);
    if (e) {
        return command_complain(path, e, &why);
    }
    size_t room = AVRO_SCHEMA_SIZE_MAX * 4; /* full names may be longer than what was written */
    struct out canonical = out_over(malloc(room), room);
    if (canonical.data) {
        avro_canonical(schema, &canonical);
    }
    avro_schema_close(schema);
    if (!canonical.data || canonical.overflow) {
        free(canonical.data);
        fprintf(stderr, "%s: the canonical form is too large\n", path);
        return EXIT_FAILED;
    }
    if (canonical_only) {
        fwrite(canonical.data, 1, canonical.size, stdout);
        putchar('\n');
    } else {
        printf("CRC-64-AVRO %016llx\n", (unsigned long long)avro_crc64(out_slice(&canonical)));
        print_hash("MD5", HASH_MD5, out_slice(&canonical));
        print_hash("SHA-256", HASH_SHA256, out_slice(&canonical));
    }
    free(canonical.data);
    return command_finish();
}

int schema_command(int argc, char **argv)
{
    const char *word = argc > 0 ? argv[0] : "";
    if (argc == 2 && (strcmp(word, "canonical") == 0 || strcmp(word, "fingerprint") == 0)) {
        return canonical_command(argv[1], word[0] == 'c');
    }
    if (strcmp(word, "check") == 0) {
        return schema_check_command(argc - 1, argv + 1);
    }
    if (strcmp(word, "show") == 0) {
        return schema_show_command(argc - 1, argv + 1);
    }
    if (strcmp(word, "diff") == 0) {
        return schema_diff_command(argc - 1, argv + 1);
    }
    if (strcmp(word, "register") == 0) {
        return schema_register_command(argc - 1, argv + 1);
    }
    if (strcmp(word, "infer") == 0) {
        return schema_infer_command(argc - 1, argv + 1);
    }
    return command_misuse("schema", "usage: weir " SCHEMA_USAGE);
}
