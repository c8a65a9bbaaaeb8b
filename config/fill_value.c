#include "config/fill_value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/units.h"

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

static void fill_decimal(struct fill *fill, const struct fill_value *value, struct slice text)
{
    struct option_decimal decimal;
    struct why why = {""};
    enum err e = units_parse_decimal(text, &decimal, &why);
    if (!e && value->option->check) {
        e = value->option->check(&decimal, &why);
    }
    if (e) {
        fill_wrong(fill, value->offset, value->path, "%s", why.text);
        return;
    }
    memcpy(value->member, &decimal, sizeof decimal);
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
    case OPTION_DECIMAL:
        fill_decimal(fill, value, slice_of_text(text));
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
    case OPTION_DECIMAL:
        return "a number";
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

/* Does it stand without quotes? */
static bool is_bare_kind(enum option_kind kind)
{
    return kind == OPTION_BOOL || kind == OPTION_INT || kind == OPTION_DECIMAL;
}

void fill_wrong_kind(struct fill *fill, const struct fill_value *value)
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
        bool is_bare = is_bare_kind(option->kind);
        const char *hint = node->kind != JSON_STRING     ? ""
                           : is_bare                     ? " (without quotes)"
                           : option->kind == OPTION_LIST ? ": put it into brackets, [ \"...\" ]"
                                                         : "";
        fill_wrong(fill, value->offset, value->path, "%s, but %s is wanted%s",
                   fill_kind_name(node->kind), fill_wanted(option), hint);
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

void fill_plain(struct fill *fill, const struct fill_value *value)
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
    if (option->kind == OPTION_DECIMAL && node->kind == JSON_NUMBER) {
        fill_decimal(fill, value, node->text);
        return;
    }
    if (node->kind != JSON_STRING || is_bare_kind(option->kind)) {
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

void fill_default(struct fill *fill, const struct fill_value *value)
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
