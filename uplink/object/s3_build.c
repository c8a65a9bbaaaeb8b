#include <assert.h>
#include <stdio.h>

#include "ports/lib/hash.h"
#include "uplink/object/s3_impl.h"
#include "uplink/object/xml.h"

#define SIGN_ROOM (24 * 1024) /* beside a body: what is hashed, and what comes out */
#define COMPLETE_ROOM (256 + OBJECT_PART_MAX * (2 * S3_ETAG_SIZE + 128))
#define AUTHORIZATION_SIZE_MAX 1024

static_assert(sizeof(struct s3_marks) <= OBJECT_MARKS_SIZE, "the object has room for them");

enum s3_step s3_step(const struct s3_state *state, const struct object *object,
                     struct s3_marks *ret_marks)
{
    *ret_marks = (struct s3_marks){.done_count = 0};
    if (!object->marks) {
        return S3_PUT;
    }
    memcpy(ret_marks, object->marks, sizeof *ret_marks);
    if (state->is_aborting) {
        return S3_ABORT;
    }
    if (!ret_marks->upload_id[0]) {
        return S3_CREATE;
    }
    return ret_marks->done_count < object->part_count ? S3_PART : S3_COMPLETE;
}

void s3_marks_set(const struct object *object, const struct s3_marks *marks)
{
    memcpy(object->marks, marks, sizeof *marks);
}

/* A request in the making. */
struct s3_making {
    const struct s3 *s3;
    struct sender_request *r;
    enum s3_step step;
    struct object object;
    struct s3_marks marks;
    struct object_digests digests; /* of a body with digests */
    char body_hash[SIGV4_HASH_SIZE];
    char date[SIGV4_DATE_SIZE];
    struct slice host;
    struct slice path;
    struct slice query;
    struct sigv4_header headers[SIGV4_HEADER_MAX]; /* those to be signed; they lie in r->text */
    size_t header_count;
    struct aws_credentials credentials;
    bool ok;
};

/* --- the address --- */

/* URL in the request's text; host, path and query point into it. */
static void make_url(struct s3_making *m, const char *name)
{
    const struct s3 *s3 = m->s3;
    struct out *text = &m->r->text;
    size_t start = text->size;
    out_put_slice(text, s3->endpoint.scheme);
    size_t host_at = text->size;
    if (!s3->is_path_style) {
        out_put_text(text, s3->options->bucket);
        out_put_byte(text, '.');
    }
    out_put_slice(text, s3->endpoint.host);
    size_t path_at = text->size;
    out_put_slice(text, s3->endpoint.path);
    if (s3->is_path_style) {
        out_put_byte(text, '/');
        out_put_text(text, s3->options->bucket);
    }
    out_put_byte(text, '/');
    sigv4_put_path(text, slice_of_text(name));
    size_t path_end = text->size;
    if (m->step == S3_CREATE) {
        out_put_text(text, "?uploads=");
    } else if (m->step != S3_PUT) {
        out_put_byte(text, '?');
        if (m->step == S3_PART) {
            out_put_format(text, "partNumber=%u&", m->marks.done_count + 1);
        }
        out_put_text(text, "uploadId=");
        sigv4_put_query(text, slice_of_text(m->marks.upload_id));
    }
    size_t end = text->size;
    out_put_byte(text, 0);
    const uint8_t *data = text->data;
    m->ok = m->ok && !text->overflow;
    m->r->http.url = (const char *)data + start;
    m->host = (struct slice){data + host_at, path_at - host_at};
    m->path = (struct slice){data + path_at, path_end - path_at};
    m->query = (struct slice){data + path_end + 1, end > path_end ? end - path_end - 1 : 0};
}

/* --- the body --- */

/* <CompleteMultipartUpload> in memory of the sender's, with room behind it to sign in. */
static enum err make_complete(struct s3_making *m, struct out *ret)
{
    enum err e = sender_body(m->r, COMPLETE_ROOM + SIGN_ROOM, ret);
    if (e) {
        return e;
    }
    out_put_text(ret, "<CompleteMultipartUpload "
                      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < m->object.part_count; i++) {
        out_put_format(ret, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
        xml_put_text(ret, m->marks.etags[i]);
        out_put_text(ret, "</ETag></Part>");
    }
    out_put_text(ret, "</CompleteMultipartUpload>");
    m->r->http.body = out_slice(ret);
    sigv4_hash(m->r->http.body, m->body_hash);
    return ERR_OK;
}

static enum err make_body(struct s3_making *m, struct out *ret_room)
{
    static const char *const methods[] = {"PUT", "POST", "PUT", "POST", "DELETE"};
    m->r->http.method = methods[m->step];
    if (m->step == S3_COMPLETE) {
        return make_complete(m, ret_room);
    }
    if (m->step == S3_PUT || m->step == S3_PART) {
        uint32_t index = m->step == S3_PART ? m->marks.done_count : 0;
        struct out hash = out_over(m->body_hash, sizeof m->body_hash);
        object_digests(&m->object, index, &m->digests);
        m->r->http.body = object_part(&m->object, index);
        hash_put_hex(&hash, (struct slice){m->digests.sha256, sizeof m->digests.sha256});
        out_put_byte(&hash, 0);
    } else {
        sigv4_hash((struct slice){NULL, 0}, m->body_hash);
    }
    return sender_body(m->r, SIGN_ROOM, ret_room);
}

/* --- headers --- */

/* Sent and signed. */
static void put_signed(struct s3_making *m, const char *name, const char *value)
{
    size_t at = m->r->text.size;
    m->ok =
        m->ok && m->header_count < SIGV4_HEADER_MAX && sender_header(m->r, "%s: %s", name, value);
    if (m->ok) {
        const char *text = (const char *)m->r->text.data + at;
        m->headers[m->header_count++] =
            (struct sigv4_header){.name = name, .value = slice_of_text(text + strlen(name) + 2)};
    }
}

static void put_digest(struct s3_making *m, const char *name, const uint8_t *data, size_t size)
{
    char text[64];
    struct out out = out_over(text, sizeof text);
    hash_put_base64(&out, (struct slice){data, size});
    out_put_byte(&out, 0);
    assert(!out.overflow);
    put_signed(m, name, text);
}

/* What the object is to be like: said where it begins. */
static void put_properties(struct s3_making *m)
{
    const struct s3_options *o = m->s3->options;
    put_signed(m, "content-type", "application/avro");
    if (o->storage_class) {
        put_signed(m, "x-amz-storage-class", o->storage_class);
    }
    if (o->encryption != S3_ENCRYPTION_BUCKET) {
        put_signed(m, "x-amz-server-side-encryption",
                   o->encryption == S3_ENCRYPTION_KMS ? "aws:kms" : "AES256");
    }
    if (o->kms_key) {
        put_signed(m, "x-amz-server-side-encryption-aws-kms-key-id", o->kms_key);
    }
}

static void put_headers(struct s3_making *m)
{
    const struct s3_options *o = m->s3->options;
    bool has_digests = m->step == S3_PUT || m->step == S3_PART;
    bool ends = m->step == S3_PUT || m->step == S3_COMPLETE;
    if (m->step == S3_PUT || m->step == S3_CREATE) {
        put_properties(m);
    }
    /* Of parts each store knows this one. */
    if (has_digests && (o->checksum == S3_CHECKSUM_MD5 ||
                        (m->step == S3_PART && o->checksum == S3_CHECKSUM_CRC32C))) {
        put_digest(m, "content-md5", m->digests.md5, sizeof m->digests.md5);
    } else if (has_digests && o->checksum == S3_CHECKSUM_CRC32C) {
        put_digest(m, "x-amz-checksum-crc32c", m->digests.crc32c, sizeof m->digests.crc32c);
    }
    if (ends && o->create_only) {
        put_signed(m, "if-none-match", "*");
    }
    m->ok = m->ok && sender_header(m->r, "x-amz-date: %s", m->date) &&
            sender_header(m->r, "x-amz-content-sha256: %s", m->body_hash);
    if (m->credentials.session_token) {
        m->ok =
            m->ok && sender_header(m->r, "x-amz-security-token: %s", m->credentials.session_token);
    }
}

static void put_signature(struct s3_making *m, int64_t time_s, struct out *room)
{
    const struct sigv4_request request = {.method = m->r->http.method,
                                          .host = m->host,
                                          .path = m->path,
                                          .query = m->query,
                                          .headers = m->headers,
                                          .header_count = m->header_count,
                                          .body_hash = m->body_hash,
                                          .region = m->s3->region,
                                          .service = "s3",
                                          .time_s = time_s,
                                          .is_s3 = true};
    size_t at = room->size;
    if (!m->ok) {
        return;
    }
    sigv4_sign(&request, &m->credentials, room);
    out_put_byte(room, 0);
    m->ok =
        !room->overflow && sender_header(m->r, "Authorization: %s", (const char *)room->data + at);
}

static enum err s3_make(struct s3_making *m, const char *name)
{
    struct out room;
    int64_t time_s = server_clock_now_s(sender_clock(m->s3->base.sender));
    make_url(m, name);
    enum err e = make_body(m, &room);
    if (e) {
        return e;
    }
    sigv4_date(time_s, m->date);
    put_headers(m);
    put_signature(m, time_s, &room);
    return m->ok ? ERR_OK : ERR_FULL;
}

enum err s3_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct s3 *s3 = context;
    struct s3_state *state = r->state;
    struct s3_making making = {.s3 = s3, .r = r, .ok = true};
    char name[OBJECT_NAME_SIZE_MAX + 1];
    struct out out = out_over(name, sizeof name);
    struct why why = {""};
    enum err e = credentials_get(s3->credentials, &making.credentials);
    if (e == ERR_AGAIN) {
        return e;
    }
    object_of(r->batch, &making.object);
    making.step = s3_step(state, &making.object, &making.marks);
    state->credentials = making.credentials.number;
    state->etag[0] = 0;
    state->region[0] = 0;
    e = e ? e : object_name_of(r->batch, &out, &why);
    e = e ? e : s3_make(&making, name);
    if (e == ERR_NOMEM) {
        sender_report(ret, SEND_RETRY, 0, "no memory for a request");
    } else if (e) {
        sender_report(ret, SEND_PARK, 0, "%s",
                      why.text[0] ? why.text
                                  : "name, session token and headers are too long for "
                                    "a request");
    }
    return e;
}
