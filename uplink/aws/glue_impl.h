/* The inside of the client of Glue: glue.c has the schemas and whose turn it is, glue_ask.c one request,
 * glue_steps.c what an answer leads to. Loop thread. */
#ifndef WEIR_UPLINK_AWS_GLUE_IMPL_H
#define WEIR_UPLINK_AWS_GLUE_IMPL_H

#include "ports/http.h"
#include "uplink/avro/compat.h"
#include "uplink/aws/glue_answer.h"
#include "uplink/http/server_clock.h"

#define GLUE_NAME_SIZE_MAX 255
#define GLUE_TEXT_SIZE 20480 /* URL and headers of a request, and the room to sign it */

enum glue_step {
    GLUE_LOOK,     /* GetSchemaByDefinition */
    GLUE_ASK,      /* GetSchema */
    GLUE_HISTORY,  /* GetSchemaVersion, by number */
    GLUE_REGISTER, /* RegisterSchemaVersion */
    GLUE_CREATE,   /* CreateSchema */
    GLUE_POLL,     /* GetSchemaVersion, by id */
};

/* One schema; its stream, and so its topic and name, never change. */
struct glue_entry {
    struct glue_entry *next;
    uint32_t schema;   /* number */
    struct slice json; /* the caller's, as long as the uplink */
    enum { GLUE_WAITING, GLUE_KNOWN, GLUE_REFUSED } state;
    uint8_t id[GLUE_ID_SIZE];
    uint64_t origin; /* of the id: where it is from */
    enum err refusal;
    struct why why;
    uint64_t refused_ms, due_ms;
    unsigned attempt;
    char name[GLUE_NAME_SIZE_MAX + 1];
};

struct glue {
    struct glue_setup setup;
    char url[256], region[SIGV4_REGION_SIZE_MAX + 1];
    struct server_clock clock;
    struct credentials *credentials;
    bool has_credential_fault;
    struct why credential_fault;
    struct glue_entry *entries; /* the newest in front */
    size_t entry_count;
    bool has_fault;
    struct why fault;
    struct timer turn; /* the next schema, or the next request about this one */
    /* --- the one that is being asked for; NULL: none --- */
    struct glue_entry *asked;
    enum glue_step step;
    bool is_open; /* the request is under way */
    struct http_request request;
    uint8_t *body;
    uint64_t credentials_number; /* of those it was signed with */
    bool has_renewed;            /* credentials that had ended */
    bool has_dated;              /* the clock was wrong */
    unsigned registered_count, poll_count;
    bool has_made;       /* the version */
    enum avro_mode mode; /* of the schema's compatibility */
    bool wants_all;      /* versions */
    int64_t version;     /* that is compared */
    unsigned version_count;
    struct avro_schema *schema;
    uint8_t id[GLUE_ID_SIZE]; /* of a version that is pending */
    uint8_t text[GLUE_TEXT_SIZE];
};

/* --- glue.c: how asking ends --- */

void glue_known(struct glue *glue, const uint8_t id[GLUE_ID_SIZE], int64_t version);
/* An end that is no success; asked->why says it. */
void glue_refused(struct glue *glue, enum registration_end end);
/* It would be registered. */
void glue_possible(struct glue *glue, bool is_new);
void glue_later(struct glue *glue, int64_t retry_after_ms);

/* --- glue_ask.c --- */

/* Sends the request of this step, as soon as there are credentials. */
void glue_ask(struct glue *glue, enum glue_step step);

/* --- glue_compare.c: pure --- */

/* False: whatever the versions are, it is for Glue to decide. */
bool glue_mode_of(const char *word, enum avro_mode *ret_mode, bool *ret_wants_all);
/* What stands in the way of `schema` behind this version, in a sentence; "": nothing, or it can't be
 * told. */
void glue_compare(const struct avro_schema *schema, enum avro_mode mode, struct slice definition,
                  char *ret, size_t size);

/* --- glue_steps.c --- */

void glue_answered(struct glue *glue, const struct http_answer *http, bool is_clock_changed);

#endif
