/* What the files of `weir buffer` and `weir aside` share. */
#ifndef WEIR_AGENT_BUFFER_IMPL_H
#define WEIR_AGENT_BUFFER_IMPL_H

#include <stdio.h>

#include "agent/command.h"
#include "agent/tool_source.h"

#define BUFFER_SOCKET_SIZE 4200
#define BUFFER_LINE_MAX (16 * 1024 * 1024) /* one event as JSON */

struct buffer_arguments {
    const char *word; /* "buffer ls", for texts */
    const char *buffer_path;
    const char *key_path;
    const char *old_key_path;
    char socket_path[BUFFER_SOCKET_SIZE];
    struct tool_request request; /* with the filters */
    const char *file;            /* import FILE, salvage FILE, aside export FILE */
    const char *format;
    const char *out;
    const char *codec;
    bool json;
    bool yes;
    bool again;
    bool plain;
};

/* What is said of where the tool works. */
struct source_setup buffer_where(const struct buffer_arguments *a, bool writes);
/* Opens it; complains. NULL: *ret_code says how it ends. */
struct tool_source *buffer_source(const struct buffer_arguments *a, bool writes, int *ret_code);
/* Complains, and gives the exit code: 2 for what the user said, 3 for the rest. */
int buffer_failed(const char *word, enum err e, const struct why *why);

/* On a terminal only, and only where nothing else is printed there. */
struct progress {
    bool is_shown;
    bool has_bad; /* something damaged was told */
    const char *word;
    uint64_t shown_ms;
};
void progress_init(struct progress *ret, const char *word, bool is_quiet);
void progress_show(struct progress *progress, struct slice frame);
/* Takes FRAME_PROGRESS, and FRAME_BAD, which is told on stderr. False: it is neither. */
bool progress_frame(struct progress *progress, enum frame_kind kind, struct slice payload);
/* Clears the line. */
void progress_end(struct progress *progress);
/* As command_finish(); EXIT_NEGATIVE when something damaged was told. */
int progress_code(const struct progress *progress);

/* --- buffer_print.c --- */

/* Stored events as lines of JSON: {"stream":…,"sequence":…,"time":…,"trust":…,"schema":…,"event":…};
 * "time" null: it is not known (yet); "schema": the fingerprint, CRC-64-AVRO; "event" a text: the
 * datum in hexadecimal, where it can't be read by its schema. */
struct event_lines;
enum err event_lines_open(struct event_lines **ret, FILE *file) MUST_USE;
void event_lines_close(struct event_lines *lines);
/* FRAME_SCHEMA and FRAME_EVENTS; others are passed over. */
enum err event_lines_frame(struct event_lines *lines, enum frame_kind kind, struct slice payload,
                           struct why *why) MUST_USE;
uint64_t event_lines_count(const struct event_lines *lines);

int buffer_ls_command(const struct buffer_arguments *a);
int buffer_cat_command(const struct buffer_arguments *a);

/* --- buffer_state.c --- */
int buffer_stats_command(const struct buffer_arguments *a);
int buffer_verify_command(const struct buffer_arguments *a);

/* --- buffer_wear.c --- */
int buffer_wear_command(const struct buffer_arguments *a);

/* --- buffer_rekey.c --- */
int buffer_rekey_command(const struct buffer_arguments *a);

/* --- buffer_change.c --- */
struct counted {
    struct progress progress;
    uint64_t events;
    uint64_t left;
    uint64_t lost;
    bool is_done;
};
/* Runs the request. `look`: it only counts. EXIT_FINE, or the complaint's code. */
int buffer_order(const struct buffer_arguments *a, bool look, struct counted *ret);
/* What it would be, and whether it is wanted. EXIT_FINE: go on. */
int buffer_confirm(const struct buffer_arguments *a, const char *what, const char *warning);

/* --- buffer_export.c, buffer_import.c, buffer_change.c --- */
int buffer_export_command(const struct buffer_arguments *a);
int buffer_import_command(const struct buffer_arguments *a);
int buffer_replay_command(const struct buffer_arguments *a);
int buffer_drop_command(const struct buffer_arguments *a);
int buffer_compact_command(const struct buffer_arguments *a);
int buffer_salvage_command(const struct buffer_arguments *a);

#endif
