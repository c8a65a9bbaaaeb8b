/* One driver class and one uplink class with an option of every kind. */
#ifndef WEIR_TESTS_CONFIG_PARTS_H
#define WEIR_TESTS_CONFIG_PARTS_H

#include "config/config.h"

struct every_item {
    const char *name;
    int64_t size;
    struct option_map tags; /* const char * */
};

struct every_tls {
    bool is_set;
    const char *ca;
    const char *password;
};

struct every_options {
    bool flag;
    int64_t count, interval_ms, size, share, rate, event_rate, mode;
    const char *text, *password, *folder;
    struct option_any any;
    struct option_decimal decimal;
    struct every_tls tls;
    struct every_item item;
    struct option_list names;   /* const char * */
    struct option_list numbers; /* int64_t */
    struct option_list items;   /* struct every_item */
    struct option_map by_name;  /* struct every_item */
};

extern const struct config_parts every_parts;

#endif
