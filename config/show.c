#include <assert.h>
#include <inttypes.h>

#include "config/fill.h"
#include "config/print.h"
#include "config/units.h"

#define SHOW_DEPTH_MAX 16

/* What is open: a record (rows, base; perhaps a second table), or a list or map of records. */
struct show_frame {
    const struct option *rows;
    const uint8_t *base;
    const struct option *next_rows;
    const uint8_t *next_base;
    const struct option *list; /* not NULL: a list or map of records */
    const uint8_t *items;
    const char *const *names;
    size_t count;
    size_t index;
    bool has_member;
    char close;
};

struct show {
    const struct config *config;
    struct out *out;
    struct show_frame frames[SHOW_DEPTH_MAX];
    unsigned depth;
};

static void show_indent(struct show *show, unsigned depth)
{
    out_put_byte(show->out, '\n');
    for (unsigned i = 0; i < depth; i++) {
        out_put_text(show->out, "  ");
    }
}

/* A comma when needed, a new line, and the name. */
static void show_member(struct show *show, const char *name)
{
    struct show_frame *frame = &show->frames[show->depth - 1];
    if (frame->has_member) {
        out_put_byte(show->out, ',');
    }
    frame->has_member = true;
    show_indent(show, show->depth);
    if (name) {
        out_put_json(show->out, slice_of_text(name));
        out_put_text(show->out, ": ");
    }
}

static void show_push(struct show *show, const struct show_frame *frame)
{
    assert(show->depth < SHOW_DEPTH_MAX);
    out_put_byte(show->out, frame->close == '}' ? '{' : '[');
    show->frames[show->depth++] = *frame;
}

static void show_text(struct show *show, const char *text)
{
    for (const struct fill_origin *o = show->config->origins; o; o = o->next) {
        if (o->text == text) {
            text = o->written;
            break;
        }
    }
    out_put_json(show->out, slice_of_text(text ? text : ""));
}

static int64_t show_number_at(const uint8_t *member)
{
    int64_t number;
    memcpy(&number, member, sizeof number);
    return number;
}

static const char *show_text_at(const uint8_t *member)
{
    const char *text;
    memcpy(&text, member, sizeof text);
    return text;
}

static void show_plain(struct show *show, const struct option *option, const uint8_t *member)
{
    struct option_any any;
    struct option_decimal decimal;
    switch (option->kind) {
    case OPTION_BOOL:
        out_put_text(show->out, *member ? "true" : "false");
        return;
    case OPTION_INT:
        out_put_format(show->out, "%" PRId64, show_number_at(member));
        return;
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
        out_put_byte(show->out, '"');
        units_put(option, show_number_at(member), show->out);
        out_put_byte(show->out, '"');
        return;
    case OPTION_DECIMAL:
        memcpy(&decimal, member, sizeof decimal);
        units_put_decimal(&decimal, show->out);
        return;
    case OPTION_CHOICE:
        out_put_json(show->out, slice_of_text(option->words[show_number_at(member)]));
        return;
    case OPTION_SECRET:
        out_put_text(show->out, "\"***\"");
        return;
    case OPTION_TEXT:
    case OPTION_PATH:
        show_text(show, show_text_at(member));
        return;
    case OPTION_ANY:
        memcpy(&any, member, sizeof any);
        out_put(show->out, any.json, any.size);
        return;
    case OPTION_RECORD:
    case OPTION_LIST:
    case OPTION_MAP:
        break;
    }
    assert(false && "not plain");
}

/* Is there anything to show? What was not given and has no default is left out. */
static bool show_has(const struct option *option, const uint8_t *member)
{
    struct option_list list;
    struct option_map map;
    struct option_any any;
    struct option_decimal decimal;
    switch (option->kind) {
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_PATH:
        return show_text_at(member) != NULL;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_RATE:
    case OPTION_SHARE:
        return option->initial || show_number_at(member) != 0;
    case OPTION_DECIMAL:
        memcpy(&decimal, member, sizeof decimal);
        return decimal.is_set;
    case OPTION_ANY:
        memcpy(&any, member, sizeof any);
        return any.json != NULL;
    case OPTION_RECORD:
        return !(option->flags & OPTION_MISSING_OK) || *member;
    case OPTION_LIST:
        memcpy(&list, member, sizeof list);
        return list.count > 0;
    case OPTION_MAP:
        memcpy(&map, member, sizeof map);
        return map.count > 0;
    case OPTION_BOOL:
    case OPTION_CHOICE:
        break;
    }
    return true;
}

static void show_items(struct show *show, const struct option *option, const uint8_t *member)
{
    const struct option_map map = option_items(option, member);
    show_push(show, &(struct show_frame){.list = option,
                                         .items = map.items,
                                         .names = map.names,
                                         .count = map.count,
                                         .close = option->kind == OPTION_MAP ? '}' : ']'});
}

/* The next entry of the list or map on top, or its end. */
static bool show_next_item(struct show *show, struct show_frame *frame)
{
    if (frame->index == frame->count) {
        return false;
    }
    size_t index = frame->index++;
    const uint8_t *item = frame->items + index * option_item_size(frame->list);
    show_member(show, frame->names ? frame->names[index] : NULL);
    if (frame->list->record) {
        show_push(show,
                  &(struct show_frame){.rows = frame->list->record, .base = item, .close = '}'});
    } else {
        show_plain(show, frame->list->item, item);
    }
    return true;
}

static bool show_next_row(struct show *show, struct show_frame *frame)
{
    if (!frame->rows || !frame->rows->name) {
        frame->rows = frame->next_rows;
        frame->base = frame->next_base;
        frame->next_rows = NULL;
        if (!frame->rows || !frame->rows->name) {
            return false;
        }
    }
    const struct option *option = frame->rows++;
    if (option->flags & OPTION_NONE) {
        return true;
    }
    const uint8_t *member = frame->base + option->offset;
    if (!show_has(option, member)) {
        return true;
    }
    show_member(show, option->name);
    if (option->kind == OPTION_RECORD) {
        show_push(show, &(struct show_frame){.rows = option->record, .base = member, .close = '}'});
    } else if (option->kind == OPTION_LIST || option->kind == OPTION_MAP) {
        show_items(show, option, member);
    } else {
        show_plain(show, option, member);
    }
    return true;
}

/* A record with everything in it; one or two tables. */
static void show_record(struct show *show, const char *name, const struct show_frame *record)
{
    show_member(show, name);
    unsigned floor = show->depth;
    show_push(show, record);
    while (show->depth > floor) {
        struct show_frame *frame = &show->frames[show->depth - 1];
        if (frame->list ? show_next_item(show, frame) : show_next_row(show, frame)) {
            continue;
        }
        show->depth--;
        if (frame->has_member) {
            show_indent(show, show->depth);
        }
        out_put_byte(show->out, (uint8_t)frame->close);
    }
}

static void show_section(struct show *show, const char *name)
{
    show_member(show, name);
    show_push(show, &(struct show_frame){.close = '}'});
}

static void show_section_end(struct show *show)
{
    show->depth--;
    show_indent(show, show->depth);
    out_put_byte(show->out, '}');
}

void print_config(const struct config *config, struct out *ret)
{
    struct show show = {.config = config, .out = ret};
    show_push(&show, &(struct show_frame){.close = '}'});
    show_record(&show, "agent",
                &(struct show_frame){.rows = agent_options_table,
                                     .base = (const uint8_t *)&config->agent,
                                     .close = '}'});
    show_record(&show, "buffer",
                &(struct show_frame){.rows = buffer_options_table,
                                     .base = (const uint8_t *)&config->buffer,
                                     .close = '}'});
    show_record(&show, "status",
                &(struct show_frame){.rows = status_options_table,
                                     .base = (const uint8_t *)&config->status,
                                     .close = '}'});
    show_section(&show, "streams");
    for (size_t i = 0; i < config->stream_count; i++) {
        show_record(&show, config->streams[i].name,
                    &(struct show_frame){.rows = stream_options_table,
                                         .base = (const uint8_t *)&config->streams[i].options,
                                         .close = '}'});
    }
    show_section_end(&show);
    show_section(&show, "drivers");
    for (size_t i = 0; i < config->driver_count; i++) {
        const struct config_driver *driver = &config->drivers[i];
        show_record(&show, driver->name,
                    &(struct show_frame){.rows = driver_common_table,
                                         .base = (const uint8_t *)&driver->common,
                                         .next_rows = driver->class_->options,
                                         .next_base = driver->options,
                                         .close = '}'});
    }
    show_section_end(&show);
    show_section(&show, "uplinks");
    for (size_t i = 0; i < config->uplink_count; i++) {
        const struct config_uplink *uplink = &config->uplinks[i];
        show_record(&show, uplink->name,
                    &(struct show_frame){.rows = uplink_common_table,
                                         .base = (const uint8_t *)&uplink->common,
                                         .next_rows = uplink->class_->options,
                                         .next_base = uplink->options,
                                         .close = '}'});
    }
    show_section_end(&show);
    show_section(&show, "links");
    for (size_t i = 0; i < config->link_count; i++) {
        show_record(&show, config->links[i].name,
                    &(struct show_frame){.rows = link_options_table,
                                         .base = (const uint8_t *)&config->links[i].options,
                                         .close = '}'});
    }
    show_section_end(&show);
    show_section_end(&show);
    out_put_byte(ret, '\n');
}
