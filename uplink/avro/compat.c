/* Findings of one check: a list in Java's order, for one old schema after the other. */
#include "uplink/avro/compat.h"

#include <assert.h>
#include <stdlib.h>

#include "uplink/avro/compat_impl.h"

#define FINDING_COUNT_FIRST 16

struct avro_compat {
    struct arena arena; /* places */
    struct avro_finding *findings;
    uint32_t count;
    uint32_t count_max;
    bool is_cut;
};

static enum err result_add(struct avro_compat *compat, const struct avro_finding *finding)
{
    if (compat->count == compat->count_max) {
        uint32_t more = compat->count_max ? compat->count_max * 2 : FINDING_COUNT_FIRST;
        struct avro_finding *grown = realloc(compat->findings, more * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        compat->findings = grown;
        compat->count_max = more;
    }
    compat->findings[compat->count++] = *finding;
    return ERR_OK;
}

/* The findings in the order in which they were made; a pair that comes again tells its own again.
 * `template` has what a pair does not know. */
static enum err result_take(struct avro_compat *compat, const struct checker *c,
                            const struct pair *root, const struct avro_finding *template)
{
    enum err e = ERR_OK;
    uint32_t depth = 1; /* no pair is part of itself: never more than there are pairs */
    const struct item **stack = calloc((size_t)c->pair_count + 1, sizeof(struct item *));
    if (!stack) {
        return ERR_NOMEM;
    }
    stack[0] = root->first;
    while (depth > 0 && !e && !compat->is_cut) {
        const struct item *item = stack[depth - 1];
        if (!item) {
            depth--;
            continue;
        }
        stack[depth - 1] = item->next;
        if (!item->finding) {
            assert(depth <= c->pair_count);
            stack[depth++] = item->pair->first;
        } else if (compat->count == AVRO_COMPAT_FINDING_MAX) {
            compat->is_cut = true;
        } else {
            struct avro_finding finding = *item->finding;
            finding.old = template->old;
            finding.is_forward = template->is_forward;
            e = result_add(compat, &finding);
        }
    }
    free((void *)stack);
    return e;
}

static enum err check(struct avro_compat *compat, const struct avro_finding *question,
                      struct why *why)
{
    struct checker c = {.places = &compat->arena, .why = why};
    const struct pair *root = NULL;
    enum err e = checker_run(&c, question->reader, question->writer, &root);
    e = e ? e : result_take(compat, &c, root, question);
    checker_release(&c);
    return e;
}

enum err avro_compat_open_types(struct avro_compat **ret, const struct avro_node *reader,
                                const struct avro_node *writer, struct why *why)
{
    struct avro_compat *compat = calloc(1, sizeof *compat);
    if (!compat) {
        return ERR_NOMEM;
    }
    enum err e = check(compat, &(struct avro_finding){.reader = reader, .writer = writer}, why);
    if (e) {
        avro_compat_close(compat);
        return e;
    }
    *ret = compat;
    return ERR_OK;
}

enum err avro_compat_open(struct avro_compat **ret, const struct avro_schema *schema,
                          const struct avro_schema *const *olds, uint32_t count,
                          enum avro_mode mode, struct why *why)
{
    bool is_transitive = mode >= AVRO_MODE_BACKWARD_TRANSITIVE;
    bool is_full = mode == AVRO_MODE_FULL || mode == AVRO_MODE_FULL_TRANSITIVE;
    bool is_backward =
        is_full || mode == AVRO_MODE_BACKWARD || mode == AVRO_MODE_BACKWARD_TRANSITIVE;
    bool is_forward = is_full || mode == AVRO_MODE_FORWARD || mode == AVRO_MODE_FORWARD_TRANSITIVE;
    enum err e = ERR_OK;
    struct avro_compat *compat = calloc(1, sizeof *compat);
    if (!compat) {
        return ERR_NOMEM;
    }
    for (uint32_t i = is_transitive || count == 0 ? 0 : count - 1; !e && i < count; i++) {
        struct avro_finding question = {
            .old = i, .reader = avro_schema_root(schema), .writer = avro_schema_root(olds[i])};
        e = is_backward ? check(compat, &question, why) : ERR_OK;
        question.is_forward = true;
        question.reader = avro_schema_root(olds[i]);
        question.writer = avro_schema_root(schema);
        e = !e && is_forward ? check(compat, &question, why) : e;
    }
    if (e) {
        avro_compat_close(compat);
        return e;
    }
    *ret = compat;
    return ERR_OK;
}

void avro_compat_close(struct avro_compat *compat)
{
    if (compat) {
        arena_release(&compat->arena);
        free(compat->findings);
        free(compat);
    }
}

uint32_t avro_compat_count(const struct avro_compat *compat)
{
    return compat->count;
}

const struct avro_finding *avro_compat_finding(const struct avro_compat *compat, uint32_t index)
{
    assert(index < compat->count);
    return &compat->findings[index];
}

bool avro_compat_is_cut(const struct avro_compat *compat)
{
    return compat->is_cut;
}
