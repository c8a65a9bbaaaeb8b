/* What the files of `weir aside` share. */
#ifndef WEIR_AGENT_ASIDE_IMPL_H
#define WEIR_AGENT_ASIDE_IMPL_H

#include "agent/aside_head.h"
#include "agent/buffer_impl.h"
#include "uplink/avro/schema.h"

/* A set-aside event as a frame has it, with what its head says. */
struct aside_line {
    struct tool_aside aside;
    bool has_head;
    bool is_cut; /* not all of its body was kept */
    struct aside_head head;
    struct field fields[EVENT_FIELD_MAX];
};
enum err aside_open(struct aside_line *ret, struct slice payload, struct why *why) MUST_USE;
/* Typed fields as an object of JSON. */
void aside_put_fields(struct out *o, const struct aside_head *head);

/* The schema of the datums that come next. */
struct aside_schema {
    struct avro_schema *schema; /* NULL: not known, or none */
    struct out text;
};
enum err aside_schema_open(struct aside_schema *ret) MUST_USE;
void aside_schema_release(struct aside_schema *schema);
enum err aside_schema_take(struct aside_schema *schema, struct slice payload) MUST_USE;

/* --- aside_print.c, aside_export.c, aside_change.c --- */
int aside_ls_command(const struct buffer_arguments *a);
int aside_cat_command(const struct buffer_arguments *a);
int aside_export_command(const struct buffer_arguments *a);
int aside_drop_command(const struct buffer_arguments *a);
int aside_replay_command(const struct buffer_arguments *a);

#endif
