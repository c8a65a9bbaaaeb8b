/* Option tables: the one description of every setting.
 *
 * A part (the agent, the buffer, a stream, each driver, each uplink) has one struct with its
 * settings and one table with a row per member. Parsing, defaults, checking, `weir check`, `weir
 * config show`, the reference page and the JSON Schema all come from the table. The table is
 * constant and ends with a row whose name is NULL. Filled structs live until config_close();
 * nothing in them is changed. */
#ifndef WEIR_PORTS_OPTION_H
#define WEIR_PORTS_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ports/err.h"

enum option_kind {
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t */
    OPTION_DURATION, /* int64_t, milliseconds; "250 ms", "5 s", "1 min", "2 h", "3 d" */
    OPTION_SIZE,     /* int64_t, bytes; "64 KiB", "500 MB" */
    OPTION_RATE,     /* int64_t, bits per second; "64 kbit/s", "8 kB/s"; or `unit` per second */
    OPTION_SHARE,    /* int64_t, millionths; "50 %" */
    OPTION_DECIMAL,  /* struct option_decimal: a number from 0 on, with its decimals: 0.05 */
    OPTION_CHOICE,   /* int64_t, index into words */
    OPTION_TEXT,     /* const char * */
    OPTION_SECRET,   /* const char *, shown as *** */
    OPTION_PATH,     /* const char *; a relative one starts at the configuration file's folder */
    OPTION_ANY,      /* struct option_any: any JSON value, kept as compact text */
    OPTION_RECORD,   /* the struct of `record`, in place */
    OPTION_LIST,     /* struct option_list of what `item` describes */
    OPTION_MAP,      /* struct option_map: names the user chooses, each with such an item */
};

enum option_flag {
    OPTION_REQUIRED = 1,    /* no default: an error when missing */
    OPTION_MISSING_OK = 2,  /* RECORD: not given it stays zeroed; `is_set`, a bool at offset 0 */
    OPTION_FILE_EXISTS = 4, /* PATH: must be a readable file when checked */
    OPTION_HIDDEN = 8,      /* not in the reference */
    OPTION_PER_STREAM = 16, /* TEXT of an uplink: streams go apart only when it holds "{stream}" */
    OPTION_STREAMS = 32,    /* MAP of an uplink: its names are names of streams */
    OPTION_NONE = 64, /* no setting, though people look for one: whoever writes it is told `help` */
    /* LIST of TEXT of a driver: not given, the topics of its routes, as MQTT writes them: a level
     * with a '*' in it becomes '+' */
    OPTION_ROUTE_TOPICS = 128,
    OPTION_ONE_OK = 256, /* LIST of plain values: one alone needs no [] */
    OPTION_LINK = 512,   /* TEXT, or LIST of TEXT: names of links */
    OPTION_DATA = 1024,  /* PATH: what the file holds is no setting: it may change at any time */
};

struct option {
    const char *name;
    enum option_kind kind;
    unsigned flags;
    size_t offset; /* of the member in the part's struct */
    /* INT, DURATION, SIZE, RATE, SHARE: of the value; LIST, MAP: of the count; TEXT: of the size.
     * Both included. 0 and 0: no bound beyond the kind's own. */
    int64_t min;
    int64_t max;
    /* The default as the user would write it, without quotes; NULL: 0, false, NULL, empty. */
    const char *initial;
    const char *const *words;    /* CHOICE: ends with NULL */
    const struct option *record; /* RECORD; LIST and MAP of records: their rows */
    size_t record_size;          /* sizeof of that struct */
    const struct option *item;   /* LIST, MAP of plain values: what one is; no name, offset 0 */
    const char *unit;            /* RATE: "events/s" instead of bits */
    const char *help;            /* one sentence or more, for the reference */
    /* A check beyond kind and bounds; NULL: none. `value` points at the filled member. */
    enum err (*check)(const void *value, struct why *why);
    /* What a valid value costs, where it stands in the file: told by `weir check` and at start, and
     * refuses nothing. NULL: it has no price; a sentence, or NULL. `value` as above. */
    const char *(*warn)(const void *value);
};

/* mantissa / 10^scale, exactly: mantissa < 10^15, as small as it can be; scale at most 15. */
struct option_decimal {
    int64_t mantissa;
    uint8_t scale;
    bool is_set;
};

struct option_any {
    const char *json; /* compact JSON text, NUL-terminated */
    size_t size;
};

/* Elements lie one behind the other, each of record_size, or of the plain kind's C type: a pointer
 * for text. */
struct option_list {
    void *items;
    size_t count;
};

/* names[i] belongs to element i; in the file's order; each name once. */
struct option_map {
    const char *const *names;
    void *items;
    size_t count;
};

#define OPTION_LIST_COUNT_MAX 1024 /* LIST and MAP without a max of their own */
#define OPTION_TEXT_SIZE_MAX 65536 /* texts without a max of their own */

#endif
