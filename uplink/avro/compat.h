/* Can one schema read what another wrote (specification 1.12: "Schema Resolution")?
 *
 * Decided as Apache Avro's Java decides it (SchemaCompatibility 1.12.0), which is what registries
 * ask: all that stands in the way, each with its kind and its place, in Java's order. Two things
 * follow that may surprise. A pair of types is compared once: where it comes again, what was found
 * is told again with the place of the first time. And what is found inside a branch of a union is
 * told only as the branch that is missing. Any thread; nothing is kept between calls. */
#ifndef WEIR_UPLINK_AVRO_COMPAT_H
#define WEIR_UPLINK_AVRO_COMPAT_H

#include "uplink/avro/schema.h"

#define AVRO_COMPAT_FINDING_MAX 4096 /* findings of one check */
#define AVRO_COMPAT_PAIR_MAX 65536   /* pairs of types compared for one pair of schemas */
#define AVRO_COMPAT_DEPTH_MAX 1024   /* how deep pairs of types lie in each other */

/* In each the reader is the schema that reads, the writer the one that wrote. */
enum avro_kind_of_finding {
    AVRO_NAME_MISMATCH,                      /* neither the same name nor an alias */
    AVRO_FIXED_SIZE_MISMATCH,                /* other sizes */
    AVRO_MISSING_ENUM_SYMBOLS,               /* symbols that the reader lacks */
    AVRO_READER_FIELD_MISSING_DEFAULT_VALUE, /* a field that was not written, and no default */
    AVRO_TYPE_MISMATCH,                      /* other types, and no promotion between them */
    AVRO_MISSING_UNION_BRANCH,               /* a type that the reader's union has no branch for */
};

/* What a new schema must be able to do. Without "transitive" only the last of the old ones counts.
 */
enum avro_mode {
    AVRO_MODE_NONE,
    AVRO_MODE_BACKWARD, /* the new schema reads what the old one wrote */
    AVRO_MODE_FORWARD,  /* the old schema reads what the new one writes */
    AVRO_MODE_FULL,     /* both */
    AVRO_MODE_BACKWARD_TRANSITIVE,
    AVRO_MODE_FORWARD_TRANSITIVE,
    AVRO_MODE_FULL_TRANSITIVE,
};

struct avro_place; /* where in the reader's schema */

struct avro_finding {
    enum avro_kind_of_finding kind;
    uint32_t old;    /* index of the old schema */
    bool is_forward; /* the old schema can't read what the new one writes; else the other way */
    const struct avro_node
        *reader; /* the types that do not fit; of a missing default: the records */
    const struct avro_node *writer; /* of a missing branch: its type, and the reader is the union */
    const struct avro_field *field; /* the reader's field without a default; else NULL */
    const struct avro_place *place;
};

struct avro_compat;

/* Checks `schema` against `olds`, oldest first (`count` may be 0): what was found is in *ret, whose
 * contents are good as long as the schemas are. All of an old schema come in Java's order,
 * backward before forward.
 *
 * ERR_CORRUPT: there is no answer, because a field could take its value from two fields (Java
 * throws); ERR_REJECTED: over AVRO_COMPAT_PAIR_MAX or AVRO_COMPAT_DEPTH_MAX; both with *why as
 * "/location: sentence". ERR_NOMEM. */
enum err avro_compat_open(struct avro_compat **ret, const struct avro_schema *schema,
                          const struct avro_schema *const *olds, uint32_t count,
                          enum avro_mode mode, struct why *why) MUST_USE;
/* The same for two types, one pair and one direction. */
enum err avro_compat_open_types(struct avro_compat **ret, const struct avro_node *reader,
                                const struct avro_node *writer, struct why *why) MUST_USE;
/* Do the names of two types allow it? Types without a name: yes. */
bool avro_compat_names_fit(const struct avro_node *reader, const struct avro_node *writer);
/* NULL is allowed. */
void avro_compat_close(struct avro_compat *compat);

/* 0: compatible. */
uint32_t avro_compat_count(const struct avro_compat *compat);
const struct avro_finding *avro_compat_finding(const struct avro_compat *compat, uint32_t index);
/* There are more findings than AVRO_COMPAT_FINDING_MAX. */
bool avro_compat_is_cut(const struct avro_compat *compat);

/* compat_text.c */

/* "NAME_MISMATCH", ... */
const char *avro_finding_kind_name(enum avro_kind_of_finding kind);
/* As Java's getLocation() gives it: "/", "/fields/1", ... */
void avro_finding_put_location(const struct avro_finding *finding, struct out *ret);
/* The names of the fields on the way there, "outer.inner"; nothing at the root. */
void avro_finding_put_field(const struct avro_finding *finding, struct out *ret);
/* What is wrong, and what can be done about it: each a sentence without its stop. */
void avro_finding_put_sentence(const struct avro_finding *finding, struct out *ret);
void avro_finding_put_way_out(const struct avro_finding *finding, struct out *ret);
/* A type in few words: "long", "array of string", "record site.Pump", "null or double". */
void avro_node_put_words(const struct avro_node *node, struct out *ret);

/* "backward_transitive", ... */
const char *avro_mode_name(enum avro_mode mode);
/* In any case. False: there is no such mode. */
bool avro_mode_of(struct slice text, enum avro_mode *ret) MUST_USE;

#endif
