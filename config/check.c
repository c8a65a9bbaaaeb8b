#include <string.h>

#include "config/load.h"
#include "ports/listen.h"

/* The value at section.name.option, for its place; else the nearest that is there. */
static const struct json_node *load_node(const struct load *load, const char *section,
                                         const char *name, const char *option)
{
    const struct json_node *node = json_node_find(json_node_find(load->root, section), name);
    const struct json_node *value = json_node_find(node, option);
    return value ? value : node ? node : load->root;
}

/* What a name refers to. */
enum section { SECTION_STREAMS, SECTION_UPLINKS, SECTION_LINKS };

static const char *const section_words[] = {"stream", "uplink", "link"};

static size_t section_count(const struct config *config, enum section section)
{
    return section == SECTION_STREAMS   ? config->stream_count
           : section == SECTION_UPLINKS ? config->uplink_count
                                        : config->link_count;
}

static const char *section_name(const struct config *config, enum section section, size_t i)
{
    return section == SECTION_STREAMS   ? config->streams[i].name
           : section == SECTION_UPLINKS ? config->uplinks[i].name
                                        : config->links[i].name;
}

/* Notes a name that is none of the section's. */
static void load_check_reference(struct load *load, size_t offset, const char *path,
                                 const char *name, enum section section)
{
    struct config *config = load->config;
    size_t count = section_count(config, section);
    const char **names = memory_take(config->memory, (count + 1) * sizeof *names);
    if (!names) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = section_name(config, section, i);
        if (strcmp(names[i], name) == 0) {
            return;
        }
    }
    const char *near = suggest_name(name, names);
    const char *word = section_words[section];
    fill_wrong(&load->fill, offset, path, "there is no %s \"%.63s\"%s%s%s", word, name,
               near ? "; did you mean \"" : ": add it to $.", near ? near : word,
               near ? "\"?" : "s");
}

static const struct json_node *node_at(const struct json_node *list, size_t index)
{
    const struct json_node *node = list->child;
    for (size_t i = 0; node && i < index; i++) {
        node = node->next;
    }
    return node ? node : list;
}

static void load_check_names(struct load *load, const char *section, const char *name,
                             const struct option_list *list, enum section of)
{
    bool is_stream = of == SECTION_STREAMS;
    const char *const *names = list->items;
    const char *option = is_stream ? "streams" : "uplinks";
    const struct json_node *node = load_node(load, section, name, option);
    for (size_t i = 0; i < list->count; i++) {
        if (names[i] && (!is_stream || strcmp(names[i], CONFIG_EVENTS_STREAM) != 0)) {
            load_check_reference(
                load, node_at(node, i)->offset,
                memory_format(load->config->memory, "$.%s.%s.%s[%zu]", section, name, option, i),
                names[i], of);
        }
    }
}

static void load_check_driver(struct load *load, struct config_driver *driver)
{
    struct driver_common *common = &driver->common;
    struct config *config = load->config;
    const struct json_node *list = load_node(load, "drivers", driver->name, "routes");
    struct route_options *routes = common->routes.items;
    for (size_t i = 0; i < common->routes.count; i++) {
        if (routes[i].stream) {
            load_check_reference(
                load, node_at(list, i)->offset,
                memory_format(config->memory, "$.drivers.%s.routes[%zu].stream", driver->name, i),
                routes[i].stream, SECTION_STREAMS);
        }
    }
    const char *path = memory_format(config->memory, "$.drivers.%s.stream", driver->name);
    size_t offset = load_node(load, "drivers", driver->name, "stream")->offset;
    if (common->stream) {
        load_check_reference(load, offset, path, common->stream, SECTION_STREAMS);
    } else if (common->routes.count == 0 && config->stream_count == 1) {
        common->stream = config->streams[0].name;
    } else if (common->routes.count == 0 && config->stream_count > 1) {
        fill_wrong(&load->fill, offset, path,
                   "where do its events go? Name a stream here, or give routes");
    } else if (common->set.count > 0 && common->routes.count > 0) {
        fill_wrong(&load->fill, load_node(load, "drivers", driver->name, "set")->offset,
                   memory_format(config->memory, "$.drivers.%s.set", driver->name),
                   "belongs to `stream`, which is not given: put it into the routes");
    }
}

static bool list_has(const struct option_list *list, const char *name)
{
    const char *const *names = list->items;
    for (size_t i = 0; i < list->count; i++) {
        if (names[i] && strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return list->count == 0;
}

/* The names of objects that say something for single streams. */
static void load_check_stream_maps(struct load *load, const struct config_uplink *uplink)
{
    const struct option *row = uplink->options ? uplink->class_->options : NULL;
    for (; row && row->name; row++) {
        if (!(row->flags & OPTION_STREAMS)) {
            continue;
        }
        const struct option_map *map = (const void *)((const char *)uplink->options + row->offset);
        const struct json_node *node = load_node(load, "uplinks", uplink->name, row->name);
        for (size_t i = 0; i < map->count; i++) {
            if (map->names[i] && strcmp(map->names[i], CONFIG_EVENTS_STREAM) != 0) {
                load_check_reference(load, node_at(node, i)->name_offset,
                                     memory_format(load->config->memory, "$.uplinks.%s.%s.%s",
                                                   uplink->name, row->name, map->names[i]),
                                     map->names[i], SECTION_STREAMS);
            }
        }
    }
}

/* Would the agent's own events go to a place of their own, rather than among those of a stream? */
static bool keeps_streams_apart(const struct config_uplink *uplink)
{
    const struct option *row = uplink->options ? uplink->class_->options : NULL;
    while (row && row->name && !(row->flags & OPTION_PER_STREAM)) {
        row++;
    }
    if (!row || !row->name) {
        return true;
    }
    const char *text =
        *(const char *const *)(const void *)((const char *)uplink->options + row->offset);
    return text && strstr(text, "{stream}");
}

/* A level with a '*' in it becomes '+'. */
static const char *topic_filter(struct load *load, const char *pattern)
{
    char *filter = memory_take(load->config->memory, strlen(pattern) + 1);
    if (!filter) {
        return pattern;
    }
    char *end = filter;
    while (*pattern) {
        size_t size = strcspn(pattern, "/");
        if (memchr(pattern, '*', size)) {
            *end++ = '+';
        } else {
            memcpy(end, pattern, size);
            end += size;
        }
        pattern += size;
        if (*pattern == '/') {
            *end++ = *pattern++;
        }
    }
    *end = 0;
    return filter;
}

/* The topics that a driver subscribes to, when it is not told others. */
static void load_route_topics(struct load *load, struct config_driver *driver)
{
    const struct option *row = driver->class_->options;
    while (row->name && !(row->flags & OPTION_ROUTE_TOPICS)) {
        row++;
    }
    if (!row->name || !driver->options) {
        return;
    }
    struct option_list *list = (void *)((char *)driver->options + row->offset);
    const struct route_options *routes = driver->common.routes.items;
    const char **items =
        memory_take(load->config->memory, (driver->common.routes.count + 1) * sizeof *items);
    if (list->count || !items) {
        return;
    }
    list->items = items;
    for (size_t i = 0; i < driver->common.routes.count; i++) {
        if (routes[i].topic) {
            items[list->count++] = topic_filter(load, routes[i].topic);
        }
    }
}

/* The first stream that blocks when it is full, of a driver that feeds more than one; else NULL. */
static const char *blocks_others(const struct config *config, const struct driver_common *common)
{
    const struct route_options *routes = common->routes.items;
    const char *one = common->stream, *blocking = NULL;
    bool has_others = false;
    for (size_t i = 0; i <= common->routes.count; i++) {
        const char *name = i < common->routes.count ? routes[i].stream : common->stream;
        int index = name ? config_stream_index(config, name) : -1;
        if (index < 0) {
            continue;
        }
        one = one ? one : name;
        has_others = has_others || strcmp(one, name) != 0;
        bool blocks = config->streams[index].options.when_full == STREAM_BLOCK;
        blocking = !blocking && blocks ? name : blocking;
    }
    return has_others ? blocking : NULL;
}

static void load_warn_driver(struct load *load, const struct config_driver *driver)
{
    struct config *config = load->config;
    const char *stream = driver->class_->is_in_line ? blocks_others(config, &driver->common) : NULL;
    if (stream) {
        fill_warn(&load->fill, load_node(load, "drivers", driver->name, "")->offset,
                  memory_format(config->memory, "$.drivers.%s", driver->name),
                  "its events come in one line: when stream \"%.63s\" is full, which blocks, those "
                  "for other streams wait too. A driver of its own for \"%.63s\" keeps them apart",
                  stream, stream);
    }
}

/* What a driver or uplink says about its options together; once nothing else is wrong. */
static void load_check_class(struct load *load, const char *section, const char *name,
                             enum err (*check)(const void *options, struct why *why),
                             const void *options)
{
    struct why why = {""};
    if (load->fill.error_count == 0 && check && check(options, &why)) {
        fill_wrong(&load->fill, load_node(load, section, name, "")->offset,
                   memory_format(load->config->memory, "$.%s.%s", section, name), "%s", why.text);
    }
}

static void load_check_classes(struct load *load)
{
    const struct config *config = load->config;
    for (size_t i = 0; i < config->driver_count; i++) {
        const struct config_driver *driver = &config->drivers[i];
        load_check_class(load, "drivers", driver->name,
                         driver->class_ ? driver->class_->check : NULL, driver->options);
    }
    for (size_t i = 0; i < config->uplink_count; i++) {
        const struct config_uplink *uplink = &config->uplinks[i];
        load_check_class(load, "uplinks", uplink->name,
                         uplink->class_ ? uplink->class_->check : NULL, uplink->options);
    }
}

static bool can_be_columns(const struct config_uplink *uplink, struct why *why)
{
    const struct uplink_class *class_ = uplink->class_;
    if (!class_ || !uplink->options || !class_->columns) {
        why_set(why, "an uplink of type %s sends rows only: leave it out", uplink->common.type);
        return false;
    }
    return !class_->columns(uplink->options, why);
}

/* What layout and partitioning come to. */
static void load_resolve_layouts(struct load *load)
{
    struct config *config = load->config;
    for (size_t i = 0; i < config->uplink_count && load->fill.error_count == 0; i++) {
        struct config_uplink *uplink = &config->uplinks[i];
        struct why why = {""};
        bool is_asked = uplink->common.layout == UPLINK_LAYOUT_COLUMNS;
        bool is_wanted =
            uplink->common.layout == UPLINK_LAYOUT_AUTO ? uplink->is_metered : is_asked;
        bool can = can_be_columns(uplink, &why);
        uplink->layout = is_wanted && can ? LAYOUT_COLUMNS : LAYOUT_ROWS;
        uplink->by_agent = uplink->common.partition_by == UPLINK_BY_AGENT ||
                           (uplink->common.partition_by == UPLINK_BY_AUTO &&
                            (uplink->is_metered || uplink->layout == LAYOUT_COLUMNS));
        if (is_asked && !can) {
            fill_wrong(&load->fill, load_node(load, "uplinks", uplink->name, "layout")->offset,
                       memory_format(config->memory, "$.uplinks.%s.layout", uplink->name), "%s",
                       why.text);
        }
    }
}

/* Which stream goes where. */
static void load_connect(struct load *load)
{
    struct config *config = load->config;
    size_t errors_before = load->fill.error_count; /* a wrong name must not be told twice */
    for (size_t s = 0; s < config->stream_count; s++) {
        struct config_stream *stream = &config->streams[s];
        for (size_t u = 0; u < config->uplink_count; u++) {
            if (list_has(&stream->options.uplinks, config->uplinks[u].name) &&
                list_has(&config->uplinks[u].common.streams, stream->name)) {
                stream->uplinks |= UINT32_C(1) << u;
            }
        }
        if (!stream->uplinks && config->uplink_count > 0 && errors_before == 0) {
            fill_wrong(&load->fill, stream->offset,
                       memory_format(config->memory, "$.streams.%s", stream->name),
                       "no uplink takes it: its `uplinks` and their `streams` do not meet");
        }
    }
    for (size_t u = 0; u < config->uplink_count; u++) {
        struct config_uplink *uplink = &config->uplinks[u];
        uplink->carries_events = list_has(&uplink->common.streams, CONFIG_EVENTS_STREAM) &&
                                 (uplink->common.streams.count > 0 || keeps_streams_apart(uplink));
        if (uplink->common.hold_max == 0) {
            uplink->common.hold_max = config->uplink_count > 1 ? 500000 : 1000000;
        }
    }
}

static void load_check_shares(struct load *load)
{
    struct config *config = load->config;
    int64_t total = 0;
    for (size_t s = 0; s < config->stream_count; s++) {
        total += config->streams[s].options.share_min;
    }
    if (total > 1000000) {
        fill_wrong(&load->fill, json_node_find(load->root, "streams")->offset, "$.streams",
                   "the streams' share_min add up to more than 100 %%");
    }
}

/* Fields that an event brings are missing in all others. */
static void load_check_fields(struct load *load, const struct config_stream *stream)
{
    const struct stream_config *options = &stream->options;
    if (options->unknown_fields == STREAM_UNKNOWN_EXTEND &&
        options->missing_fields == STREAM_MISSING_SET_ASIDE) {
        fill_wrong(&load->fill, load_node(load, "streams", stream->name, "unknown_fields")->offset,
                   memory_format(load->config->memory, "$.streams.%s.unknown_fields", stream->name),
                   "\"extend\" adds fields that other events do not have, and \"missing_fields\": "
                   "\"set_aside\" would set all of those aside: leave one of the two out");
    }
}

/* --- links --- */

#define JITTER_MS 5000
#define JITTER_METERED_MS 30000

static bool is_given(const struct load *load, const char *section, const char *name,
                     const char *option)
{
    const struct json_node *node = json_node_find(json_node_find(load->root, section), name);
    return json_node_find(node, option) != NULL;
}

static void load_check_link(struct load *load, struct config_link *link)
{
    struct link_config *o = &link->options;
    if (!is_given(load, "links", link->name, "jitter")) {
        o->jitter_ms = o->metered ? JITTER_METERED_MS : JITTER_MS;
    }
    if (o->count == LINK_COUNT_INTERFACE && !o->interface) {
        fill_wrong(&load->fill, load_node(load, "links", link->name, "count")->offset,
                   memory_format(load->config->memory, "$.links.%s.count", link->name),
                   "\"interface\" needs one: set `interface`");
    }
}

static void load_check_status(struct load *load)
{
    const struct status_options *o = &load->config->status;
    struct listen_safety safety = {
        .has_token = o->token, .has_tls = o->tls.is_set, .insecure = o->insecure};
    struct why why = {""};
    char host[LISTEN_HOST_SIZE];
    uint16_t port;
    bool is_told = !o->listen || !listen_parse(o->listen, host, &port); /* by its row */
    if (o->enabled && !is_told && listen_check_safe(o->listen, &safety, &why)) {
        fill_wrong(&load->fill, load_node(load, "status", "listen", "")->offset, "$.status", "%s",
                   why.text);
    }
}

/* A link that would never be used, behind those that the uplink has already. */
static void load_check_choice(struct load *load, const struct config_uplink *uplink, uint8_t index,
                              size_t offset, const char *path)
{
    const struct config_link *links = load->config->links;
    for (size_t i = 0; i < uplink->link_count; i++) {
        const struct config_link *before = &links[uplink->links[i]];
        if (uplink->links[i] == index) {
            fill_wrong(&load->fill, offset, path, "\"%.63s\" is there twice", before->name);
            return;
        }
        if (!before->options.interface) {
            fill_wrong(&load->fill, offset, path,
                       "\"%.63s\" would never be used: \"%.63s\" before it names no interface, and "
                       "so is always up; set its `interface`, or put it last",
                       links[index].name, before->name);
            return;
        }
    }
}

/* The links of an uplink by their places, and what follows from them. */
static void load_check_uplink_links(struct load *load, struct config_uplink *uplink)
{
    struct config *config = load->config;
    const struct option_list *list = &uplink->common.link;
    const char *const *names = list->items;
    const struct json_node *node = load_node(load, "uplinks", uplink->name, "link");
    bool is_list = node->kind == JSON_ARRAY_BEGIN;
    for (size_t i = 0; i < list->count && i < CONFIG_LINK_CHOICE_MAX; i++) {
        int index = names[i] ? config_link_index(config, names[i]) : -1;
        const char *path = memory_format(config->memory, "$.uplinks.%s.link", uplink->name);
        path = is_list ? memory_format(config->memory, "%s[%zu]", path, i) : path;
        size_t offset = node_at(node, i)->offset;
        if (index < 0 && names[i]) {
            load_check_reference(load, offset, path, names[i], SECTION_LINKS);
        }
        if (index >= 0) {
            load_check_choice(load, uplink, (uint8_t)index, offset, path);
            uplink->links[uplink->link_count++] = (uint8_t)index;
            uplink->is_metered = uplink->is_metered || config->links[index].options.metered;
        }
    }
}

/* Names of links among a driver's own options. */
static void load_check_driver_links(struct load *load, struct config_driver *driver)
{
    driver->link_index = -1;
    const struct option *row = driver->options ? driver->class_->options : NULL;
    for (; row && row->name; row++) {
        if (row->kind != OPTION_TEXT || !(row->flags & OPTION_LINK)) {
            continue;
        }
        const char *name =
            *(const char *const *)(const void *)((const char *)driver->options + row->offset);
        if (name) {
            load_check_reference(
                load, load_node(load, "drivers", driver->name, row->name)->offset,
                memory_format(load->config->memory, "$.drivers.%s.%s", driver->name, row->name),
                name, SECTION_LINKS);
            driver->link_index = config_link_index(load->config, name);
        }
    }
}

void load_check(struct load *load)
{
    struct config *config = load->config;
    for (size_t i = 0; i < config->stream_count; i++) {
        load_check_names(load, "streams", config->streams[i].name,
                         &config->streams[i].options.uplinks, SECTION_UPLINKS);
        load_check_fields(load, &config->streams[i]);
    }
    for (size_t i = 0; i < config->driver_count; i++) {
        if (config->drivers[i].class_) {
            load_check_driver(load, &config->drivers[i]);
            load_route_topics(load, &config->drivers[i]);
            load_warn_driver(load, &config->drivers[i]);
            load_check_driver_links(load, &config->drivers[i]);
        }
    }
    for (size_t i = 0; i < config->link_count; i++) {
        load_check_link(load, &config->links[i]);
    }
    for (size_t i = 0; i < config->uplink_count; i++) {
        load_check_names(load, "uplinks", config->uplinks[i].name,
                         &config->uplinks[i].common.streams, SECTION_STREAMS);
        load_check_stream_maps(load, &config->uplinks[i]);
        load_check_uplink_links(load, &config->uplinks[i]);
    }
    load_check_status(load);
    load_check_shares(load);
    load_connect(load);
    load_check_classes(load);
    load_resolve_layouts(load);
    if (!config->agent.socket && config->buffer.path) {
        const char *slash = strrchr(config->buffer.path, '/');
        int size = slash ? (int)(slash - config->buffer.path) + 1 : 0;
        config->agent.socket =
            memory_format(config->memory, "%.*sweir.sock", size, config->buffer.path);
    }
}
