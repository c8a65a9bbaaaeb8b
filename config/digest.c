#include "config/digest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/fill.h"
#include "ports/file.h"

#define DIGEST_DEPTH_MAX 16
#define DIGEST_FILE_MAX (1024 * 1024) /* larger ones are no settings */

/* What is open: a record, or a list or map of records. */
struct digest_frame {
    const struct option *rows; /* NULL: a list or map */
    const uint8_t *base;       /* of the record, or of the next item */
    const struct option *list;
    size_t left; /* items */
};

struct digest_walk {
    uint64_t *digest;
    struct digest_frame frames[DIGEST_DEPTH_MAX];
    unsigned depth;
};

static void add(uint64_t *digest, struct slice bytes)
{
    *digest = (*digest ^ slice_hash(bytes)) * UINT64_C(0x9E3779B97F4A7C15) + bytes.size + 1;
    *digest ^= *digest >> 29;
}

void digest_add_text(uint64_t *digest, const char *text)
{
    add(digest, text ? slice_of_text(text) : SLICE("(none)"));
}

void digest_add_number(uint64_t *digest, uint64_t number)
{
    add(digest, (struct slice){(const uint8_t *)&number, sizeof number});
}

/* What can't be read now is told by whoever needs it. */
static enum err add_file(uint64_t *digest, const char *path)
{
    struct stat status;
    struct slice content;
    if (!path || stat(path, &status) || !S_ISREG(status.st_mode)) {
        digest_add_number(digest, 0);
        return ERR_OK;
    }
    enum err e = file_read(path, DIGEST_FILE_MAX, &content, NULL);
    if (e) {
        digest_add_number(digest, 1);
        return e == ERR_NOMEM ? e : ERR_OK;
    }
    add(digest, content);
    free((void *)(uintptr_t)content.data);
    return ERR_OK;
}

static enum err add_plain(uint64_t *digest, const struct option *option, const uint8_t *member)
{
    const char *text;
    int64_t number;
    struct option_any any;
    struct option_decimal decimal;
    switch (option->kind) {
    case OPTION_BOOL:
        digest_add_number(digest, *member);
        return ERR_OK;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
    case OPTION_CHOICE:
        memcpy(&number, member, sizeof number);
        digest_add_number(digest, (uint64_t)number);
        return ERR_OK;
    case OPTION_DECIMAL:
        memcpy(&decimal, member, sizeof decimal);
        digest_add_number(digest, (uint64_t)decimal.mantissa);
        digest_add_number(digest, decimal.is_set ? decimal.scale : UINT64_MAX);
        return ERR_OK;
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_PATH:
        memcpy(&text, member, sizeof text);
        digest_add_text(digest, text);
        return option->kind == OPTION_PATH && !(option->flags & OPTION_DATA)
                   ? add_file(digest, text)
                   : ERR_OK;
    case OPTION_ANY:
        memcpy(&any, member, sizeof any);
        add(digest, any.json ? (struct slice){(const uint8_t *)any.json, any.size} : SLICE(""));
        return ERR_OK;
    case OPTION_RECORD:
    case OPTION_LIST:
    case OPTION_MAP:
        break;
    }
    assert(false && "not plain");
    return ERR_OK;
}

static void push(struct digest_walk *walk, const struct digest_frame *frame)
{
    assert(walk->depth < DIGEST_DEPTH_MAX);
    walk->frames[walk->depth++] = *frame;
}

static void push_items(struct digest_walk *walk, const struct option *option, const uint8_t *member)
{
    const struct option_map map = option_items(option, member);
    digest_add_number(walk->digest, map.count);
    for (size_t i = 0; map.names && i < map.count; i++) {
        digest_add_text(walk->digest, map.names[i]);
    }
    push(walk, &(struct digest_frame){.list = option, .base = map.items, .left = map.count});
}

static enum err next_item(struct digest_walk *walk, struct digest_frame *frame)
{
    const uint8_t *item = frame->base;
    const struct option *option = frame->list;
    frame->base += option_item_size(option);
    frame->left--;
    if (!option->record) {
        return add_plain(walk->digest, option->item, item);
    }
    push(walk, &(struct digest_frame){.rows = option->record, .base = item});
    return ERR_OK;
}

static enum err next_row(struct digest_walk *walk, struct digest_frame *frame)
{
    const struct option *option = frame->rows++;
    if (option->flags & OPTION_NONE) {
        return ERR_OK;
    }
    const uint8_t *member = frame->base + option->offset;
    if (option->kind == OPTION_RECORD) {
        digest_add_number(walk->digest, option->flags & OPTION_MISSING_OK ? *member : 1);
        push(walk, &(struct digest_frame){.rows = option->record, .base = member});
    } else if (option->kind == OPTION_LIST || option->kind == OPTION_MAP) {
        push_items(walk, option, member);
    } else {
        return add_plain(walk->digest, option, member);
    }
    return ERR_OK;
}

enum err digest_add(uint64_t *digest, const struct option *table, const void *record)
{
    struct digest_walk walk = {.digest = digest};
    push(&walk, &(struct digest_frame){.rows = table, .base = record});
    enum err e = ERR_OK;
    while (!e && walk.depth > 0) {
        struct digest_frame *frame = &walk.frames[walk.depth - 1];
        if (frame->rows ? !frame->rows->name : frame->left == 0) {
            walk.depth--;
        } else {
            e = frame->rows ? next_row(&walk, frame) : next_item(&walk, frame);
        }
    }
    return e;
}
