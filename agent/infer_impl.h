/* Inside of infer: what was seen at one place of the samples. */
#ifndef WEIR_AGENT_INFER_IMPL_H
#define WEIR_AGENT_INFER_IMPL_H

#include "agent/infer.h"

struct seen_text {
    struct slice text; /* malloc'd */
    uint64_t count;
};

/* A place: the sample itself, a member of it, the elements of a list. */
struct shape {
    struct slice name; /* malloc'd; of a member */
    uint64_t seen;     /* values */
    uint64_t nulls, booleans, numbers, texts, objects, lists;
    /* numbers */
    uint64_t reals;        /* written with a fraction or an exponent */
    bool beyond_long;      /* a whole one that is none */
    bool beyond_double;    /* one that its double does not give back */
    int64_t digits_before; /* the most before the point, */
    int64_t digits_behind; /* and behind it */
    /* texts */
    uint64_t time_texts;
    int time_digits; /* the longest fraction of a second */
    uint64_t name_texts;
    struct seen_text *values; /* in the order in which they came */
    size_t value_count;
    bool values_end; /* more of them, or longer ones, than are remembered */
    /* objects and lists */
    struct shape **members;
    size_t member_count;
    struct shape *values_of_map; /* all members together, where they can't be fields; else NULL */
    struct shape *elements;      /* of lists; NULL: there was none */
};

/* infer_merge.c: all that was seen at `from`, too. `from` is empty then. */
enum err infer_merge(struct shape *to, struct shape *from) MUST_USE;
/* What it has, not itself. At most INFER_DEPTH_MAX deep. */
void infer_release(struct shape *shape);
/* Counts a text; one that is new is copied, while it is remembered at all. */
enum err infer_remember(struct shape *shape, struct slice text, uint64_t count) MUST_USE;
enum err infer_copy(struct slice text, struct slice *ret) MUST_USE;

struct infer {
    struct shape root;
    size_t shape_count;
    struct out text; /* of a text without its escapes */
};

#endif
