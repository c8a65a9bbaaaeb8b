/* Fills structs from JSON by their option tables, and gathers what is wrong. No recursion: records
 * within records wait in a list until their turn. */
#ifndef WEIR_CONFIG_FILL_H
#define WEIR_CONFIG_FILL_H

#include "config/memory.h"
#include "ports/lib/json_tree.h"
#include "ports/option.h"

struct fill_finding {
    size_t offset;
    const char *path;
    const char *text;
    bool is_warning; /* right, but has its price */
};

/* A text that stands for something else: what the user wrote, for `config show`. */
struct fill_origin {
    const struct fill_origin *next;
    const char *text;    /* the member's value */
    const char *written; /* "${file:/etc/weir/password}" */
};

struct fill {
    struct config_memory *memory;
    struct slice input;
    const char *folder; /* relative paths start here; "" or ends with '/' */
    struct fill_task *first, *last;
    struct fill_finding *findings; /* finding_max of them */
    size_t finding_count;
    size_t finding_max;
    size_t error_count;   /* findings that found no room included */
    size_t warning_count; /* among the findings */
    const struct fill_origin *origins;
    bool failed; /* memory was missing: what is filled is worth nothing */
};

/* A record to be filled: an object (NULL: defaults only), one or two tables and their structs. */
struct fill_record {
    const struct json_node *node;
    const char *path;
    size_t offset; /* of what stands for the record when `node` is NULL */
    const struct option *tables[2];
    void *structs[2];
};

enum err fill_init(struct fill *fill, struct config_memory *memory, struct slice input,
                   const char *folder) MUST_USE;
/* Puts the record in the list. */
void fill_add(struct fill *fill, const struct fill_record *record);
/* Fills all that wait, and what these add. */
void fill_run(struct fill *fill);
/* Notes a mistake. `path` must stay. */
void fill_wrong(struct fill *fill, size_t offset, const char *path, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* Notes what is right, but has its price. `path` must stay. */
void fill_warn(struct fill *fill, size_t offset, const char *path, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* Notes that `node` has no such member; `candidates` ends with NULL. */
void fill_unknown(struct fill *fill, const struct json_node *node, const char *path,
                  const char *const *candidates);
/* Orders what was found by its place. */
void fill_sort(struct fill *fill);

/* The C size of a LIST's or MAP's element. */
size_t option_item_size(const struct option *option);
/* The elements of a filled LIST or MAP; a list's have no names. */
struct option_map option_items(const struct option *option, const uint8_t *member);
/* "an object", "text", ... */
const char *fill_kind_name(enum json_kind kind);

/* expand.c: puts what ${env:NAME}, ${file:PATH} and the names of the device stand for; "$${" is "${". Files of secrets must
 * not be readable by others. ERR_CONFIG: *why says why not. */
enum err expand_text(struct fill *fill, struct slice text, bool is_secret, const char **ret,
                     struct why *why) MUST_USE;
/* suggest.c: the candidate that is nearly the name; NULL: none is. */
const char *suggest_name(const char *name, const char *const *candidates);

#endif
