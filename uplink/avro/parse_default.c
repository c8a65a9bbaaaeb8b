/* The defaults of fields, checked and encoded (specification: "Complex Types", field defaults). */
#include <stdlib.h>

#include "uplink/avro/encode.h"
#include "uplink/avro/parse_impl.h"

/* A default may need that of a field which comes behind it: a record's members that are not written
 * take theirs. Each pass encodes what it can. */
#define PASS_MAX 16
/* Values looked at for all defaults of a schema, each time that a branch of a union is tried. */
#define WORK_MAX (4 * 1024 * 1024)

struct budget {
    struct out scratch;
    size_t size;   /* bytes of defaults that are left */
    uint32_t work; /* of WORK_MAX */
    uint32_t encoded_count;
};

enum err default_note(struct parser *p, const struct tree *field_tree, struct avro_field *field)
{
    const struct tree *value = tree_member(field_tree, "default");
    if (!value) {
        return ERR_OK;
    }
    enum err e;
    size_t before = parser_enter(p, "default", 0);
    struct pending_default *pending = parser_take(p, sizeof *pending, &e);
    if (!e) {
        *pending =
            (struct pending_default){.field = field,
                                     .value = value,
                                     .pointer = arena_copy(p->arena, slice_of_text(p->pointer))};
        *p->defaults_end = pending;
        p->defaults_end = &pending->next;
        e = p->arena->failed ? ERR_NOMEM : ERR_OK;
    }
    parser_leave(p, before);
    return e;
}

static enum err encode_one(struct parser *p, struct pending_default *pending, struct budget *b)
{
    struct why why = {""};
    struct out *scratch = &b->scratch;
    scratch->size = 0;
    scratch->overflow = false;
    enum err e = avro_encode_default(pending->field->node, pending->value, &b->work, scratch, &why);
    if (!scratch->overflow && e) {
        why_set(p->why, "%s%s", (const char *)pending->pointer.data, why.text);
        return b->work == 0 ? ERR_REJECTED : ERR_CORRUPT;
    }
    if (scratch->overflow || scratch->size > b->size) {
        why_set(p->why, "%s: all defaults together have more than %d bytes",
                (const char *)pending->pointer.data, AVRO_DEFAULT_SIZE_MAX);
        return ERR_REJECTED;
    }
    pending->field->default_bytes = arena_copy(p->arena, out_slice(scratch));
    if (!pending->field->default_bytes.data) {
        return ERR_NOMEM;
    }
    b->size -= scratch->size;
    pending->field->has_default = true;
    pending->field->default_json = pending->value->raw;
    return ERR_OK;
}

/* Encodes what can be encoded now, and takes it off the list. ERR_CORRUPT: some could not be, and
 * the reason is the first one's. */
static enum err encode_pass(struct parser *p, struct budget *b)
{
    enum err failed = ERR_OK;
    struct why *why = p->why;
    for (struct pending_default **at = &p->defaults; *at;) {
        enum err e = encode_one(p, *at, b);
        if (e && e != ERR_CORRUPT) {
            failed = e;
            break;
        }
        if (e) {
            failed = e;
            p->why = NULL; /* the first one's reason stays */
            at = &(*at)->next;
        } else {
            *at = (*at)->next;
            b->encoded_count++;
        }
    }
    p->why = why;
    return failed;
}

enum err default_encode_all(struct parser *p)
{
    struct budget b = {.size = AVRO_DEFAULT_SIZE_MAX, .work = WORK_MAX};
    if (!p->defaults) {
        return ERR_OK;
    }
    b.scratch = out_over(malloc(AVRO_DEFAULT_SIZE_MAX), AVRO_DEFAULT_SIZE_MAX);
    enum err e = b.scratch.data ? ERR_CORRUPT : ERR_NOMEM;
    uint32_t before = UINT32_MAX;
    for (int pass = 0; e == ERR_CORRUPT && pass < PASS_MAX && b.encoded_count != before; pass++) {
        before = b.encoded_count;
        e = encode_pass(p, &b);
    }
    free(b.scratch.data);
    return e;
}
