#include "agent/kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err keep(void *context, enum frame_kind kind, struct slice payload, struct why *why)
{
    struct kept_all *all = context;
    struct kept kept = {.version = {.number = 0}};
    struct slice stream;
    struct slice json;
    uint64_t number;
    if (kind != FRAME_SCHEMA) {
        return ERR_OK;
    }
    if (!slice_take_uvarint(&payload, &number) || number > UINT32_MAX ||
        !frame_take_text(&payload, &stream) || !frame_take_text(&payload, &json) ||
        !slice_to_text(stream, kept.stream, sizeof kept.stream)) {
        why_set(why, "an answer that can't be read: are agent and command of one version?");
        return ERR_CORRUPT;
    }
    struct kept *grown = realloc(all->items, (all->count + 1) * sizeof *grown);
    all->items = grown ? grown : all->items;
    uint8_t *copy = grown ? malloc(json.size + 1) : NULL;
    if (!copy) {
        return ERR_NOMEM;
    }
    memcpy(copy, json.data, json.size);
    kept.version = (struct gate_version){(uint32_t)number, {copy, json.size}};
    all->items[all->count++] = kept;
    return ERR_OK;
}

enum err kept_ask(struct kept_all *ret, const struct source_setup *setup, const char *stream,
                  struct why *why)
{
    struct tool_source *source = NULL;
    struct tool_request request;
    tool_request_init(&request, TOOL_SCHEMAS);
    if ((size_t)snprintf(request.stream, sizeof request.stream, "%s", stream) >=
        sizeof request.stream) {
        why_set(why, "no stream has so long a name: %s", stream);
        return ERR_REJECTED;
    }
    enum err e = tool_source_open(&source, setup, why);
    e = e ? e : tool_source_run(source, &request, keep, ret, why);
    tool_source_close(source);
    return e;
}

void kept_release(struct kept_all *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free((void *)(uintptr_t)all->items[i].version.json.data);
    }
    free(all->items);
}
