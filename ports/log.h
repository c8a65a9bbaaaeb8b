/* Log lines for an operator: one line each to stderr, "LEVEL part: text" with a time stamp unless
 * journald adds one. The level is the only state of the process outside structs. Any thread. */
#ifndef WEIR_PORTS_LOG_H
#define WEIR_PORTS_LOG_H

#include "ports/attr.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* `part` is what speaks: "buffer", "uplink cloud". Control characters of the text are escaped; at
 * most 1 KiB. */
void log_put(enum log_level level, const char *part, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_error(part, ...) log_put(LOG_ERROR, part, __VA_ARGS__)
#define log_warn(part, ...) log_put(LOG_WARN, part, __VA_ARGS__)
#define log_info(part, ...) log_put(LOG_INFO, part, __VA_ARGS__)
/* Costs one comparison when off. */
#define log_debug(part, ...) \
    do { \
        if (log_level_get() >= LOG_DEBUG) { \
            log_put(LOG_DEBUG, part, __VA_ARGS__); \
        } \
    } while (0)

#endif
