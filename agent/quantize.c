#include "agent/quantize.h"

#include <assert.h>
#include <math.h>

#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"

/* Below, the eighth of a unit is a double's, and what two roundings take off is less than a half. */
#define UNITS_MAX 1e15
#define TIE_SLACK 0x1p-51 /* what they may have taken off a half */
#define TIE_SLACK_MAX 0.25

double quantize_double(double value, const struct option_decimal *step)
{
    double power = 1; /* exact, as is the mantissa */
    double mantissa = (double)step->mantissa;
    assert(step->mantissa > 0 && step->scale <= 15);
    for (unsigned i = 0; i < step->scale; i++) {
        power *= 10;
    }
    double units = fabs(value) * power; /* of the scale's last decimal */
    if (!(units < UNITS_MAX)) {
        return value;
    }
    double steps = units / mantissa;
    double slack = fmin(steps * TIE_SLACK, TIE_SLACK_MAX);
    double whole = floor(steps + 0.5 + slack) * mantissa; /* at most twice UNITS_MAX: exact */
    return (value < 0 ? -whole : whole) / power + 0.0;
}

int64_t quantize_long(int64_t value, int64_t step, int64_t min, int64_t max)
{
    int64_t rest = value % step; /* has the value's sign */
    int64_t size = rest < 0 ? -rest : rest;
    int64_t nearer = value - rest;
    assert(step > 0 && min <= 0 && max >= 0);
    if (size < step - size) {
        return nearer;
    }
    if (value > 0) {
        return nearer > max - step ? nearer : nearer + step;
    }
    return nearer < min + step ? nearer : nearer - step;
}

void quantize_datum(const struct avro_node *node, const struct option_decimal *step, struct out *o,
                    size_t start)
{
    struct slice datum = {o->data + start, o->size - start};
    int64_t whole;
    double real;
    float single;
    if (node->kind == AVRO_UNION) {
        if (!slice_take_varint(&datum, &whole) || whole < 0 || whole >= node->branch_count) {
            return; /* it had no room */
        }
        node = node->branches[whole];
        start = o->size - datum.size;
    }
    if (o->overflow || node->logical != AVRO_PLAIN) {
        return;
    }
    if (node->kind == AVRO_DOUBLE && avro_take_double(&datum, &real)) {
        o->size = start;
        avro_put_double(o, quantize_double(real, step));
    } else if (node->kind == AVRO_FLOAT && avro_take_float(&datum, &single)) {
        o->size = start;
        avro_put_float(o, (float)quantize_double((double)single, step));
    } else if (node->kind == AVRO_INT && slice_take_varint(&datum, &whole)) {
        o->size = start;
        out_put_varint(o, quantize_long(whole, step->mantissa, INT32_MIN, INT32_MAX));
    } else if (node->kind == AVRO_LONG && slice_take_varint(&datum, &whole)) {
        o->size = start;
        out_put_varint(o, quantize_long(whole, step->mantissa, INT64_MIN, INT64_MAX));
    }
}
