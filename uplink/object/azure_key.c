#include "uplink/object/azure_impl.h"

#include <inttypes.h>
#include <stdio.h>

#include "ports/clock.h"
#include "ports/lib/hash.h"

static void put_line(struct out *o, const char *text)
{
    out_put_text(o, text);
    out_put_byte(o, '\n');
}

static void put_to_sign(const struct azure_request *r, struct out *o)
{
    put_line(o, r->method);
    put_line(o, ""); /* Content-Encoding */
    put_line(o, ""); /* Content-Language */
    if (r->body_size > 0) {
        out_put_number(o, r->body_size);
    }
    put_line(o, "");
    put_line(o, r->content_md5);
    put_line(o, r->content_type);
    put_line(o, ""); /* Date: it is x-ms-date */
    put_line(o, ""); /* If-Modified-Since */
    put_line(o, ""); /* If-Match */
    put_line(o, r->if_none_match);
    put_line(o, ""); /* If-Unmodified-Since */
    put_line(o, ""); /* Range */
    for (size_t i = 0; i < r->header_count; i++) {
        out_put_text(o, r->headers[i].name);
        out_put_byte(o, ':');
        put_line(o, r->headers[i].value);
    }
    out_put_byte(o, '/');
    out_put_text(o, r->account);
    out_put_slice(o, r->path);
}

void azure_sign(const struct azure_request *request, struct slice key, struct out *ret)
{
    uint8_t signature[HASH_SHA256_SIZE];
    size_t start = ret->size;
    put_to_sign(request, ret);
    if (ret->overflow) {
        return;
    }
    hash_hmac(HASH_SHA256, key, (struct slice){ret->data + start, ret->size - start}, signature);
    ret->size = start;
    out_put_text(ret, "SharedKey ");
    out_put_text(ret, request->account);
    out_put_byte(ret, ':');
    hash_put_base64(ret, (struct slice){signature, sizeof signature});
}

void azure_date(int64_t time_s, char ret[AZURE_DATE_SIZE])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c;
    clock_civil(time_s * 1000000, &c);
    (void)snprintf(ret, AZURE_DATE_SIZE, "%.3s, %02u %.3s %04d %02u:%02u:%02u GMT",
                   days + 3 * c.weekday, c.day, months + 3 * (c.month - 1), (int)c.year, c.hour,
                   c.minute, c.second);
}
