/* A line that `weir buffer export --format ndjson` wrote, taken apart. */
#include "agent/import_file.h"
#include "ports/lib/json.h"

#define KEY_MAX 512 /* ours are short, and only names of the outermost members are read */

static struct slice *member_of(struct import_line *line, struct slice key)
{
    const struct {
        const char *name;
        struct slice *member;
    } members[] = {{"stream", &line->stream}, {"sequence", &line->sequence},
                   {"time", &line->time},     {"trust", &line->trust},
                   {"schema", &line->schema}, {"event", &line->event}};
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        if (slice_equal_text(key, members[i].name)) {
            return members[i].member;
        }
    }
    return NULL;
}

enum err import_line_take(struct slice line, bool *ret_is_ours, struct import_line *ret,
                          struct why *why)
{
    struct json_reader reader;
    struct json_token token;
    struct import_line found = {.stream = {NULL, 0}};
    uint8_t memory[KEY_MAX];
    struct slice key;
    struct slice value;
    json_init(&reader, line);
    enum err e = json_next(&reader, &token);
    if (!e && token.kind != JSON_OBJECT_BEGIN) {
        why_set(why, "it is not an object");
        return ERR_CORRUPT;
    }
    while (!e) {
        struct out scratch = out_over(memory, sizeof memory);
        e = json_member(&reader, &scratch, &key, &value);
        struct slice *member = e ? NULL : member_of(&found, key);
        if (member) {
            *member = value;
        }
    }
    if (e != ERR_CLOSED) {
        why_set(why, "%s", e == ERR_FULL ? "the name of a member is too long" : reader.why.text);
        return e == ERR_NOMEM ? e : ERR_CORRUPT;
    }
    if (json_end(&reader) != line.size) {
        why_set(why, "something stands behind the object");
        return ERR_CORRUPT;
    }
    *ret_is_ours = found.sequence.data && found.stream.data && found.event.data;
    *ret = *ret_is_ours ? found : (struct import_line){.stream = {NULL, 0}};
    return ERR_OK;
}
