/* What was seen at several places, as if it were one: the members of an object that is a map. */
#include <stdlib.h>
#include <string.h>

#include "agent/infer_impl.h"

static void free_text(struct slice text)
{
    free((void *)(uintptr_t)text.data);
}

static void close_shape(struct shape *shape)
{
    if (shape) {
        infer_release(shape);
        free(shape);
    }
}

void infer_release(struct shape *shape)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        close_shape(shape->members[i]);
    }
    for (size_t i = 0; i < shape->value_count; i++) {
        free_text(shape->values[i].text);
    }
    close_shape(shape->values_of_map);
    close_shape(shape->elements);
    free(shape->members);
    free(shape->values);
    free_text(shape->name);
}

enum err infer_copy(struct slice text, struct slice *ret)
{
    uint8_t *data = malloc(text.size ? text.size : 1);
    if (!data) {
        return ERR_NOMEM;
    }
    if (text.size > 0) {
        memcpy(data, text.data, text.size);
    }
    *ret = (struct slice){data, text.size};
    return ERR_OK;
}

enum err infer_remember(struct shape *shape, struct slice text, uint64_t count)
{
    for (size_t i = 0; i < shape->value_count; i++) {
        if (slice_equal(shape->values[i].text, text)) {
            shape->values[i].count += count;
            return ERR_OK;
        }
    }
    if (shape->values_end || shape->value_count == INFER_VALUE_MAX ||
        text.size > INFER_VALUE_SIZE_MAX) {
        shape->values_end = true;
        return ERR_OK;
    }
    if (!shape->values) {
        shape->values = calloc(INFER_VALUE_MAX, sizeof *shape->values);
    }
    struct slice copy;
    enum err e = shape->values ? infer_copy(text, &copy) : ERR_NOMEM;
    if (!e) {
        shape->values[shape->value_count++] = (struct seen_text){copy, count};
    }
    return e;
}

static void add_counts(struct shape *to, const struct shape *from)
{
    to->seen += from->seen;
    to->nulls += from->nulls;
    to->booleans += from->booleans;
    to->numbers += from->numbers;
    to->texts += from->texts;
    to->objects += from->objects;
    to->lists += from->lists;
    to->reals += from->reals;
    to->beyond_long = to->beyond_long || from->beyond_long;
    to->beyond_double = to->beyond_double || from->beyond_double;
    to->digits_before =
        from->digits_before > to->digits_before ? from->digits_before : to->digits_before;
    to->digits_behind =
        from->digits_behind > to->digits_behind ? from->digits_behind : to->digits_behind;
    to->time_texts += from->time_texts;
    to->time_digits = from->time_digits > to->time_digits ? from->time_digits : to->time_digits;
    to->name_texts += from->name_texts;
    to->values_end = to->values_end || from->values_end;
}

/* Into the shape at *to, which there need not be yet. *from is gone then. */
static enum err merge_whole(struct shape **to, struct shape **from)
{
    enum err e = ERR_OK;
    if (!*from) {
        return ERR_OK;
    }
    if (*to) {
        e = infer_merge(*to, *from);
        close_shape(*from);
    } else {
        *to = *from;
    }
    *from = NULL;
    return e;
}

static enum err merge_member(struct shape *to, struct shape **member)
{
    for (size_t i = 0; i < to->member_count; i++) {
        if (slice_equal(to->members[i]->name, (*member)->name)) {
            return merge_whole(&to->members[i], member);
        }
    }
    struct shape **grown = realloc(to->members, (to->member_count + 1) * sizeof(struct shape *));
    if (!grown) {
        return ERR_NOMEM;
    }
    to->members = grown;
    to->members[to->member_count++] = *member;
    *member = NULL;
    return ERR_OK;
}

/* One of them is a map: so is what they are together. */
static enum err merge_members(struct shape *to, struct shape *from)
{
    enum err e = merge_whole(&to->values_of_map, &from->values_of_map);
    for (size_t i = 0; !e && i < from->member_count; i++) {
        e = to->values_of_map ? infer_merge(to->values_of_map, from->members[i])
                              : merge_member(to, &from->members[i]);
    }
    for (size_t i = 0; !e && to->values_of_map && i < to->member_count; i++) {
        e = infer_merge(to->values_of_map, to->members[i]);
    }
    return e;
}

enum err infer_merge(struct shape *to, struct shape *from)
{
    enum err e = ERR_OK;
    add_counts(to, from);
    for (size_t i = 0; !e && i < from->value_count; i++) {
        e = infer_remember(to, from->values[i].text, from->values[i].count);
    }
    e = e ? e : merge_members(to, from);
    e = e ? e : merge_whole(&to->elements, &from->elements);
    struct slice name = from->name;
    from->name = (struct slice){NULL, 0};
    struct shape rest = *from;
    *from = (struct shape){.name = name};
    infer_release(&rest);
    return e;
}
