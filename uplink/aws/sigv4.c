#include "uplink/aws/sigv4.h"

#include <assert.h>
#include <strings.h>

#include "ports/clock.h"
#include "ports/lib/hash.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SCOPE_SIZE_MAX (8 + 2 * SIGV4_REGION_SIZE_MAX + 16)
#define TO_SIGN_SIZE_MAX (sizeof ALGORITHM + SIGV4_DATE_SIZE + SCOPE_SIZE_MAX + SIGV4_HASH_SIZE + 4)
#define LINE_MAX (SIGV4_HEADER_MAX + 4)

/* One signature. */
struct signing {
    const struct sigv4_request *request;
    const struct aws_credentials *credentials;
    char date[SIGV4_DATE_SIZE];
    char scope[SCOPE_SIZE_MAX + 1];
    struct sigv4_header lines[LINE_MAX]; /* what is signed, in order */
    size_t line_count;
};

/* --- pieces --- */

void sigv4_date(int64_t time_s, char ret[SIGV4_DATE_SIZE])
{
    char text[CLOCK_TEXT_SIZE];
    size_t size = 0;
    clock_format(time_s * 1000000, 0, text);
    for (const char *c = text; *c && size < SIGV4_DATE_SIZE - 1; c++) {
        if (*c != '-' && *c != ':') {
            ret[size++] = *c;
        }
    }
    ret[size] = '\0';
}

static void put_hash(struct out *o, struct slice data)
{
    uint8_t digest[HASH_SHA256_SIZE];
    hash_of(HASH_SHA256, data, digest);
    hash_put_hex(o, (struct slice){digest, sizeof digest});
}

void sigv4_hash(struct slice body, char ret[SIGV4_HASH_SIZE])
{
    struct out o = out_over(ret, SIGV4_HASH_SIZE - 1);
    put_hash(&o, body);
    ret[o.size] = '\0';
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put_encoded(struct out *o, struct slice text, bool keeps_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (is_plain(c) || (c == '/' && keeps_slash)) {
            out_put_byte(o, c);
        } else {
            char code[3] = {'%', digits[c >> 4], digits[c & 15]};
            out_put(o, code, sizeof code);
        }
    }
}

void sigv4_put_path(struct out *o, struct slice path)
{
    put_encoded(o, path, true);
}

void sigv4_put_query(struct out *o, struct slice text)
{
    put_encoded(o, text, false);
}

struct slice sigv4_host(const char *url, const char **ret_path)
{
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end ? scheme_end + 3 : url;
    size_t size = strcspn(host, "/");
    const char *own = strncasecmp(url, "https://", 8) == 0 ? ":443" : ":80";
    size_t own_size = strlen(own);
    *ret_path = host + size;
    if (size > own_size && memcmp(host + size - own_size, own, own_size) == 0) {
        size -= own_size;
    }
    return (struct slice){(const uint8_t *)host, size};
}

/* --- headers --- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int name_compare(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return (int)(unsigned char)lower(*a) - (int)(unsigned char)lower(*b);
}

/* At its place, behind those of the same name. */
static void line_add(struct signing *signing, const char *name, struct slice value)
{
    assert(signing->line_count < LINE_MAX);
    size_t at = signing->line_count++;
    for (; at > 0 && name_compare(signing->lines[at - 1].name, name) > 0; at--) {
        signing->lines[at] = signing->lines[at - 1];
    }
    signing->lines[at] = (struct sigv4_header){name, value};
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without the space around it, and one where there are several. */
static void put_value(struct out *o, struct slice value)
{
    bool is_first = true;
    for (size_t i = 0; i < value.size;) {
        size_t end = i;
        while (end < value.size && !is_space(value.data[end])) {
            end++;
        }
        if (end > i) {
            out_put_text(o, is_first ? "" : " ");
            out_put(o, value.data + i, end - i);
            is_first = false;
        }
        i = end + 1;
    }
}

static bool has_name_before(const struct signing *signing, size_t i)
{
    return i > 0 && name_compare(signing->lines[i - 1].name, signing->lines[i].name) == 0;
}

static void put_name(struct out *o, const char *name)
{
    for (const char *c = name; *c; c++) {
        out_put_byte(o, (uint8_t)lower(*c));
    }
}

static void put_lines(struct out *o, const struct signing *signing)
{
    for (size_t i = 0; i < signing->line_count; i++) {
        if (has_name_before(signing, i)) {
            out_put_text(o, ",");
        } else {
            out_put_text(o, i > 0 ? "\n" : "");
            put_name(o, signing->lines[i].name);
            out_put_text(o, ":");
        }
        put_value(o, signing->lines[i].value);
    }
    out_put_text(o, "\n");
}

static void put_names(struct out *o, const struct signing *signing, const char *between)
{
    for (size_t i = 0; i < signing->line_count; i++) {
        if (!has_name_before(signing, i)) {
            out_put_text(o, i > 0 ? between : "");
            put_name(o, signing->lines[i].name);
        }
    }
}

/* --- the query --- */

struct parameter {
    struct slice name, value;
};

static int parameter_compare(const struct parameter *a, const struct parameter *b)
{
    int order = slice_compare(a->name, b->name);
    return order ? order : slice_compare(a->value, b->value);
}

/* In order; at most SIGV4_PARAMETER_MAX. */
static size_t parameters_of(struct slice query, struct parameter ret[SIGV4_PARAMETER_MAX])
{
    size_t count = 0;
    while (query.size > 0) {
        const uint8_t *and = memchr(query.data, '&', query.size);
        size_t size = and? (size_t)(and-query.data) : query.size;
        const uint8_t *equals = memchr(query.data, '=', size);
        size_t name_size = equals ? (size_t)(equals - query.data) : size;
        struct parameter one = {{query.data, name_size}, {NULL, 0}};
        if (equals) {
            one.value = (struct slice){equals + 1, size - name_size - 1};
        }
        assert(count < SIGV4_PARAMETER_MAX);
        size_t at = count++;
        for (; at > 0 && parameter_compare(&ret[at - 1], &one) > 0; at--) {
            ret[at] = ret[at - 1];
        }
        ret[at] = one;
        size += and? 1 : 0;
        query = (struct slice){query.data + size, query.size - size};
    }
    return count;
}

static void put_parameter(struct out *o, const struct parameter *one, bool is_first)
{
    out_put_text(o, is_first ? "" : "&");
    out_put_slice(o, one->name);
    out_put_text(o, "=");
    out_put_slice(o, one->value);
}

static void put_sorted_query(struct out *o, struct slice query)
{
    struct parameter parameters[SIGV4_PARAMETER_MAX];
    size_t count = parameters_of(query, parameters);
    for (size_t i = 0; i < count; i++) {
        put_parameter(o, &parameters[i], i == 0);
    }
}

/* What a presigned URL has of its own, in order. */
static void put_own_query(struct out *o, const struct signing *signing, uint32_t expires_s)
{
    const struct aws_credentials *credentials = signing->credentials;
    out_put_text(o, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
    sigv4_put_query(o, slice_of_text(credentials->key_id));
    out_put_text(o, "%2F");
    sigv4_put_query(o, slice_of_text(signing->scope));
    out_put_format(o, "&X-Amz-Date=%s&X-Amz-Expires=%u", signing->date, (unsigned)expires_s);
    if (credentials->session_token) {
        out_put_text(o, "&X-Amz-Security-Token=");
        sigv4_put_query(o, slice_of_text(credentials->session_token));
    }
    out_put_text(o, "&X-Amz-SignedHeaders=");
    put_names(o, signing, "%3B");
}

static void put_presigned_query(struct out *o, const struct signing *signing, uint32_t expires_s)
{
    struct parameter parameters[SIGV4_PARAMETER_MAX];
    size_t count = parameters_of(signing->request->query, parameters);
    size_t i = 0;
    for (; i < count && slice_compare(parameters[i].name, SLICE("X-Amz-")) < 0; i++) {
        put_parameter(o, &parameters[i], i == 0);
    }
    out_put_text(o, i > 0 ? "&" : "");
    put_own_query(o, signing, expires_s);
    for (; i < count; i++) {
        put_parameter(o, &parameters[i], false);
    }
}

/* --- the signature --- */

static void put_canonical(struct out *o, const struct signing *signing, struct slice sorted_query)
{
    const struct sigv4_request *request = signing->request;
    struct slice path = request->path.size > 0 ? request->path : SLICE("/");
    out_put_text(o, request->method);
    out_put_text(o, "\n");
    if (request->is_s3) {
        out_put_slice(o, path);
    } else {
        sigv4_put_path(o, path);
    }
    out_put_text(o, "\n");
    out_put_slice(o, sorted_query);
    out_put_text(o, "\n");
    put_lines(o, signing);
    out_put_text(o, "\n");
    put_names(o, signing, ";");
    out_put_text(o, "\n");
    out_put_text(o, request->body_hash);
}

/* Of what stands in `canonical`. */
static void put_signature(struct out *o, const struct signing *signing, struct slice canonical)
{
    const struct sigv4_request *request = signing->request;
    uint8_t text[TO_SIGN_SIZE_MAX];
    struct out to_sign = out_over(text, sizeof text);
    out_put_format(&to_sign, ALGORITHM "\n%s\n%s\n", signing->date, signing->scope);
    put_hash(&to_sign, canonical);

    uint8_t secret[4 + SIGV4_SECRET_SIZE_MAX];
    struct out prefixed = out_over(secret, sizeof secret);
    out_put_text(&prefixed, "AWS4");
    out_put_text(&prefixed, signing->credentials->secret);
    assert(!to_sign.overflow && !prefixed.overflow);

    const struct slice steps[] = {{(const uint8_t *)signing->date, 8},
                                  slice_of_text(request->region),
                                  slice_of_text(request->service),
                                  SLICE("aws4_request"),
                                  out_slice(&to_sign)};
    uint8_t key[HASH_SHA256_SIZE], next[HASH_SHA256_SIZE];
    struct slice with = out_slice(&prefixed);
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        hash_hmac(HASH_SHA256, with, steps[i], next);
        memcpy(key, next, sizeof key);
        with = (struct slice){key, sizeof key};
    }
    hash_put_hex(o, with);
}

static void signing_begin(struct signing *signing, const struct sigv4_request *request,
                          const struct aws_credentials *credentials)
{
    assert(request->header_count <= SIGV4_HEADER_MAX);
    signing->request = request;
    signing->credentials = credentials;
    signing->line_count = 0;
    sigv4_date(request->time_s, signing->date);
    struct out scope = out_over(signing->scope, sizeof signing->scope - 1);
    out_put_format(&scope, "%.8s/%s/%s/aws4_request", signing->date, request->region,
                   request->service);
    assert(!scope.overflow);
    signing->scope[scope.size] = '\0';
    for (size_t i = 0; i < request->header_count; i++) {
        line_add(signing, request->headers[i].name, request->headers[i].value);
    }
    line_add(signing, "host", request->host);
}

/* Puts the canonical request together in the room that `ret` has left, and appends its signature. */
static void signing_end(const struct signing *signing, struct slice prefix, struct slice query,
                        bool is_sorted, struct out *ret)
{
    assert(ret->size_max >= ret->size);
    struct out room = out_over(ret->data + ret->size, ret->size_max - ret->size);
    struct slice sorted = query;
    if (!is_sorted) {
        put_sorted_query(&room, query);
        sorted = out_slice(&room);
    }
    struct out canonical = out_over(room.data + room.size, room.size_max - room.size);
    put_canonical(&canonical, signing, sorted);
    if (room.overflow || canonical.overflow) {
        ret->overflow = true;
        return;
    }
    uint8_t digits[SIGV4_HASH_SIZE];
    struct out signature = out_over(digits, sizeof digits);
    put_signature(&signature, signing, out_slice(&canonical));
    out_put_slice(ret, prefix);
    out_put_slice(ret, out_slice(&signature));
}

void sigv4_sign(const struct sigv4_request *request, const struct aws_credentials *credentials,
                struct out *ret)
{
    struct signing signing;
    signing_begin(&signing, request, credentials);
    line_add(&signing, "x-amz-date", slice_of_text(signing.date));
    if (credentials->session_token) {
        line_add(&signing, "x-amz-security-token", slice_of_text(credentials->session_token));
    }
    if (request->is_s3) {
        line_add(&signing, "x-amz-content-sha256", slice_of_text(request->body_hash));
    }
    out_put_format(ret, ALGORITHM " Credential=%s/%s, SignedHeaders=", credentials->key_id,
                   signing.scope);
    put_names(ret, &signing, ";");
    signing_end(&signing, SLICE(", Signature="), request->query, false, ret);
}

void sigv4_presign(const struct sigv4_request *request, const struct aws_credentials *credentials,
                   uint32_t expires_s, struct out *ret)
{
    struct signing signing;
    signing_begin(&signing, request, credentials);
    size_t begin = ret->size;
    put_presigned_query(ret, &signing, expires_s);
    struct slice query = {ret->data + begin, ret->size - begin};
    signing_end(&signing, SLICE("&X-Amz-Signature="), query, true, ret);
}
