/* Requests and frames as bytes. */
#include <assert.h>
#include <inttypes.h>

#include "agent/tool.h"
#include "ports/lib/json_tree.h"

static const char *const names[TOOL_KIND_COUNT] = {
    [TOOL_LS] = "ls",
    [TOOL_CAT] = "cat",
    [TOOL_EXPORT] = "export",
    [TOOL_STATS] = "stats",
    [TOOL_VERIFY] = "verify",
    [TOOL_ASIDE] = "aside",
    [TOOL_REPLAY] = "replay",
    [TOOL_DROP] = "drop",
    [TOOL_IMPORT] = "import",
    [TOOL_SALVAGE] = "salvage",
    [TOOL_ASIDE_EXPORT] = "aside-export",
    [TOOL_ASIDE_DROP] = "aside-drop",
    [TOOL_ASIDE_REPLAY] = "aside-replay",
    [TOOL_SCHEMAS] = "schemas",
};

const char *tool_kind_name(enum tool_kind kind)
{
    assert(kind < TOOL_KIND_COUNT);
    return names[kind];
}

bool tool_is_trusted(enum tool_kind kind)
{
    return kind == TOOL_EXPORT || kind == TOOL_REPLAY || kind == TOOL_DROP || kind == TOOL_IMPORT ||
           kind == TOOL_SALVAGE || kind == TOOL_ASIDE_EXPORT || kind == TOOL_ASIDE_DROP ||
           kind == TOOL_ASIDE_REPLAY;
}

/* --- requests --- */

void tool_request_init(struct tool_request *ret, enum tool_kind kind)
{
    *ret = (struct tool_request){.kind = kind,
                                 .range = {1, UINT64_MAX / 4},
                                 .since_us = INT64_MIN,
                                 .until_us = INT64_MAX,
                                 .count = UINT64_MAX / 4};
}

static void put_text(struct out *o, const char *name, const char *text)
{
    if (text[0]) {
        out_put_format(o, ",\"%s\":", name);
        out_put_json(o, slice_of_text(text));
    }
}

void tool_request_put(const struct tool_request *r, struct out *o)
{
    out_put_format(o, "{\"do\":\"%s\"", tool_kind_name(r->kind));
    put_text(o, "stream", r->stream);
    put_text(o, "uplink", r->uplink);
    put_text(o, "file", r->file);
    put_text(o, "path", r->path);
    put_text(o, "reason", r->reason);
    out_put_format(o, ",\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"count\":%" PRIu64,
                   r->range.first, r->range.last, r->count);
    if (r->since_us != INT64_MIN) {
        out_put_format(o, ",\"since\":%" PRId64, r->since_us);
    }
    if (r->until_us != INT64_MAX) {
        out_put_format(o, ",\"until\":%" PRId64, r->until_us);
    }
    out_put_text(o, r->look ? ",\"look\":true" : "");
    out_put_text(o, r->again ? ",\"again\":true}" : "}");
}

static bool take_text(const struct json_node *root, const char *name, char *ret, size_t size)
{
    const struct json_node *node = json_node_find(root, name);
    const char *text = json_node_text(node);
    return !node || (text && slice_to_text(slice_of_text(text), ret, size));
}

static bool take_number(const struct json_node *root, const char *name, int64_t min, int64_t *ret)
{
    const struct json_node *node = json_node_find(root, name);
    return !node || (json_node_integer(node, ret) && *ret >= min);
}

static bool take_members(const struct json_node *root, struct tool_request *r)
{
    int64_t first = (int64_t)r->range.first;
    int64_t last = (int64_t)r->range.last;
    int64_t count = (int64_t)r->count;
    const struct json_node *look = json_node_find(root, "look");
    const struct json_node *again = json_node_find(root, "again");
    bool good = take_text(root, "stream", r->stream, sizeof r->stream) &&
                take_text(root, "uplink", r->uplink, sizeof r->uplink) &&
                take_text(root, "file", r->file, sizeof r->file) &&
                take_text(root, "path", r->path, sizeof r->path) &&
                take_text(root, "reason", r->reason, sizeof r->reason) &&
                take_number(root, "first", 1, &first) && take_number(root, "last", 0, &last) &&
                take_number(root, "count", 0, &count) &&
                take_number(root, "since", INT64_MIN, &r->since_us) &&
                take_number(root, "until", INT64_MIN, &r->until_us);
    r->range = (struct range){(uint64_t)first, (uint64_t)last};
    r->count = (uint64_t)count;
    r->look = look && look->kind == JSON_TRUE;
    r->again = again && again->kind == JSON_TRUE;
    return good && first <= INT64_MAX / 2 && last <= INT64_MAX / 2;
}

enum err tool_request_take(struct slice line, struct tool_request *ret, struct why *why)
{
    struct json_tree *tree = NULL;
    size_t offset;
    enum err e = json_tree_open(&tree, line, why, &offset);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_REJECTED;
    }
    const struct json_node *root = json_tree_root(tree);
    const char *word = json_node_text(json_node_find(root, "do"));
    enum tool_kind kind = TOOL_LS;
    while (word && kind < TOOL_KIND_COUNT && strcmp(word, names[kind]) != 0) {
        kind++;
    }
    struct tool_request request;
    tool_request_init(&request, kind);
    if (!word || kind == TOOL_KIND_COUNT || !take_members(root, &request)) {
        why_set(why, "the request is not understood: are agent and command of one version?");
        e = ERR_REJECTED;
    } else {
        *ret = request;
    }
    json_tree_close(tree);
    return e;
}

/* --- frames --- */

size_t frame_begin(struct out *out, enum frame_kind kind)
{
    size_t begin = out->size;
    out_put_byte(out, (uint8_t)kind);
    out_put_u32_le(out, 0);
    return begin;
}

void frame_end(struct out *out, size_t begin)
{
    if (!out->overflow) {
        struct out size = out_over(out->data + begin + 1, 4);
        out_put_u32_le(&size, (uint32_t)(out->size - begin - FRAME_HEAD_SIZE));
    }
}

void frame_put_error(struct out *out, enum err e, const struct why *why)
{
    size_t begin = frame_begin(out, FRAME_ERROR);
    out_put_byte(out, (uint8_t)e);
    out_put_text(out, why->text[0] ? why->text : err_name(e));
    frame_end(out, begin);
}

enum err frame_take(struct slice *data, enum frame_kind *ret_kind, struct slice *ret_payload,
                    size_t *ret_missing)
{
    struct slice rest = *data;
    uint8_t kind;
    uint32_t size;
    if (!slice_take_u8(&rest, &kind) || !slice_take_u32_le(&rest, &size)) {
        *ret_missing = FRAME_HEAD_SIZE - data->size;
        return ERR_AGAIN;
    }
    if (kind == 0 || !strchr("SEAJPBXZ", kind) || size > FRAME_SIZE_MAX) {
        return ERR_CORRUPT;
    }
    if (!slice_take(&rest, size, ret_payload)) {
        *ret_missing = size - rest.size;
        return ERR_AGAIN;
    }
    *ret_kind = (enum frame_kind)kind;
    *data = rest;
    return ERR_OK;
}

void frame_put_text(struct out *out, struct slice text)
{
    out_put_uvarint(out, text.size);
    out_put_slice(out, text);
}

bool frame_take_text(struct slice *data, struct slice *ret)
{
    struct slice rest = *data;
    uint64_t size;
    if (!slice_take_uvarint(&rest, &size) || size > rest.size ||
        !slice_take(&rest, (size_t)size, ret)) {
        return false;
    }
    *data = rest;
    return true;
}

bool tool_event_take(struct slice *data, struct tool_event *ret)
{
    return slice_take_uvarint(data, &ret->sequence) && slice_take_u8(data, &ret->trust) &&
           slice_take_varint(data, &ret->time_us) && ret->trust <= TIME_ESTIMATE &&
           frame_take_text(data, &ret->datum);
}
