/* The configuration: one JSON file, read, checked and filled into structs in one go.
 *
 * config_load() reports every mistake that the file has, each with its place, and gives either a
 * configuration in which everything is valid, or none. All texts and structs belong to the struct
 * config and live until config_close(); nothing in them is changed but by config_take_streams().
 * Blocking: at start, and on a reload. */
#ifndef WEIR_CONFIG_CONFIG_H
#define WEIR_CONFIG_CONFIG_H

#include "config/core.h"
#include "ports/driver.h"
#include "ports/slice.h"
#include "ports/uplink.h"

#define CONFIG_SIZE_MAX (1024 * 1024)
#define CONFIG_DRIVER_MAX 64
#define CONFIG_STREAM_MAX 255 /* beside weir.events */
#define CONFIG_EVENTS_STREAM "weir.events"
#define CONFIG_UPLINK_MAX UPLINK_COUNT_MAX
#define CONFIG_LINK_MAX 16
#define CONFIG_LINK_CHOICE_MAX 4 /* of one uplink */
#define CONFIG_PATH_DEFAULT "/etc/weir/weir.json"

/* The classes that this program knows; each list ends with NULL. */
struct config_parts {
    const struct driver_class *const *drivers;
    const struct uplink_class *const *uplinks;
    const char *const *drivers_left_out; /* types that it was built without; NULL: none */
    const char *const *uplinks_left_out;
};

struct config_stream {
    const char *name;
    struct stream_config options;
    uint32_t uplinks; /* bit i: goes to config.uplinks[i] (by its own list and the uplink's) */
    size_t offset;    /* of its value in the file: for config_place() */
};

struct config_driver {
    const char *name;
    const struct driver_class *class_;
    struct driver_common common;
    void *options;  /* the filled struct of the class */
    int link_index; /* of the link that its options name; -1: none */
    uint64_t digest;
};

struct config_uplink {
    const char *name;
    const struct uplink_class *class_;
    struct uplink_common common;
    const void *options; /* the filled struct of the class */
    enum layout layout;  /* ROWS or COLUMNS: what its messages are, by what is said and can be */
    bool by_agent;       /* all of an agent's events go to one partition */
    bool carries_events; /* weir.events goes here too: named in its `streams`; or nothing is named
                            there, and it keeps streams apart */
    uint8_t links[CONFIG_LINK_CHOICE_MAX]; /* indices of config.links, the preferred one first */
    size_t link_count;
    bool is_metered; /* one of them is */
    uint64_t digest;
};

struct config_link {
    const char *name;
    struct link_config options;
};

struct config {
    const char *path;
    struct agent_options agent;
    struct buffer_options buffer;
    struct status_options status;
    struct config_stream *streams; /* in the file's order */
    size_t stream_count;
    struct config_driver *drivers;
    size_t driver_count;
    struct config_uplink *uplinks;
    size_t uplink_count;
    struct config_link *links;
    size_t link_count;
    /* What settings come to, with what the files hold that they name: of what needs the agent to be
     * opened anew, of the buffer but for its path, of all streams (but what config_take_streams() takes)
     * and all links, each with its name, of the status. */
    uint64_t agent_digest, buffer_digest, streams_digest, links_digest, status_digest;
    struct config_memory *memory; /* this and the next: config's own */
    const struct fill_origin *origins;
    struct slice text; /* of the file */
    unsigned holders;  /* beside who has loaded it */
};

/* What was found: lines "FILE:LINE:COL: $.json.path: text", in the order of the file. Warnings are
 * about what is right, but has its price; their text begins with "warning: ". */
struct config_report {
    struct out text;
    unsigned error_count;
    unsigned warning_count;
};

/* ERR_CONFIG: the report says why. ERR_NOMEM: nothing was loaded (the report says so too). */
enum err config_load(struct config **ret, const char *path, const struct config_parts *parts,
                     struct config_report *report) MUST_USE;
/* Once more than it was held. NULL is allowed. */
void config_close(struct config *config);
/* Who goes on with a part of it holds it, and closes it later. */
void config_hold(struct config *config);

/* Which parts another reading of the same file has otherwise: by what their settings come to, secrets
 * and certificates in files included. */
struct config_difference {
    bool id;      /* agent.id, */
    bool path;    /* buffer.path: a restart only takes them up */
    bool core;    /* agent, buffer, links, streams, or which uplinks there are */
    bool uplinks; /* settings of uplinks */
    bool drivers;
    bool status;
};
void config_differ(const struct config *config, const struct config *newer,
                   struct config_difference *ret);
/* The driver or uplink of this name; NULL: there is none. */
const struct config_driver *config_driver_find(const struct config *config, const char *name);
/* What a restart only takes up stays as it is in `config`. ERR_NOMEM: nothing is changed. */
enum err config_keep(const struct config *config, struct config *newer) MUST_USE;

/* Another reading of the same file. What it says otherwise, by its path in the file, each once:
 * "$.uplinks.cloud.brokers", or "$.uplinks.cloud" when only one of the two has it. is_taken: not
 * only by a restart. What "${...}" stands for is not looked at. */
enum err config_changes(const struct config *config, const struct config *newer,
                        void (*each)(void *context, const char *path, bool is_taken),
                        void *context) MUST_USE;
/* Of the streams that both have: schema, compatibility, unknown_fields and missing_fields become
 * those of `newer`, which may be closed afterwards; so does agent.stop_grace. ERR_NOMEM: it came no
 * further. */
enum err config_take_streams(struct config *config, const struct config *newer) MUST_USE;

/* The index of a stream, uplink or link by its name, or -1. */
int config_stream_index(const struct config *config, const char *name);
int config_uplink_index(const struct config *config, const char *name);
int config_link_index(const struct config *config, const char *name);

/* Where in the file the value at $.NAME.NAME... stands (`names` ends with NULL; "[N]": item N of an
 * array), or the nearest around it that is there. Parses the file's text again: for mistakes. */
size_t config_offset(const struct config *config, const char *const *names);
/* Puts a line about the place at `offset` of the file into the report: for what only agent/ can
 * check (schemas). */
void config_report_add(struct config_report *report, const struct config *config, size_t offset,
                       const char *json_path, const char *text);

/* The same as a warning. */
void config_report_warn(struct config_report *report, const struct config *config, size_t offset,
                        const char *json_path, const char *text);

/* `weir config show CONFIG | schema | reference`: what main() gets after "config". Prints on
 * stdout, mistakes on stderr; returns the exit code (0 fine, 2 bad usage or input, 3 failed). */
int config_command(int argc, char **argv, const struct config_parts *parts);
/* `weir check`: prints the report on stderr, and without a mistake one line on stdout; 0 or 1. */
int config_print_report(const char *path, const struct config_report *report);

#endif
