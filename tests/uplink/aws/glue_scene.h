/* AWS Glue's schema registry as a double on the simulated network, and a client of it. */
#ifndef WEIR_TESTS_UPLINK_AWS_GLUE_SCENE_H
#define WEIR_TESTS_UPLINK_AWS_GLUE_SCENE_H

#include "ports/http.h"
#include "ports/names.h"
#include "tests/cmocka.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/aws/glue.h"

#define GLUE_URL "https://glue.eu-central-1.amazonaws.com/"
#define FIRST \
    "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}"
#define WIDER \
    "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{" \
    "\"name\":\"b\",\"type\":\"long\",\"default\":0}]}"
#define BROKEN \
    "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{" \
    "\"name\":\"b\",\"type\":\"long\"}]}"
#define VERSION_MAX 200

struct uplink_host {
    unsigned ready_count;
    uint8_t kept[REMOTE_ID_SIZE_MAX];
    size_t kept_size;
    uint32_t kept_schema;
    uint64_t wire_bytes;
};

struct version {
    char definition[512]; /* as JSON text */
    const char *status;
};

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct uplink_host host;
    struct glue_options options;
    struct glue *glue;
    struct schema_info schema;
    struct why why;
    uint8_t prefix[GLUE_PREFIX_SIZE];
    /* --- the double --- */
    bool has_registry, has_schema, is_raced;
    const char *compatibility;
    struct version versions[VERSION_MAX];
    unsigned version_count;
    unsigned pending_polls; /* that a new version is looked at */
    const char *new_status; /* what becomes of it */
    const char *error;      /* of the next request, once; NULL: none */
    long error_status;      /* its status */
    const char *error_for;  /* only of this operation; NULL: of any */
    int64_t ahead_s;        /* its clock */
    bool hides_version;     /* number, but to GetSchemaVersion */
    bool checks_time;       /* refuses signatures of another time */
    char log[4096];         /* operations, in order */
    char body[4096], last[2048], authorization[512];
};

void scene_add_version(struct scene *scene, const char *definition, const char *status);
void scene_answer(void *context, const struct http_request *request, struct net_reply *ret);
void scene_open(struct scene *scene);
struct scene *scene_begin(const char *schema);
void scene_end(struct scene *scene);
enum err scene_ask(struct scene *scene);
void expect_id(struct scene *scene, unsigned index);
void expect_refusal(struct scene *scene, enum err e, const char *says);

#endif
