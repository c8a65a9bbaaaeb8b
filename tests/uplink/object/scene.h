/* An uplink over HTTP between what stands in for forward and a service of our own making, on the
 * loopback address. The service answers what it is told, and keeps what it was asked. */
#ifndef WEIR_TESTS_UPLINK_OBJECT_SCENE_H
#define WEIR_TESTS_UPLINK_OBJECT_SCENE_H

#include "ports/stream.h"
#include "ports/uplink.h"

#define SCENE_ASKED_MAX 32
#define SCENE_VISIT_MAX 32
#define SCENE_HEAD_SIZE 8192
#define SCENE_FOUND_MAX 16

struct scene;

/* One request as it came. */
struct asked {
    char head[SCENE_HEAD_SIZE]; /* request line and headers, NUL behind */
    uint8_t *body;
    size_t size;
};

struct uplink_host {
    struct send_report report;
    unsigned done_count;
    unsigned fault_count;
    uint64_t in_doubt; /* as it was counted */
    char fault[WHY_SIZE_MAX];
    uint32_t request_size;
    uint64_t wire_sent;
};

struct scene {
    struct loop *loop;
    struct names *names;
    struct listener *listener;
    struct uplink_host host;
    const struct uplink_class *class_;
    struct uplink *uplink;
    bool cuts_before; /* batches are made as those that were cut by an earlier life */
    char url[64];     /* of the service, without '/' at its end */
    /* "200", "403\nName: value\n\nbody", "drop" (no answer); ends with NULL, the last one repeated. */
    const char *const *answers;
    /* Instead of them: what to answer to this request, in the same form. NULL: unused. */
    const char *(*answer)(struct scene *scene, const struct asked *asked);
    unsigned asked_count;
    struct asked asked[SCENE_ASKED_MAX];
    struct visit {
        struct scene *scene;
        struct stream *stream;
        uint8_t *data; /* of the request that comes in */
        size_t size;
        size_t room;
        uint8_t *out; /* of an answer that is under way */
    } visits[SCENE_VISIT_MAX];
    size_t visit_count;
};

/* One part with its batch. */
struct lot {
    struct parcel parcel;
    struct batch batch;
    uint8_t *wire;
    size_t wire_size_max;
    struct message *messages;
    uint8_t *memory; /* of their bodies */
};

extern const struct stream_info scene_stream;
extern const struct schema_info scene_schema;

/* The service; then options can be made with its URL. */
struct scene *scene_open(const struct uplink_class *class_);
/* The uplink with these options, which stay until the scene is closed or another life begins. */
void scene_life(struct scene *scene, const void *options);
void scene_close(struct scene *scene);
void scene_answers(struct scene *scene, const char *const *answers);
/* Forgets what was asked. */
void scene_forget(struct scene *scene);
/* The value of a header of a request, or ""; in a buffer that the next calls use again. */
const char *scene_header(const struct asked *asked, const char *name);
const char *scene_line(const struct asked *asked); /* "PUT /a HTTP/1.1" */

/* What the class's probe finds with these options, all of it; streams "meters a" and "other". */
struct scene_found {
    struct probe_finding items[SCENE_FOUND_MAX];
    size_t count;
    bool is_done;
};
void scene_probe(struct scene *scene, const void *options, struct scene_found *ret);
/* Is there one of this level, at this option, about `what` (part of it), that says this? */
bool scene_has_found(const struct scene_found *found, enum probe_level level, const char *option,
                     const char *what, const char *text);

/* Events first..first+count-1 with bodies of body_size bytes (0: small ones), wrapped. */
enum err lot_make(struct lot *lot, struct scene *scene, const void *options, uint64_t first,
                  uint32_t count, size_t body_size);
/* Wraps them again. */
enum err lot_wrap(struct lot *lot, struct scene *scene, const void *options);
/* Sends, and waits for the end. */
enum send_result lot_send(struct lot *lot, struct scene *scene);
void lot_release(struct lot *lot);

#endif
