/* Numbers as they are printed. */
#include "uplink/layout/columns_shape.h"

/* What the texts of a column have in common. */
struct style {
    unsigned fraction; /* the most digits behind the point */
    bool is_fixed;     /* all have as many */
    bool has_points;   /* none ends in a 0 behind the point but as .0, and all have a point */
    bool has_none;     /* none ends in a 0 behind the point */
};

/* Their mantissas, and how many digits each has behind the point. False: one is no number, or no
 * style prints all of them. */
static bool look(const struct slice *texts, uint32_t count, int64_t *mantissas, uint8_t *fractions,
                 struct style *ret)
{
    *ret = (struct style){0, true, true, true};
    for (uint32_t i = 0; i < count; i++) {
        struct printed one;
        if (!scan_number(texts[i], &one)) {
            return false;
        }
        mantissas[i] = one.mantissa;
        fractions[i] = (uint8_t)one.fraction;
        bool ends_in_zero = one.fraction > 0 && one.mantissa % 10 == 0;
        ret->is_fixed = ret->is_fixed && fractions[i] == fractions[0];
        ret->has_points =
            ret->has_points && one.fraction > 0 && (!ends_in_zero || one.fraction == 1);
        ret->has_none = ret->has_none && !ends_in_zero;
        ret->fraction = one.fraction > ret->fraction ? one.fraction : ret->fraction;
    }
    return ret->is_fixed || ret->has_points || ret->has_none;
}

/* All with so many digits behind the point. False: one is too large then. */
static bool scale(int64_t *mantissas, const uint8_t *fractions, uint32_t count, unsigned fraction)
{
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned f = fractions[i]; f < fraction; f++) {
            if (mantissas[i] > INT64_MAX / 10 || mantissas[i] < -(INT64_MAX / 10)) {
                return false;
            }
            mantissas[i] *= 10;
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
    uint8_t *fractions = work_take(work, set->count);
    if (!fractions) {
        return;
    }
    if (!look(texts, set->count, values, fractions, &style) ||
        !scale(values, fractions, set->count, style.fraction)) {
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
