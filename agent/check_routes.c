/* `weir check`: does the stream's schema have the fields that a route sets, and can it hold them? */
#include <stdio.h>

#include "agent/agent_impl.h"
#include "config/template.h"
#include "uplink/avro/schema.h"

/* One "set" object: of a route, or (`index` below 0) of the driver itself. */
struct set_place {
    const struct config *config;
    struct config_report *report;
    const char *driver;
    int index;
};

static void set_wrong(const struct set_place *place, const char *field, const char *text)
{
    char path[256];
    char item[16];
    const char *of_route[] = {"drivers", place->driver, "routes", item, "set", field, NULL};
    const char *of_driver[] = {"drivers", place->driver, "set", field, NULL};
    bool is_route = place->index >= 0;
    (void)snprintf(item, sizeof item, "[%d]", place->index);
    (void)snprintf(path, sizeof path, "$.drivers.%s%s%s.set.%s", place->driver,
                   is_route ? ".routes" : "", is_route ? item : "", field); /* cut is fine */
    config_report_add(place->report, place->config,
                      config_offset(place->config, is_route ? of_route : of_driver), path, text);
}

static enum err check_late(const struct avro_node *node, enum template_kind kind, const char *field,
                           struct why *why)
{
    enum avro_kind wanted = kind == TEMPLATE_TIME ? AVRO_LONG : AVRO_STRING;
    if (node->kind == wanted) {
        return ERR_OK;
    }
    why_set(why,
            "%s is filled in when the event is sent, so the schema's field \"%s\" must be a %s, "
            "and no union",
            kind == TEMPLATE_TIME ? "{time}"
            : kind == TEMPLATE_ID ? "{id}"
                                  : "{time_trust}",
            field, kind == TEMPLATE_TIME ? "long (best a timestamp-millis or -micros)" : "string");
    return ERR_CONFIG;
}

static void check_set(const struct set_place *place, const struct option_map *set,
                      const struct avro_node *record, const char *stream)
{
    const char *const *templates = set->items;
    size_t late_count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const char *field = set->names[i];
        struct why why = {""};
        int32_t found = avro_field_find(record, slice_of_text(field), 0);
        enum template_kind kind = template_late(templates[i]);
        late_count += kind != TEMPLATE_TEXT;
        if (found < 0) {
            why_set(&why,
                    "the schema of stream \"%s\" has no field \"%s\": add it there, or take "
                    "it out here",
                    stream, field);
        } else if (kind != TEMPLATE_TEXT && late_count > FILL_MAX) {
            why_set(&why, "at most %d fields of an event are filled in when it is sent", FILL_MAX);
        } else if (kind == TEMPLATE_TEXT ||
                   check_late(record->fields[found].node, kind, field, &why) == ERR_OK) {
            continue;
        }
        set_wrong(place, field, why.text);
    }
}

static void check_target(const struct set_place *place, const struct option_map *set,
                         const char *stream)
{
    int index = stream && set->count ? config_stream_index(place->config, stream) : -1;
    const char *path = index >= 0 ? place->config->streams[index].options.schema : NULL;
    struct avro_schema *schema = NULL;
    if (path && agent_schema_load(path, &schema, NULL) == ERR_OK) { /* else it is told elsewhere */
        const struct avro_node *record = avro_schema_root(schema);
        if (record->kind == AVRO_RECORD) {
            check_set(place, set, record, stream);
        }
    }
    avro_schema_close(schema);
}

void check_routes(const struct config *config, struct config_report *report)
{
    for (size_t i = 0; i < config->driver_count; i++) {
        const struct driver_common *common = &config->drivers[i].common;
        struct set_place place = {config, report, config->drivers[i].name, -1};
        const struct route_options *routes = common->routes.items;
        check_target(&place, &common->set, common->stream);
        for (size_t r = 0; r < common->routes.count; r++) {
            place.index = (int)r;
            check_target(&place, &routes[r].set, routes[r].stream);
        }
    }
}
