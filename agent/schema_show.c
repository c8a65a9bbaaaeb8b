/* weir schema show: a schema as a person reads it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/schema_impl.h"

#define NAME_WIDTH_MAX 32

struct show {
    struct out line;
    bool *is_shown; /* by the ordinal of a named type */
};

static void show_node(struct show *show, const struct avro_node *node, unsigned indent);

static void put_text(struct out *line, const char *label, struct slice text)
{
    if (text.size > 0) {
        out_put_text(line, label);
        for (size_t i = 0; i < text.size; i++) { /* one line stays one line */
            out_put_byte(line, text.data[i] < ' ' ? ' ' : text.data[i]);
        }
    }
}

static void put_list(struct out *line, const char *label, const struct slice *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        out_put_text(line, i == 0 ? label : ", ");
        out_put_slice(line, names[i]);
    }
}

static void show_fields(struct show *show, const struct avro_node *record, unsigned indent)
{
    struct out *line = &show->line;
    size_t width = 0;
    for (uint32_t i = 0; i < record->field_count; i++) {
        size_t size = record->fields[i].name.size;
        width = size > width && size <= NAME_WIDTH_MAX ? size : width;
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct avro_field *f = &record->fields[i];
        int gap = f->name.size < width ? (int)(width - f->name.size) : 0;
        out_put_format(line, "%*s", (int)indent, "");
        out_put_slice(line, f->name);
        out_put_format(line, "%*s  ", gap, "");
        avro_node_put_words(f->node, line);
        if (f->has_default) {
            out_put_text(line, " = ");
            out_put_slice(line, f->default_json);
        }
        put_list(line, "; before: ", f->aliases, f->alias_count);
        put_text(line, "   # ", f->doc);
        schema_line_print(line);
        show_node(show, f->node, indent + 4);
    }
}

/* A named type, where it comes first. */
static void show_named(struct show *show, const struct avro_node *node, unsigned indent)
{
    struct out *line = &show->line;
    if (node->alias_count > 0) {
        out_put_format(line, "%*s", (int)indent, "");
        put_list(line, "also known as ", node->aliases, node->alias_count);
        schema_line_print(line);
    }
    if (node->kind == AVRO_ENUM) {
        out_put_format(line, "%*s", (int)indent, "");
        put_list(line, "one of ", node->symbols, node->symbol_count);
        if (node->symbol_default >= 0) {
            out_put_text(line, "; if unknown: ");
            out_put_slice(line, node->symbols[node->symbol_default]);
        }
        schema_line_print(line);
    }
    show_fields(show, node, indent);
}

/* What its words do not tell. Recurses into types that were not shown yet: a named one stands where
 * it comes first, so that this nests no deeper than the text. */
static void show_node(struct show *show, const struct avro_node *node, unsigned indent)
{
    if (node->items) {
        show_node(show, node->items, indent);
    }
    for (uint32_t i = 0; i < node->branch_count; i++) {
        const struct avro_node *branch = node->branches[i];
        if (branch->ordinal > 0 && branch->kind != AVRO_FIXED && !show->is_shown[branch->ordinal]) {
            out_put_format(&show->line, "%*s", (int)indent, "");
            avro_node_put_words(branch, &show->line);
            out_put_byte(&show->line, ':');
            schema_line_print(&show->line);
            show_node(show, branch, indent + 4);
        } else {
            show_node(show, branch, indent);
        }
    }
    if (node->ordinal > 0 && !show->is_shown[node->ordinal]) {
        show->is_shown[node->ordinal] = true;
        show_named(show, node, indent);
    }
}

int schema_show_command(int argc, char **argv)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    if (argc != 1) {
        return command_misuse("schema show", "usage: weir schema show FILE");
    }
    enum err e = command_read_schema(argv[0], &schema, &why);
    if (e) {
        return command_complain(argv[0], e, &why);
    }
    struct show show = {.is_shown = calloc(AVRO_NODE_MAX + 1, sizeof(bool))};
    int code = EXIT_FAILED;
    if (show.is_shown && schema_line_open(&show.line)) {
        avro_node_put_words(avro_schema_root(schema), &show.line);
        put_text(&show.line, "   # ", avro_schema_root(schema)->doc);
        schema_line_print(&show.line);
        show_node(&show, avro_schema_root(schema), 4);
        code = command_finish();
    }
    free(show.line.data);
    free(show.is_shown);
    avro_schema_close(schema);
    return code;
}
