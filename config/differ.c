/* Which parts of a configuration are others than those of another one. */
#include <string.h>

#include "config/config.h"
#include "config/digest.h"
#include "config/load.h"

/* --- what the parts come to, when one is loaded --- */

static enum err digest_agent(struct config *config)
{
    struct agent_options agent = config->agent;
    struct buffer_options buffer = config->buffer;
    agent.id = NULL;
    agent.log_level = 0;
    agent.stop_grace_ms = 0;
    agent.socket = NULL;
    buffer.path = NULL;
    enum err e = digest_add(&config->agent_digest, agent_options_table, &agent);
    e = e ? e : digest_add(&config->buffer_digest, buffer_options_table, &buffer);
    return e ? e : digest_add(&config->status_digest, status_options_table, &config->status);
}

/* Its uplinks by their names: they may stand in another order. */
static enum err digest_stream(struct config *config, const struct config_stream *stream)
{
    struct stream_config options = stream->options;
    digest_add_text(&config->streams_digest, stream->name);
    options.schema = NULL;
    options.compatibility = 0;
    options.unknown_fields = 0;
    options.missing_fields = 0;
    for (size_t i = 0; i < config->uplink_count; i++) {
        if (stream->uplinks >> i & 1) {
            digest_add_text(&config->streams_digest, config->uplinks[i].name);
        }
    }
    return digest_add(&config->streams_digest, stream_options_table, &options);
}

/* What it may hold is as much as there are others, unless it is said: that is compared by itself. */
static enum err digest_uplink(struct config_uplink *uplink)
{
    struct uplink_common common = uplink->common;
    common.hold_max = 0;
    digest_add_text(&uplink->digest, uplink->class_->type);
    digest_add_number(&uplink->digest, (uint64_t)uplink->layout);
    digest_add_number(&uplink->digest, uplink->by_agent);
    digest_add_number(&uplink->digest, uplink->carries_events);
    enum err e = digest_add(&uplink->digest, uplink_common_table, &common);
    return e ? e : digest_add(&uplink->digest, uplink->class_->options, uplink->options);
}

/* Of its link it has the interface only. */
static enum err digest_driver(const struct config *config, struct config_driver *driver)
{
    digest_add_text(&driver->digest, driver->class_->type);
    if (driver->link_index >= 0) {
        digest_add_text(&driver->digest, config->links[driver->link_index].options.interface);
    }
    enum err e = digest_add(&driver->digest, driver_common_table, &driver->common);
    return e ? e : digest_add(&driver->digest, driver->class_->options, driver->options);
}

enum err load_digest(struct config *config)
{
    enum err e = digest_agent(config);
    for (size_t i = 0; !e && i < config->link_count; i++) {
        digest_add_text(&config->links_digest, config->links[i].name);
        e = digest_add(&config->links_digest, link_options_table, &config->links[i].options);
    }
    for (size_t i = 0; !e && i < config->stream_count; i++) {
        e = digest_stream(config, &config->streams[i]);
    }
    for (size_t i = 0; !e && i < config->uplink_count; i++) {
        e = digest_uplink(&config->uplinks[i]);
    }
    for (size_t i = 0; !e && i < config->driver_count; i++) {
        e = digest_driver(config, &config->drivers[i]);
    }
    return e;
}

/* --- comparing --- */

static bool is_other_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

static void differ_uplinks(const struct config *a, const struct config *b,
                           struct config_difference *ret)
{
    ret->core = ret->core || a->uplink_count != b->uplink_count;
    for (size_t i = 0; !ret->core && i < a->uplink_count; i++) {
        const struct config_uplink *u = &a->uplinks[i];
        const struct config_uplink *v = &b->uplinks[i];
        ret->core = strcmp(u->name, v->name) != 0 || u->class_ != v->class_ ||
                    u->carries_events != v->carries_events ||
                    u->common.hold_max != v->common.hold_max;
        ret->uplinks = ret->uplinks || u->digest != v->digest;
    }
}

const struct config_driver *config_driver_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->driver_count; i++) {
        if (strcmp(config->drivers[i].name, name) == 0) {
            return &config->drivers[i];
        }
    }
    return NULL;
}

static bool has_other_drivers(const struct config *a, const struct config *b)
{
    bool is_other = a->driver_count != b->driver_count;
    for (size_t i = 0; !is_other && i < a->driver_count; i++) {
        const struct config_driver *d = config_driver_find(b, a->drivers[i].name);
        is_other = !d || d->digest != a->drivers[i].digest;
    }
    return is_other;
}

void config_differ(const struct config *config, const struct config *newer,
                   struct config_difference *ret)
{
    *ret =
        (struct config_difference){.id = is_other_text(config->agent.id, newer->agent.id),
                                   .path = is_other_text(config->buffer.path, newer->buffer.path),
                                   .core = config->buffer_digest != newer->buffer_digest ||
                                           config->streams_digest != newer->streams_digest ||
                                           config->links_digest != newer->links_digest,
                                   .drivers = has_other_drivers(config, newer),
                                   .status = config->status_digest != newer->status_digest};
    /* The socket may stand beside the buffer, whose path stays until a restart. */
    ret->core = ret->core || config->agent_digest != newer->agent_digest ||
                (!ret->path && is_other_text(config->agent.socket, newer->agent.socket));
    differ_uplinks(config, newer, ret);
}
