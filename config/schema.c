#include <inttypes.h>

#include "config/print.h"
#include "config/units.h"

/* What a place that holds any text may also hold. */
#define REFERENCE_PATTERN "\\\\$\\\\{(env|file):[^}]+\\\\}"

static void schema_bounds(const struct option *option, const char *min, const char *max,
                          struct out *out)
{
    if (option->min != 0 || option->max != 0) {
        out_put_format(out, ", \"%s\": %" PRId64, min, option->min);
        if (option->max) {
            out_put_format(out, ", \"%s\": %" PRId64, max, option->max);
        }
    }
}

static void schema_json(struct out *out, const char *text)
{
    out_put_json(out, slice_of_text(text));
}

/* What a plain value looks like, without the braces. Bounds of texts count bytes, those of JSON
 * Schema characters, and a text may be a reference: only loading checks them. */
static void schema_plain(const struct option *option, struct out *out)
{
    char pattern[400];
    struct out regex = out_over(pattern, sizeof pattern);
    switch (option->kind) {
    case OPTION_BOOL:
        out_put_text(out, "\"type\": \"boolean\"");
        return;
    case OPTION_INT:
        out_put_text(out, "\"type\": \"integer\"");
        schema_bounds(option, "minimum", "maximum", out);
        return;
    case OPTION_DECIMAL:
        out_put_text(out, "\"type\": \"number\", \"minimum\": 0");
        return;
    case OPTION_CHOICE:
        out_put_text(out, "\"type\": \"string\", \"anyOf\": [{\"enum\": [");
        for (size_t i = 0; option->words[i]; i++) {
            out_put_text(out, i ? ", " : "");
            schema_json(out, option->words[i]);
        }
        out_put_text(out, "]}, {\"pattern\": \"" REFERENCE_PATTERN "\"}]");
        return;
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
        units_pattern(option, &regex);
        out_put_text(out, "\"type\": \"string\", \"pattern\": ");
        out_put_json(out, out_slice(&regex));
        return;
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_PATH:
        out_put_text(out, "\"type\": \"string\"");
        return;
    case OPTION_ANY:
        out_put_text(out, "\"title\": \"any value\"");
        return;
    case OPTION_RECORD:
    case OPTION_LIST:
    case OPTION_MAP:
        break;
    }
}

static void schema_begin(const struct option *option, bool is_first, struct out *out)
{
    out_put_text(out, is_first ? "\n" : ",\n");
    schema_json(out, option->name);
    out_put_text(out, ": {");
    if (option->help) {
        out_put_text(out, "\"description\": ");
        schema_json(out, option->help);
        out_put_text(out, ", ");
    }
    bool is_raw = option->kind == OPTION_BOOL || option->kind == OPTION_INT ||
                  option->kind == OPTION_DECIMAL || option->kind == OPTION_ANY;
    if (option->initial) {
        out_put_text(out, "\"default\": ");
        if (is_raw) {
            out_put_text(out, option->initial);
        } else {
            schema_json(out, option->initial);
        }
        out_put_text(out, ", ");
    }
    if (option->kind == OPTION_LIST) {
        if (option->flags & OPTION_ONE_OK) {
            out_put_text(out, "\"anyOf\": [{");
            schema_plain(option->item, out);
            out_put_text(out, "}, {");
        }
        out_put_text(out, "\"type\": \"array\"");
        schema_bounds(option, "minItems", "maxItems", out);
        out_put_text(out, ", \"items\": {");
    } else if (option->kind == OPTION_MAP) {
        out_put_text(out, "\"type\": \"object\"");
        schema_bounds(option, "minProperties", "maxProperties", out);
        out_put_text(out, ", \"additionalProperties\": {");
    }
}

static void schema_end(const struct option *option, struct out *out)
{
    bool is_nested = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
    out_put_text(out, is_nested ? "}}" : "}");
    if (option->flags & OPTION_ONE_OK) {
        out_put_text(out, "]}");
    }
}

static void schema_required(const struct option *table, const char *separator, struct out *out)
{
    for (; table && table->name; table++) {
        if (table->flags & OPTION_REQUIRED) {
            out_put_text(out, separator);
            schema_json(out, table->name);
            separator = ", ";
        }
    }
}

static void schema_object_end(const struct option *table, const struct option *second,
                              const char *type, struct out *out)
{
    out_put_text(out, "}, \"additionalProperties\": false, \"required\": [");
    if (type) {
        out_put_text(out, "\"type\"");
    }
    /* "type" is the first required row of what has a type. */
    schema_required(type ? table + 1 : table, type ? ", " : "", out);
    schema_required(second, ", ", out);
    out_put_text(out, "]");
}

static void schema_rows(const struct option *table, bool is_first, struct out *out)
{
    struct walk walk = walk_begin(table);
    const struct option *row;
    for (enum walk_step step; (step = walk_next(&walk, &row)) != WALK_END;) {
        if (step == WALK_LEAVE) {
            schema_object_end(row->record, NULL, NULL, out);
            schema_end(row, out);
            is_first = false;
            continue;
        }
        schema_begin(row, is_first, out);
        is_first = step == WALK_ENTER;
        if (step == WALK_ENTER) {
            out_put_text(out, "\"type\": \"object\", \"properties\": {");
        } else {
            schema_plain(row->item ? row->item : row, out);
            schema_end(row, out);
        }
    }
}

/* One class: its word, the common rows, its own. */
static void schema_class(const char *type, const char *help, const struct option *common,
                         const struct option *own, struct out *out)
{
    out_put_text(out, "{\"type\": \"object\", \"title\": ");
    schema_json(out, type);
    if (help) {
        out_put_text(out, ", \"description\": ");
        schema_json(out, help);
    }
    out_put_text(out, ", \"properties\": {\"type\": {\"const\": ");
    schema_json(out, type);
    out_put_text(out, "}");
    schema_rows(common + 1, false, out);
    if (own) {
        schema_rows(own, false, out);
    }
    schema_object_end(common, own, type, out);
    out_put_text(out, "}");
}

#define NAME_PATTERN "\"propertyNames\": {\"pattern\": \"^(?!weir\\\\.)[A-Za-z0-9_.-]{1,63}$\"}"

static void schema_section(const char *name, size_t min, size_t max, struct out *out)
{
    out_put_format(
        out, ",\n\"%s\": {\"type\": \"object\", \"minProperties\": %zu, \"maxProperties\": %zu, ",
        name, min, max);
    out_put_text(out, NAME_PATTERN ", \"additionalProperties\": ");
}

void print_schema(const struct config_parts *parts, struct out *ret)
{
    out_put_text(ret, "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                      "\"title\": \"weir " WEIR_VERSION "\", \"type\": \"object\", "
                      "\"additionalProperties\": false, "
                      "\"required\": [\"streams\", \"drivers\", \"uplinks\"],\n\"properties\": {\n"
                      "\"$schema\": {\"type\": \"string\"},\n"
                      "\"agent\": {\"type\": \"object\", \"properties\": {");
    schema_rows(agent_options_table, true, ret);
    schema_object_end(agent_options_table, NULL, NULL, ret);
    out_put_text(ret, "},\n\"buffer\": {\"type\": \"object\", \"properties\": {");
    schema_rows(buffer_options_table, true, ret);
    schema_object_end(buffer_options_table, NULL, NULL, ret);
    out_put_text(ret, "},\n\"status\": {\"type\": \"object\", \"properties\": {");
    schema_rows(status_options_table, true, ret);
    schema_object_end(status_options_table, NULL, NULL, ret);
    out_put_text(ret, "}");
    schema_section("streams", 1, CONFIG_STREAM_MAX, ret);
    out_put_text(ret, "{\"type\": \"object\", \"properties\": {");
    schema_rows(stream_options_table, true, ret);
    schema_object_end(stream_options_table, NULL, NULL, ret);
    out_put_text(ret, "}}");
    schema_section("drivers", 1, CONFIG_DRIVER_MAX, ret);
    out_put_text(ret, "{\"oneOf\": [");
    for (size_t i = 0; parts->drivers[i]; i++) {
        out_put_text(ret, i ? ",\n" : "\n");
        schema_class(parts->drivers[i]->type, parts->drivers[i]->help, driver_common_table,
                     parts->drivers[i]->options, ret);
    }
    out_put_text(ret, "]}}");
    schema_section("uplinks", 1, CONFIG_UPLINK_MAX, ret);
    out_put_text(ret, "{\"oneOf\": [");
    for (size_t i = 0; parts->uplinks[i]; i++) {
        out_put_text(ret, i ? ",\n" : "\n");
        schema_class(parts->uplinks[i]->type, parts->uplinks[i]->help, uplink_common_table,
                     parts->uplinks[i]->options, ret);
    }
    out_put_text(ret, "]}}");
    schema_section("links", 0, CONFIG_LINK_MAX, ret);
    out_put_text(ret, "{\"type\": \"object\", \"properties\": {");
    schema_rows(link_options_table, true, ret);
    schema_object_end(link_options_table, NULL, NULL, ret);
    out_put_text(ret, "}}}}\n");
}
