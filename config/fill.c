#include "config/fill.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fill_value.h"

#define FINDING_MAX 200
#define CANDIDATE_MAX 128 /* rows of the tables of one record */

struct fill_task {
    struct fill_task *next;
    struct fill_record record;
};

enum err fill_init(struct fill *fill, struct config_memory *memory, struct slice input,
                   const char *folder)
{
    *fill = (struct fill){
        .memory = memory, .input = input, .folder = folder, .finding_max = FINDING_MAX};
    fill->findings = memory_take(memory, FINDING_MAX * sizeof *fill->findings);
    return fill->findings ? ERR_OK : ERR_NOMEM;
}

/* False: no room. */
PRINTF_LIKE(3, 0)
static bool finding_add(struct fill *fill, struct fill_finding finding, const char *format,
                        va_list arguments)
{
    char text[1024];
    if (fill->finding_count == fill->finding_max) {
        return false;
    }
    (void)vsnprintf(text, sizeof text, format, arguments); /* a longer one is cut */
    finding.text = memory_text(fill->memory, slice_of_text(text));
    finding.path = finding.path ? finding.path : "$";
    if (finding.text) {
        fill->findings[fill->finding_count++] = finding;
    }
    return finding.text;
}

void fill_wrong(struct fill *fill, size_t offset, const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)finding_add(fill, (struct fill_finding){.offset = offset, .path = path}, format,
                      arguments); /* without room it is counted */
    va_end(arguments);
    fill->error_count++;
}

void fill_warn(struct fill *fill, size_t offset, const char *path, const char *format, ...)
{
    struct fill_finding finding = {.offset = offset, .path = path, .is_warning = true};
    va_list arguments;
    va_start(arguments, format);
    fill->warning_count += finding_add(fill, finding, format, arguments);
    va_end(arguments);
}

static int finding_compare(const void *a, const void *b)
{
    const struct fill_finding *first = a;
    const struct fill_finding *second = b;
    if (first->offset != second->offset) {
        return first->offset < second->offset ? -1 : 1;
    }
    return strcmp(first->path, second->path);
}

void fill_sort(struct fill *fill)
{
    qsort(fill->findings, fill->finding_count, sizeof *fill->findings, finding_compare);
}

void fill_unknown(struct fill *fill, const struct json_node *node, const char *path,
                  const char *const *candidates)
{
    const char *near = suggest_name(node->name, candidates);
    if (near) {
        fill_wrong(fill, node->name_offset, path, "unknown; did you mean \"%s\"?", near);
        return;
    }
    char list[600];
    struct out out = out_over(list, sizeof list - 4);
    for (size_t i = 0; candidates[i] && !out.overflow; i++) {
        out_put_format(&out, "%s%s", i ? ", " : "", candidates[i]);
    }
    fill_wrong(fill, node->name_offset, path, "unknown; there are: %.*s%s", (int)out.size, list,
               out.overflow ? " ..." : "");
}

const char *fill_kind_name(enum json_kind kind)
{
    static const char *const names[] = {[JSON_NULL] = "null",
                                        [JSON_TRUE] = "true",
                                        [JSON_FALSE] = "false",
                                        [JSON_NUMBER] = "a number",
                                        [JSON_STRING] = "a text",
                                        [JSON_KEY] = "a key",
                                        [JSON_OBJECT_BEGIN] = "an object {}",
                                        [JSON_OBJECT_END] = "",
                                        [JSON_ARRAY_BEGIN] = "a list []",
                                        [JSON_ARRAY_END] = ""};
    return names[kind];
}

size_t option_item_size(const struct option *option)
{
    if (option->record) {
        return option->record_size;
    }
    assert(option->item);
    switch (option->item->kind) {
    case OPTION_BOOL:
        return sizeof(bool);
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_PATH:
        return sizeof(const char *);
    case OPTION_ANY:
        return sizeof(struct option_any);
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
    case OPTION_CHOICE:
        return sizeof(int64_t);
    case OPTION_DECIMAL:
        return sizeof(struct option_decimal);
    case OPTION_RECORD:
    case OPTION_LIST:
    case OPTION_MAP:
        break;
    }
    assert(false && "an item of a list is plain, or a record");
    return 0;
}

struct option_map option_items(const struct option *option, const uint8_t *member)
{
    struct option_map map;
    struct option_list list;
    if (option->kind == OPTION_MAP) {
        memcpy(&map, member, sizeof map);
        return map;
    }
    memcpy(&list, member, sizeof list);
    return (struct option_map){NULL, list.items, list.count};
}

void fill_add(struct fill *fill, const struct fill_record *record)
{
    struct fill_task *task = memory_take(fill->memory, sizeof *task);
    if (!task) {
        return; /* memory_failed() tells */
    }
    task->record = *record;
    if (fill->last) {
        fill->last->next = task;
    } else {
        fill->first = task;
    }
    fill->last = task;
}

/* A value alone, for a list of one. */
static void fill_one(struct fill *fill, const struct fill_value *value)
{
    const struct option *option = value->option;
    void *item = memory_take(fill->memory, option_item_size(option));
    if (item) {
        struct option_list list = {item, 1};
        fill_plain(fill, &(struct fill_value){option->item, value->node, value->path, value->offset,
                                              item});
        memcpy(value->member, &list, sizeof list);
    }
}

static void fill_items(struct fill *fill, const struct fill_value *value)
{
    const struct option *option = value->option;
    const struct json_node *node = value->node;
    bool is_map = option->kind == OPTION_MAP;
    size_t max = option->max ? (size_t)option->max : OPTION_LIST_COUNT_MAX;
    if (node->count < (size_t)option->min || node->count > max) {
        fill_wrong(fill, value->offset, value->path, "%zu entries: at %s %zu", node->count,
                   node->count > max ? "most" : "least",
                   node->count > max ? max : (size_t)option->min);
        return;
    }
    size_t item_size = option_item_size(option);
    uint8_t *items = memory_take(fill->memory, node->count * item_size);
    const char **names = memory_take(fill->memory, node->count * sizeof *names);
    if (!items || !names) {
        return;
    }
    size_t i = 0;
    for (const struct json_node *child = node->child; child; child = child->next, i++) {
        void *member = items + i * item_size;
        const char *path = is_map ? memory_format(fill->memory, "%s.%s", value->path, child->name)
                                  : memory_format(fill->memory, "%s[%zu]", value->path, i);
        if (is_map) {
            names[i] = memory_text(fill->memory, slice_of_text(child->name));
        }
        if (!option->record) {
            fill_plain(fill,
                       &(struct fill_value){option->item, child, path, child->offset, member});
        } else if (child->kind != JSON_OBJECT_BEGIN) {
            fill_wrong(fill, child->offset, path, "%s, but an object {} is wanted",
                       fill_kind_name(child->kind));
        } else {
            fill_add(fill, &(struct fill_record){.node = child,
                                                 .path = path,
                                                 .offset = child->offset,
                                                 .tables = {option->record},
                                                 .structs = {member}});
        }
    }
    if (is_map) {
        struct option_map map = {names, items, node->count};
        memcpy(value->member, &map, sizeof map);
    } else {
        struct option_list list = {items, node->count};
        memcpy(value->member, &list, sizeof list);
    }
}

/* A plain value that stands in the file, and its price. */
static void fill_given(struct fill *fill, const struct fill_value *value)
{
    size_t errors_before = fill->error_count;
    fill_plain(fill, value);
    bool is_right = fill->error_count == errors_before && !fill->failed;
    const char *price = is_right && value->option->warn ? value->option->warn(value->member) : NULL;
    if (price) {
        fill_warn(fill, value->offset, value->path, "%s", price);
    }
}

static void fill_member(struct fill *fill, const struct fill_value *value)
{
    const struct option *option = value->option;
    const struct json_node *node = value->node;
    bool is_record = option->kind == OPTION_RECORD;
    bool is_list = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
    if (option->flags & OPTION_NONE) {
        return;
    }
    if (!node && (option->flags & OPTION_REQUIRED)) {
        fill_wrong(fill, value->offset, value->path, "is missing. %s",
                   option->help ? option->help : "");
    } else if (is_record && node && node->kind != JSON_OBJECT_BEGIN) {
        fill_wrong_kind(fill, value);
    } else if (is_record && (node || !(option->flags & OPTION_MISSING_OK))) {
        if (option->flags & OPTION_MISSING_OK) {
            bool is_set = true;
            memcpy(value->member, &is_set, sizeof is_set);
        }
        fill_add(fill, &(struct fill_record){.node = node,
                                             .path = value->path,
                                             .offset = value->offset,
                                             .tables = {option->record},
                                             .structs = {value->member}});
    } else if (is_list && node) {
        enum json_kind wanted = option->kind == OPTION_MAP ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
        bool is_one = option->flags & OPTION_ONE_OK && node->kind == JSON_STRING;
        if (is_one) {
            fill_one(fill, value);
        } else if (node->kind != wanted) {
            fill_wrong_kind(fill, value);
        } else {
            fill_items(fill, value);
        }
    } else if (node) {
        fill_given(fill, value);
    } else if (!is_record && !is_list) {
        fill_default(fill, value);
    }
}

/* What is said about a name that is no setting; NULL: nothing special. */
static const char *fill_none(const struct fill_record *record, const char *name)
{
    for (size_t t = 0; t < 2; t++) {
        for (const struct option *row = record->tables[t]; row && row->name; row++) {
            if ((row->flags & OPTION_NONE) && strcmp(row->name, name) == 0) {
                return row->help;
            }
        }
    }
    return NULL;
}

/* Names that no table of the record has. */
static void fill_check_names(struct fill *fill, const struct fill_record *record)
{
    const char *candidates[CANDIDATE_MAX + 1];
    size_t count = 0;
    for (size_t t = 0; t < 2; t++) {
        for (const struct option *row = record->tables[t]; row && row->name; row++) {
            assert(count < CANDIDATE_MAX);
            candidates[count] = row->name;
            count += !(row->flags & OPTION_NONE);
        }
    }
    candidates[count] = NULL;
    for (const struct json_node *child = record->node->child; child; child = child->next) {
        size_t i = 0;
        while (i < count && strcmp(candidates[i], child->name) != 0) {
            i++;
        }
        if (i < count) {
            continue;
        }
        const char *path = memory_format(fill->memory, "%s.%s", record->path, child->name);
        const char *none = fill_none(record, child->name);
        if (none) {
            fill_wrong(fill, child->name_offset, path, "%s", none);
        } else {
            fill_unknown(fill, child, path, candidates);
        }
    }
}

void fill_run(struct fill *fill)
{
    for (; fill->first; fill->first = fill->first->next) {
        const struct fill_record *record = &fill->first->record;
        if (record->node) {
            fill_check_names(fill, record);
        }
        for (size_t t = 0; t < 2; t++) {
            for (const struct option *row = record->tables[t]; row && row->name; row++) {
                const struct json_node *node = json_node_find(record->node, row->name);
                fill_member(
                    fill, &(struct fill_value){
                              .option = row,
                              .node = node,
                              .path = memory_format(fill->memory, "%s.%s", record->path, row->name),
                              .offset = node ? node->offset : record->offset,
                              .member = (uint8_t *)record->structs[t] + row->offset});
            }
        }
    }
    fill->last = NULL;
}
