/* Numbers as they are printed. */
#include "uplink/layout/columns_shape.h"

/* What the texts of a column have in common. */
struct style {
    unsigned fraction; /* the most digits behind the point */
    bool is_fixed;     /* all have as many */
    bool has_points;   /* none ends in a 0 behind the point but as .0, and all have a point */
    bool has_none;     /* none ends in a 0 behind the point */
};

static bool look(const struct slice *texts, uint32_t count, struct style *ret)
{
    struct printed first;
    if (!scan_number(texts[0], &first)) {
        return false;
    }
    *ret = (struct style){first.fraction, true, true, true};
    for (uint32_t i = 0; i < count; i++) {
        struct printed one;
        if (!scan_number(texts[i], &one)) {
            return false;
        }
        bool ends_in_zero = one.fraction > 0 && texts[i].data[texts[i].size - 1] == '0';
        ret->is_fixed = ret->is_fixed && one.fraction == first.fraction;
        ret->has_points =
            ret->has_points && one.fraction > 0 && (!ends_in_zero || one.fraction == 1);
        ret->has_none = ret->has_none && !ends_in_zero;
        ret->fraction = one.fraction > ret->fraction ? one.fraction : ret->fraction;
    }
    return ret->is_fixed || ret->has_points || ret->has_none;
}

/* All with so many digits behind the point. False: one is too large then. */
static bool scale(const struct slice *texts, uint32_t count, unsigned fraction, int64_t *ret)
{
    for (uint32_t i = 0; i < count; i++) {
        struct printed one = {0, 0};
        bool fine = scan_number(texts[i], &one);
        ret[i] = one.mantissa;
        for (unsigned f = one.fraction; fine && f < fraction; f++) {
            fine = ret[i] <= INT64_MAX / 10 && ret[i] >= -(INT64_MAX / 10);
            ret[i] = fine ? ret[i] * 10 : 0;
        }
        if (!fine) {
            return false;
        }
    }
    return true;
}

void printed_put(struct columns_work *work, const struct table_rows *set, const struct slice *texts,
                 uint32_t column)
{
    struct style style;
    size_t high = work->high;
    int64_t *values = work_take(work, set->count * sizeof *values);
    if (!values) {
        return;
    }
    if (!look(texts, set->count, &style) || !scale(texts, set->count, style.fraction, values)) {
        work->high = high;
        work_put_int(work, PRINTED_TEXTS);
        texts_put_slices(work, set, texts, column);
        return;
    }
    int64_t mode = style.is_fixed ? 0 : style.has_points ? PRINTED_POINT : PRINTED_BARE;
    work_put_int(work, style.fraction | mode);
    ints_put(work, values, set->count, set, style.fraction == 0 ? column : KEY_NONE);
    work->high = high;
}
