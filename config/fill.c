#include "config/fill.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/units.h"

#define FINDING_MAX 200
#define CANDIDATE_MAX 128 /* rows of the tables of one record */

struct fill_task {
    struct fill_task *next;
    struct fill_record record;
};

/* A value on its way into a member. */
struct fill_value {
    const struct option *option;
    const struct json_node *node; /* NULL: `text` is a default */
    const char *path;
    size_t offset;
    void *member;
};

enum err fill_init(struct fill *fill, struct config_memory *memory, struct slice input,
                   const char *folder)
{
    *fill = (struct fill){
        .memory = memory, .input = input, .folder = folder, .finding_max = FINDING_MAX};
    fill->findings = memory_take(memory, FINDING_MAX * sizeof *fill->findings);
    return fill->findings ? ERR_OK : ERR_NOMEM;
}

void fill_wrong(struct fill *fill, size_t offset, const char *path, const char *format, ...)
{
    fill->error_count++;
    if (fill->finding_count == fill->finding_max) {
        return;
    }
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* a longer one is cut */
    va_end(arguments);
    const char *copy = memory_text(fill->memory, slice_of_text(text));
    if (copy) {
        fill->findings[fill->finding_count++] =
            (struct fill_finding){offset, path ? path : "$", copy};
    }
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
    case OPTION_RECORD:
    case OPTION_LIST:
    case OPTION_MAP:
        break;
    }
    assert(false && "an item of a list is plain, or a record");
    return 0;
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

static void fill_number_text(const struct option *option, int64_t value, struct out *ret)
{
    if (units_has(option->kind)) {
        units_put(option, value, ret);
    } else {
        out_put_format(ret, "%" PRId64, value);
    }
}

/* Bounds, the option's own check, and into the member. */
static void fill_number(struct fill *fill, const struct fill_value *value, int64_t number)
{
    const struct option *option = value->option;
    int64_t min = option->min;
    int64_t max = option->max;
    if (min == 0 && max == 0) {
        max = INT64_MAX;
        min = option->kind == OPTION_INT ? INT64_MIN : 0;
    } else if (max == 0 && min > 0) {
        max = INT64_MAX;
    }
    if (number < min || number > max) {
        char text[64];
        struct out bound = out_over(text, sizeof text);
        fill_number_text(option, number < min ? min : max, &bound);
        fill_wrong(fill, value->offset, value->path, "too %s: at %s %.*s",
                   number < min ? "small" : "large", number < min ? "least" : "most",
                   (int)bound.size, text);
        return;
    }
    struct why why = {""};
    if (option->check && option->check(&number, &why)) {
        fill_wrong(fill, value->offset, value->path, "%s", why.text);
        return;
    }
    memcpy(value->member, &number, sizeof number);
}

static void fill_choice(struct fill *fill, const struct fill_value *value, const char *text)
{
    const char *const *words = value->option->words;
    for (int64_t i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            memcpy(value->member, &i, sizeof i);
            return;
        }
    }
    char list[300];
    struct out out = out_over(list, sizeof list);
    for (size_t i = 0; words[i]; i++) {
        out_put_format(&out, "%s%s", i ? ", " : "", words[i]);
    }
    const char *near = suggest_name(text, words);
    fill_wrong(fill, value->offset, value->path, "\"%.40s\" is none of %.*s%s%s%s", text,
               (int)out.size, list, near ? "; did you mean \"" : "", near ? near : "",
               near ? "\"?" : "");
}

static void fill_path(struct fill *fill, const struct fill_value *value, const char *text)
{
    const char *path = text;
    if (text[0] != '/' && fill->folder[0]) {
        path = memory_format(fill->memory, "%s%s", fill->folder, text);
        if (!path) {
            return;
        }
    }
    if ((value->option->flags & OPTION_FILE_EXISTS) && access(path, R_OK) != 0) {
        fill_wrong(fill, value->offset, value->path,
                   "can't read %.300s: it must be there, and user %u "
                   "may read it",
                   path, (unsigned)geteuid());
        return;
    }
    memcpy(value->member, &path, sizeof path);
}

static void fill_plain_text(struct fill *fill, const struct fill_value *value, const char *text)
{
    const struct option *option = value->option;
    size_t size = strlen(text);
    size_t max = option->max ? (size_t)option->max : OPTION_TEXT_SIZE_MAX;
    if (size < (size_t)option->min || size > max) {
        fill_wrong(fill, value->offset, value->path, "%zu bytes long: at %s %zu", size,
                   size > max ? "most" : "least", size > max ? max : (size_t)option->min);
        return;
    }
    struct why why = {""};
    if (option->check && option->check(&text, &why)) {
        fill_wrong(fill, value->offset, value->path, "%s", why.text);
        return;
    }
    memcpy(value->member, &text, sizeof text);
}

/* A text, as it stands in the file or as the default in the table. */
static void fill_text(struct fill *fill, const struct fill_value *value, const char *text)
{
    const struct option *option = value->option;
    struct why why = {""};
    int64_t number = 0;
    switch (option->kind) {
    case OPTION_BOOL:
    case OPTION_INT:
        break;
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
        if (units_parse(option, slice_of_text(text), &number, &why)) {
            fill_wrong(fill, value->offset, value->path, "%s", why.text);
            return;
        }
        fill_number(fill, value, number);
        return;
    case OPTION_CHOICE:
        fill_choice(fill, value, text);
        return;
    case OPTION_PATH:
        if (!text[0]) {
            fill_wrong(fill, value->offset, value->path, "an empty path");
            return;
        }
        fill_path(fill, value, text);
        return;
    case OPTION_TEXT:
    case OPTION_SECRET:
        fill_plain_text(fill, value, text);
        return;
    case OPTION_ANY:
    case OPTION_RECORD:
    case OPTION_LIST:
    case OPTION_MAP:
        break;
    }
    assert(false && "no text for this kind");
}

static const char *fill_wanted(const struct option *option)
{
    switch (option->kind) {
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INT:
        return "a whole number";
    case OPTION_RECORD:
    case OPTION_MAP:
        return "an object {}";
    case OPTION_LIST:
        return "a list []";
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
    case OPTION_CHOICE:
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_PATH:
    case OPTION_ANY:
        break;
    }
    return "a text";
}

static void fill_wrong_kind(struct fill *fill, const struct fill_value *value)
{
    const struct json_node *node = value->node;
    const struct option *option = value->option;
    if (units_has(option->kind)) {
        fill_wrong(fill, value->offset, value->path,
                   "%s, but a number with its unit is wanted, in "
                   "quotes: %s",
                   fill_kind_name(node->kind), units_names(option));
    } else if (option->kind == OPTION_INT && node->kind == JSON_NUMBER) {
        fill_wrong(fill, value->offset, value->path, "%.*s is no whole number of 64 bits",
                   node->text.size > 40 ? 40 : (int)node->text.size, (const char *)node->text.data);
    } else {
        fill_wrong(fill, value->offset, value->path, "%s, but %s is wanted%s",
                   fill_kind_name(node->kind), fill_wanted(option),
                   node->kind == JSON_STRING ? " (without quotes)" : "");
    }
}

/* The JSON text of a value, without the white space between its parts. */
static void fill_any(struct fill *fill, const struct fill_value *value)
{
    struct slice rest = {fill->input.data + value->node->offset,
                         fill->input.size - value->node->offset};
    struct json_reader *reader = malloc(sizeof *reader);
    char *memory = NULL;
    struct slice text = {NULL, 0};
    if (reader) {
        json_init(reader, rest);
        enum err e = json_skip(reader, &text);
        assert(!e);
        free(reader);
        memory = memory_take(fill->memory, text.size + 1);
    }
    if (!memory) {
        fill->failed = true;
        return;
    }
    size_t size = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (in_string && byte == '\\') {
            memory[size++] = (char)byte;
            byte = text.data[++i];
        } else if (byte == '"') {
            in_string = !in_string;
        } else if (!in_string && (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t')) {
            continue;
        }
        memory[size++] = (char)byte;
    }
    struct option_any any = {memory, size};
    memcpy(value->member, &any, sizeof any);
}

/* A bool, number, text, or any value. */
static void fill_plain(struct fill *fill, const struct fill_value *value)
{
    const struct json_node *node = value->node;
    const struct option *option = value->option;
    if (option->kind == OPTION_ANY) {
        fill_any(fill, value);
        return;
    }
    if (option->kind == OPTION_BOOL && (node->kind == JSON_TRUE || node->kind == JSON_FALSE)) {
        bool is_true = node->kind == JSON_TRUE;
        memcpy(value->member, &is_true, sizeof is_true);
        return;
    }
    int64_t number;
    if (option->kind == OPTION_INT && json_node_integer(node, &number)) {
        fill_number(fill, value, number);
        return;
    }
    if (node->kind != JSON_STRING || option->kind == OPTION_BOOL || option->kind == OPTION_INT) {
        fill_wrong_kind(fill, value);
        return;
    }
    struct why why = {""};
    const char *text = json_node_text(node);
    if (!text) {
        fill_wrong(fill, value->offset, value->path, "a text with a NUL in it");
        return;
    }
    enum err e = expand_text(fill, node->text, option->kind == OPTION_SECRET, &text, &why);
    if (e == ERR_CONFIG) {
        fill_wrong(fill, value->offset, value->path, "%s", why.text);
    } else if (e) {
        fill->failed = true;
    } else {
        fill_text(fill, value, text);
    }
}

static void fill_default(struct fill *fill, const struct fill_value *value)
{
    const char *initial = value->option->initial;
    if (!initial) {
        return;
    }
    if (value->option->kind == OPTION_BOOL) {
        bool is_true = strcmp(initial, "true") == 0;
        memcpy(value->member, &is_true, sizeof is_true);
    } else if (value->option->kind == OPTION_INT) {
        int64_t number = strtoll(initial, NULL, 10);
        memcpy(value->member, &number, sizeof number);
    } else if (value->option->kind == OPTION_ANY) {
        struct option_any any = {initial, strlen(initial)};
        memcpy(value->member, &any, sizeof any);
    } else {
        fill_text(fill, value, initial);
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

static void fill_member(struct fill *fill, const struct fill_value *value)
{
    const struct option *option = value->option;
    const struct json_node *node = value->node;
    bool is_record = option->kind == OPTION_RECORD;
    bool is_list = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
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
        if (node->kind != wanted) {
            fill_wrong_kind(fill, value);
        } else {
            fill_items(fill, value);
        }
    } else if (node) {
        fill_plain(fill, value);
    } else if (!is_record && !is_list) {
        fill_default(fill, value);
    }
}

/* Names that no table of the record has. */
static void fill_check_names(struct fill *fill, const struct fill_record *record)
{
    const char *candidates[CANDIDATE_MAX + 1];
    size_t count = 0;
    for (size_t t = 0; t < 2; t++) {
        for (const struct option *row = record->tables[t]; row && row->name; row++) {
            assert(count < CANDIDATE_MAX);
            candidates[count++] = row->name;
        }
    }
    candidates[count] = NULL;
    for (const struct json_node *child = record->node->child; child; child = child->next) {
        size_t i = 0;
        while (i < count && strcmp(candidates[i], child->name) != 0) {
            i++;
        }
        if (i == count) {
            fill_unknown(fill, child,
                         memory_format(fill->memory, "%s.%s", record->path, child->name),
                         candidates);
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
