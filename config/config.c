#include "config/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "ports/file.h"

static const char *const sections[] = {"agent",   "buffer",  "status", "streams",
                                       "drivers", "uplinks", "links",  NULL};

static void config_report_line(struct config_report *report, const struct config *config,
                               const struct fill_finding *finding)
{
    unsigned line;
    unsigned column;
    json_place(config->text, finding->offset, &line, &column);
    struct out saved = report->text;
    out_put_format(&report->text, "%.256s:%u:%u: ", config->path, line, column);
    out_put_text(&report->text, finding->path);
    out_put_text(&report->text, finding->is_warning ? ": warning: " : ": ");
    out_put_text(&report->text, finding->text);
    out_put_text(&report->text, "\n");
    if (report->text.overflow) { /* whole lines only */
        report->text = saved;
    }
}

void config_report_add(struct config_report *report, const struct config *config, size_t offset,
                       const char *json_path, const char *text)
{
    struct fill_finding finding = {.offset = offset, .path = json_path, .text = text};
    report->error_count++;
    config_report_line(report, config, &finding);
}

void config_report_warn(struct config_report *report, const struct config *config, size_t offset,
                        const char *json_path, const char *text)
{
    struct fill_finding finding = {
        .offset = offset, .path = json_path, .text = text, .is_warning = true};
    report->warning_count++;
    config_report_line(report, config, &finding);
}

/* A mistake that has no place in the file. */
static void config_report_file(struct config_report *report, const char *path, const char *text)
{
    report->error_count++;
    out_put_format(&report->text, "%.256s:1:1: $: ", path);
    out_put_text(&report->text, text);
    out_put_text(&report->text, "\n");
}

/* Names of streams, drivers, uplinks and links end up in file names, metrics and topics. */
static bool load_check_name(struct load *load, const struct json_node *node, const char *path)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t size = strlen(node->name);
    if (size < 1 || size > 63 || strspn(node->name, allowed) != size) {
        fill_wrong(&load->fill, node->name_offset, path,
                   "a name has 1 to 63 characters of A-Z a-z 0-9 _ . -");
        return false;
    }
    if (strncmp(node->name, "weir.", 5) == 0) {
        fill_wrong(&load->fill, node->name_offset, path,
                   "names that start with \"weir.\" are taken");
        return false;
    }
    return true;
}

/* The section as an object with 1 to `max` members (0 to, when it may be missing), or NULL. */
static const struct json_node *load_section(struct load *load, const char *name, size_t max,
                                            bool is_needed)
{
    const struct json_node *node = json_node_find(load->root, name);
    const char *path = memory_format(load->config->memory, "$.%s", name);
    if (!node || (is_needed && node->kind == JSON_OBJECT_BEGIN && node->count == 0)) {
        if (is_needed) {
            fill_wrong(&load->fill, node ? node->offset : load->root->offset, path,
                       "at least one is needed");
        }
        return NULL;
    }
    if (node->kind != JSON_OBJECT_BEGIN) {
        fill_wrong(&load->fill, node->offset, path, "%s, but an object {} is wanted",
                   fill_kind_name(node->kind));
        return NULL;
    }
    if (node->count > max) {
        fill_wrong(&load->fill, node->offset, path, "%zu of them: at most %zu", node->count, max);
        return NULL;
    }
    return node;
}

/* False: what stands under this name can't be filled. */
static bool load_begin(struct load *load, const struct json_node *node, const char *section,
                       const char **ret_path)
{
    const char *path = memory_format(load->config->memory, "$.%s.%s", section, node->name);
    *ret_path = path;
    bool is_named = load_check_name(load, node, path);
    if (node->kind != JSON_OBJECT_BEGIN) {
        fill_wrong(&load->fill, node->offset, path, "%s, but an object {} is wanted",
                   fill_kind_name(node->kind));
        return false;
    }
    return is_named;
}

static void load_streams(struct load *load)
{
    const struct json_node *section = load_section(load, "streams", CONFIG_STREAM_MAX, true);
    struct config *config = load->config;
    if (!section) {
        return;
    }
    config->streams = memory_take(config->memory, section->count * sizeof *config->streams);
    const struct json_node *node = config->streams ? section->child : NULL;
    for (; node; node = node->next) {
        struct config_stream *stream = &config->streams[config->stream_count++];
        const char *path;
        stream->name = memory_text(config->memory, slice_of_text(node->name));
        stream->offset = node->offset;
        if (load_begin(load, node, "streams", &path)) {
            fill_add(&load->fill, &(struct fill_record){.node = node,
                                                        .path = path,
                                                        .offset = node->offset,
                                                        .tables = {stream_options_table},
                                                        .structs = {&stream->options}});
        }
    }
}

/* Is this word in the list, which may be NULL? */
static bool load_is_in(const char *const *list, const char *word)
{
    while (list && *list && strcmp(*list, word) != 0) {
        list++;
    }
    return list && *list;
}

/* The place in `types` of the word under "type", or -1 with the reason noted. */
static int load_type(struct load *load, const struct json_node *node, const char *path,
                     const char *const *types, const char *const *left_out)
{
    const struct json_node *type = json_node_find(node, "type");
    const char *type_path = memory_format(load->config->memory, "%s.type", path);
    const char *word = json_node_text(type);
    char list[400];
    struct out out = out_over(list, sizeof list);
    for (int i = 0; types[i]; i++) {
        if (word && strcmp(word, types[i]) == 0) {
            return i;
        }
        out_put_format(&out, "%s%s", i ? ", " : "", types[i]);
    }
    if (!type) {
        fill_wrong(&load->fill, node->offset, type_path, "is missing: one of %.*s", (int)out.size,
                   list);
        return -1;
    }
    if (word && load_is_in(left_out, word)) {
        fill_wrong(&load->fill, type->offset, type_path,
                   "this weir was built without \"%s\"; it has %.*s: install a build with it", word,
                   (int)out.size, list);
        return -1;
    }
    const char *near = word ? suggest_name(word, types) : NULL;
    fill_wrong(&load->fill, type->offset, type_path, "there is no such type: one of %.*s%s%s%s",
               (int)out.size, list, near ? "; did you mean \"" : "", near ? near : "",
               near ? "\"?" : "");
    return -1;
}

#define TYPE_MAX 63

static void load_drivers(struct load *load)
{
    const struct json_node *section = load_section(load, "drivers", CONFIG_DRIVER_MAX, true);
    struct config *config = load->config;
    const char *types[TYPE_MAX + 1] = {NULL};
    for (size_t i = 0; load->parts->drivers[i]; i++) {
        assert(i < TYPE_MAX);
        types[i] = load->parts->drivers[i]->type;
    }
    if (!section) {
        return;
    }
    config->drivers = memory_take(config->memory, section->count * sizeof *config->drivers);
    const struct json_node *node = config->drivers ? section->child : NULL;
    for (; node; node = node->next) {
        struct config_driver *driver = &config->drivers[config->driver_count++];
        const char *path;
        driver->name = memory_text(config->memory, slice_of_text(node->name));
        int type = load_begin(load, node, "drivers", &path)
                       ? load_type(load, node, path, types, load->parts->drivers_left_out)
                       : -1;
        if (type < 0) {
            continue;
        }
        driver->class_ = load->parts->drivers[type];
        void *options = memory_take(config->memory, driver->class_->options_size);
        driver->options = options;
        if (options) {
            fill_add(&load->fill,
                     &(struct fill_record){.node = node,
                                           .path = path,
                                           .offset = node->offset,
                                           .tables = {driver_common_table, driver->class_->options},
                                           .structs = {&driver->common, options}});
        }
    }
}

static void load_uplinks(struct load *load)
{
    const struct json_node *section = load_section(load, "uplinks", CONFIG_UPLINK_MAX, true);
    struct config *config = load->config;
    const char *types[TYPE_MAX + 1] = {NULL};
    for (size_t i = 0; load->parts->uplinks[i]; i++) {
        assert(i < TYPE_MAX);
        types[i] = load->parts->uplinks[i]->type;
    }
    if (!section) {
        return;
    }
    config->uplinks = memory_take(config->memory, section->count * sizeof *config->uplinks);
    const struct json_node *node = config->uplinks ? section->child : NULL;
    for (; node; node = node->next) {
        struct config_uplink *uplink = &config->uplinks[config->uplink_count++];
        const char *path;
        uplink->name = memory_text(config->memory, slice_of_text(node->name));
        int type = load_begin(load, node, "uplinks", &path)
                       ? load_type(load, node, path, types, load->parts->uplinks_left_out)
                       : -1;
        if (type < 0) {
            continue;
        }
        uplink->class_ = load->parts->uplinks[type];
        void *options = memory_take(config->memory, uplink->class_->options_size);
        uplink->options = options;
        if (options) {
            fill_add(&load->fill,
                     &(struct fill_record){.node = node,
                                           .path = path,
                                           .offset = node->offset,
                                           .tables = {uplink_common_table, uplink->class_->options},
                                           .structs = {&uplink->common, options}});
        }
    }
}

static void load_links(struct load *load)
{
    const struct json_node *section = load_section(load, "links", CONFIG_LINK_MAX, false);
    struct config *config = load->config;
    if (!section) {
        return;
    }
    config->links = memory_take(config->memory, section->count * sizeof *config->links);
    const struct json_node *node = config->links ? section->child : NULL;
    for (; node; node = node->next) {
        struct config_link *link = &config->links[config->link_count++];
        const char *path;
        link->name = memory_text(config->memory, slice_of_text(node->name));
        if (load_begin(load, node, "links", &path)) {
            fill_add(&load->fill, &(struct fill_record){.node = node,
                                                        .path = path,
                                                        .offset = node->offset,
                                                        .tables = {link_options_table},
                                                        .structs = {&link->options}});
        }
    }
}

static void load_part(struct load *load, const char *name, const struct option *table,
                      void *options)
{
    const struct json_node *node = load_section(load, name, 1000, false);
    fill_add(&load->fill,
             &(struct fill_record){.node = node,
                                   .path = memory_format(load->config->memory, "$.%s", name),
                                   .offset = node ? node->offset : load->root->offset,
                                   .tables = {table},
                                   .structs = {options}});
}

static void load_sections(struct load *load)
{
    struct config *config = load->config;
    for (const struct json_node *node = load->root->child; node; node = node->next) {
        size_t i = 0;
        while (sections[i] && strcmp(sections[i], node->name) != 0) {
            i++;
        }
        if (!sections[i] && strcmp(node->name, "$schema") != 0) {
            fill_unknown(&load->fill, node, memory_format(config->memory, "$.%s", node->name),
                         sections);
        }
    }
    load_part(load, "agent", agent_options_table, &config->agent);
    load_part(load, "buffer", buffer_options_table, &config->buffer);
    load_part(load, "status", status_options_table, &config->status);
    load_streams(load);
    load_drivers(load);
    load_uplinks(load);
    load_links(load);
    fill_run(&load->fill);
}

/* The absolute folder of the file, with a slash behind: relative paths start there, wherever the
 * agent is started. NULL: no memory. */
static const char *load_folder(struct config *config)
{
    const char *slash = strrchr(config->path, '/');
    int size = slash ? (int)(slash - config->path) : 1;
    const char *written = slash == config->path ? "/"
                                                : memory_format(config->memory, "%.*s", size,
                                                                slash ? config->path : ".");
    char *real = written ? realpath(written, NULL) : NULL;
    if (!real) {
        return NULL;
    }
    const char *folder = memory_format(config->memory, "%s%s", real, real[1] ? "/" : "");
    free(real);
    return folder;
}

/* Fills and checks the whole tree. ERR_CONFIG: there are findings. */
static enum err load_tree(struct load *load, const struct json_tree *tree)
{
    struct config *config = load->config;
    const char *folder = load_folder(config);
    if (!folder || fill_init(&load->fill, config->memory, config->text, folder)) {
        return ERR_NOMEM;
    }
    load->root = json_tree_root(tree);
    if (!json_node_is_object(load->root)) {
        fill_wrong(&load->fill, load->root->offset, "$", "%s, but an object {} is wanted",
                   fill_kind_name(load->root->kind));
        return ERR_CONFIG;
    }
    load_sections(load);
    if (load->fill.failed || memory_failed(config->memory)) {
        return ERR_NOMEM;
    }
    load_check(load);
    config->origins = load->fill.origins;
    if (memory_failed(config->memory)) {
        return ERR_NOMEM;
    }
    return load->fill.error_count ? ERR_CONFIG : load_digest(config);
}

static void load_report(struct load *load, struct config_report *report)
{
    fill_sort(&load->fill);
    for (size_t i = 0; i < load->fill.finding_count; i++) {
        config_report_line(report, load->config, &load->fill.findings[i]);
    }
    report->error_count += (unsigned)load->fill.error_count;
    report->warning_count += (unsigned)load->fill.warning_count;
    size_t told = load->fill.finding_count - load->fill.warning_count;
    if (load->fill.error_count > told) {
        out_put_format(&report->text, "%.256s:1:1: $: and %zu more mistakes\n", load->config->path,
                       load->fill.error_count - told);
    }
}

/* Reads and parses the file, then the rest. */
static enum err load_file(struct load *load, const char *path, struct config_report *report)
{
    struct config *config = load->config;
    struct why why = {""};
    struct json_tree *tree = NULL;
    size_t offset = 0;
    enum err e = file_read(path, CONFIG_SIZE_MAX, &config->text, &why);
    if (e) {
        config_report_file(report, path, why.text);
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    e = json_tree_open(&tree, config->text, &why, &offset);
    if (e == ERR_CORRUPT || e == ERR_REJECTED) {
        config_report_add(report, config, offset, "$", why.text);
        return ERR_CONFIG;
    }
    if (!e) {
        e = load_tree(load, tree);
    }
    if (!e || e == ERR_CONFIG) {
        load_report(load, report);
    } else {
        config_report_file(report, path, "not enough memory to load it");
    }
    json_tree_close(tree);
    return e;
}

enum err config_load(struct config **ret, const char *path, const struct config_parts *parts,
                     struct config_report *report)
{
    assert(parts && parts->drivers && parts->uplinks);
    struct config *config = calloc(1, sizeof *config);
    if (config) {
        config->memory = memory_open();
        config->path = config->memory ? memory_text(config->memory, slice_of_text(path)) : NULL;
    }
    if (!config || !config->path) {
        config_close(config);
        config_report_file(report, path, "not enough memory to load it");
        return ERR_NOMEM;
    }
    struct load load = {.config = config, .parts = parts};
    enum err e = load_file(&load, path, report);
    if (e) {
        config_close(config);
        return e;
    }
    *ret = config;
    return ERR_OK;
}

void config_hold(struct config *config)
{
    config->holders++;
}

void config_close(struct config *config)
{
    if (config && config->holders > 0) {
        config->holders--;
    } else if (config) {
        memory_close(config->memory);
        free((void *)(uintptr_t)config->text.data);
        free(config);
    }
}

int config_stream_index(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        if (strcmp(config->streams[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int config_uplink_index(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->uplink_count; i++) {
        if (strcmp(config->uplinks[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int config_link_index(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->link_count; i++) {
        if (strcmp(config->links[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* A member by its name, an item of an array by "[N]". */
static const struct json_node *node_step(const struct json_node *node, const char *name)
{
    if (node->kind != JSON_ARRAY_BEGIN || name[0] != '[') {
        return json_node_find(node, name);
    }
    const struct json_node *item = node->child;
    for (long i = strtol(name + 1, NULL, 10); item && i > 0; i--) {
        item = item->next;
    }
    return item;
}

size_t config_offset(const struct config *config, const char *const *names)
{
    struct json_tree *tree = NULL;
    size_t offset = 0;
    if (json_tree_open(&tree, config->text, NULL, &offset)) {
        return 0;
    }
    const struct json_node *node = json_tree_root(tree);
    for (; node && *names; node = node_step(node, *names++)) {
        offset = node->offset;
    }
    offset = node ? node->offset : offset;
    json_tree_close(tree);
    return offset;
}
