/* Probes: what `weir check --online` asks of the network for one driver or uplink, without the
 * buffer and without an event. A class that has one opens it beside all others; it tells what it
 * finds, a line each, and then that it is done. Loop thread. */
#ifndef WEIR_PORTS_PROBE_H
#define WEIR_PORTS_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ports/err.h"

struct loop;
struct name_query;
struct names;
struct schema_info; /* ports/uplink.h */

#define PROBE_OPTION_SIZE 64
#define PROBE_WHAT_SIZE 384
#define PROBE_DAYS_SOON 14           /* a certificate that ends within so many is warned about */
#define PROBE_CONNECT_MS 10000       /* names, TCP and TLS together */
#define PROBE_ANSWER_MS 10000        /* of one request */
#define PROBE_ADDRESSES_SIZE_MAX 256 /* of probe_addresses() */

enum probe_level { PROBE_OK, PROBE_WARNING, PROBE_ERROR };

struct probe_finding {
    enum probe_level level;
    char option[PROBE_OPTION_SIZE]; /* below the driver's or uplink's own path: "tls.ca"; "": all */
    char what[PROBE_WHAT_SIZE];     /* "login at kafka.example.com:9093" */
    struct why why;                 /* what is wrong with it and what to do; or what was found */
};

/* A stream that an uplink carries. */
struct probe_stream {
    const char *name;
    const struct schema_info *schema;
    bool has_key;             /* its messages have one */
    int64_t age_max_ms;       /* older events are not sent any more; 0: none is too old */
    const char *letter_topic; /* of struct stream_info; and so the next */
    const char *letter_of;
};

struct probe_setup {
    struct loop *loop;
    struct names *names;
    const void *options; /* the filled struct of the class */
    const char *agent_id;
    const struct probe_stream *streams; /* of an uplink; what they point at outlives the probe */
    size_t stream_count;
    int64_t buffer_size_max;
    bool agent_runs; /* an agent with this configuration is running */
    void *context;
    void (*found)(void *context, const struct probe_finding *finding);
    void (*done)(void *context); /* exactly once, never within opening; nothing is found after it */
};

/* The first member of each probe. */
struct probe {
    void (*close)(struct probe *probe); /* at any time: nothing is called any more */
};

/* Tells a finding. */
void probe_found(const struct probe_setup *setup, enum probe_level level, const char *option,
                 const char *what, const char *format, ...) PRINTF_LIKE(5, 6);
/* A certificate that ends at this time: a finding of its own when it is over, or will be soon;
 * true. False: it is good for longer, and nothing was told. */
bool probe_found_end(const struct probe_setup *setup, const char *option, const char *what,
                     int64_t end_s, int64_t now_s);
/* What a server's answer of now says about this machine's clock. `whose`: "the registry's"; `date_s`:
 * the time there. */
void probe_found_clock(const struct probe_setup *setup, const char *option, const char *whose,
                       int64_t date_s);
/* No server has said its time. `why`: who can't, or was not asked. */
void probe_found_no_clock(const struct probe_setup *setup, const char *why);
/* "192.0.2.1, 2001:db8::1": what a name stands for. */
void probe_addresses(const struct name_query *query, char ret[PROBE_ADDRESSES_SIZE_MAX]);
/* "7 d", "36 h", "90 s": about so long. */
void probe_duration(int64_t ms, char ret[32]);

#endif
