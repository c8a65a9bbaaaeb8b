/* Inside of schema resolution: what is made of the two schemas (resolve.c), and carried out on each
 * datum (resolve_datum.c). */
#ifndef WEIR_UPLINK_AVRO_RESOLVE_IMPL_H
#define WEIR_UPLINK_AVRO_RESOLVE_IMPL_H

#include "uplink/avro/arena.h"
#include "uplink/avro/resolve.h"

#define RESOLVE_BUCKET_COUNT 1024
#define RESOLVE_WORK_MAX (64 * 1024 * 1024) /* names compared: less than a second */
#define RESOLVE_PLACE_MAX 16384 /* fields of records within each other that are reordered */

enum plan_kind {
    PLAN_SAME,   /* the bytes as they are */
    PLAN_REAL,   /* a number becomes a float or double */
    PLAN_TEXT,   /* bytes become a string */
    PLAN_ITEMS,  /* array, map: of `inner` */
    PLAN_ENUM,   /* by `symbols` */
    PLAN_RECORD, /* by `steps` */
    PLAN_SWITCH, /* the writer's union: by `branches` */
    PLAN_BRANCH, /* the reader's union: `index`, then `inner` */
    PLAN_MISFIT, /* an error, as soon as data need it */
};

enum misfit { MISFIT_KIND, MISFIT_NAME, MISFIT_SIZE, MISFIT_SCALE, MISFIT_BRANCH, MISFIT_FIELD };

/* One field of the reader's. */
struct plan_step {
    const struct avro_field *field;
    const struct plan *plan; /* NULL: it takes its default */
    uint32_t from;           /* index of the writer's field */
};

/* What to do with a value of `writer` so that it is one of `reader`. */
struct plan {
    enum plan_kind kind;
    enum misfit misfit;
    const struct avro_node *writer;
    const struct avro_node *reader;
    const struct plan *inner;
    uint32_t index;
    uint32_t step_count;
    bool reordered; /* RECORD: the steps do not go through the writer's fields in their order */
    const struct plan_step *steps;
    const int32_t *symbols;             /* the reader's index for each of the writer's; -1: none */
    const struct plan *const *branches; /* for each of the writer's */
    const struct avro_field *field;     /* MISFIT_FIELD */
    struct plan *same_bucket;
    struct plan *next; /* that is to be made */
};

struct avro_resolver {
    struct arena arena;
    const struct plan *root;
    size_t *places; /* bytes left where each field of a reordered record begins */
    size_t place_max;
    size_t place_count; /* in use */
};

#endif
