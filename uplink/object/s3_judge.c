#include "uplink/object/answer.h"
#include "uplink/object/s3_impl.h"
#include "uplink/object/xml.h"

static const struct object_code s3_codes[] = {
    {"SignatureDoesNotMatch", OBJECT_STOP, "look at the secret access key"},
    {"InvalidAccessKeyId", OBJECT_STOP, "look at the access key id"},
    {"AccessDenied", OBJECT_STOP, "the credentials need s3:PutObject on the bucket"},
    {"AllAccessDisabled", OBJECT_STOP, "look at the account"},
    {"NoSuchBucket", OBJECT_STOP, "make the bucket, or look at its name"},
    {"RequestTimeTooSkewed", OBJECT_CLOCK, "the machine's clock is wrong"},
    {"RequestExpired", OBJECT_CLOCK, "the machine's clock is wrong"},
    {"AuthorizationHeaderMalformed", OBJECT_REGION, "look at region"},
    {"AuthorizationQueryParametersError", OBJECT_REGION, "look at region"},
    {"PermanentRedirect", OBJECT_REGION, "look at region and endpoint"},
    {"IllegalLocationConstraintException", OBJECT_REGION, "look at region"},
    {"ExpiredToken", OBJECT_RENEW, "the session token has ended"},
    {"TokenRefreshRequired", OBJECT_RENEW, "the session token has ended"},
    {"InvalidToken", OBJECT_RENEW, "look at the session token"},
    {"XAmzContentSHA256Mismatch", OBJECT_REPEAT, "the body was changed on its way"},
    {"XAmzContentChecksumMismatch", OBJECT_REPEAT, "the body was changed on its way"},
    {"BadDigest", OBJECT_REPEAT, "the body was changed on its way"},
    {"InvalidDigest", OBJECT_REPEAT, "the body was changed on its way"},
    {"PreconditionFailed", OBJECT_THERE, ""},
    {"NoSuchUpload", OBJECT_RESTART, "the upload in parts was ended by somebody"},
    {"InvalidPart", OBJECT_RESTART, "a part is not there"},
    {"InvalidPartOrder", OBJECT_RESTART, "a part is not there"},
    {"EntityTooLarge", OBJECT_HALVE, ""},
    {"TemporaryRedirect", OBJECT_WAIT, "look at region and endpoint"},
    {"RequestTimeout", OBJECT_WAIT, ""},
    {"IncompleteBody", OBJECT_WAIT, ""},
    {"OperationAborted", OBJECT_WAIT, ""},
    {"ConditionalRequestConflict", OBJECT_WAIT, ""},
    {"SlowDown", OBJECT_WAIT, ""},
    {"Throttling", OBJECT_WAIT, ""},
    {"InternalError", OBJECT_WAIT, ""},
    {"ServiceUnavailable", OBJECT_WAIT, ""},
};

static void s3_read(const struct http_answer *answer, struct object_said *ret)
{
    (void)xml_text(answer->body, "Code", ret->code, sizeof ret->code);
    (void)xml_text(answer->body, "Message", ret->message, sizeof ret->message);
    object_said_find(ret, s3_codes, ARRAY_COUNT(s3_codes), answer->status);
}

/* An upload that has begun is taken back first. */
static enum sender_next s3_end(struct sender_request *r, struct send_report *ret)
{
    struct s3_state *state = r->state;
    struct object object;
    struct s3_marks marks;
    object_of(r->batch, &object);
    enum s3_step step = s3_step(state, &object, &marks);
    bool is_begun = step == S3_PART || step == S3_COMPLETE;
    if (!is_begun || ret->result == SEND_RETRY) {
        return SENDER_END;
    }
    state->is_aborting = true;
    state->verdict = *ret;
    return SENDER_MORE;
}

/* --- the actions --- */

static enum sender_next s3_wrong_time(struct s3 *s3, struct sender_request *r,
                                      const struct http_answer *answer, struct send_report *ret)
{
    struct s3_state *state = r->state;
    char text[32];
    int64_t time_s = 0;
    if (state->has_skewed) {
        return s3_end(r, ret);
    }
    state->has_skewed = true;
    if (answer->date_s == 0 && xml_text(answer->body, "ServerTime", text, sizeof text) &&
        xml_time(text, &time_s)) {
        (void)server_clock_learn(sender_clock(s3->base.sender), time_s);
    }
    return SENDER_MORE;
}

static enum sender_next s3_wrong_region(struct sender_request *r, const struct object_said *said,
                                        const struct http_answer *answer, struct send_report *ret)
{
    const struct s3_state *state = r->state;
    char region[sizeof state->region];
    if (!xml_text(answer->body, "Region", region, sizeof region)) {
        memcpy(region, state->region, sizeof region);
    }
    if (region[0]) {
        sender_report(ret, SEND_PARK, (int)answer->status,
                      "the store answers %ld %s: the bucket is in region %s, set region",
                      answer->status, said->code, region);
    }
    return s3_end(r, ret);
}

static enum sender_next s3_renew(struct s3 *s3, struct sender_request *r, struct send_report *ret)
{
    struct s3_state *state = r->state;
    bool are_others = credentials_refused(s3->credentials, state->credentials);
    if (state->has_renewed || !are_others) {
        return s3_end(r, ret);
    }
    state->has_renewed = true;
    return SENDER_MORE;
}

static enum sender_next s3_repeat(const struct s3 *s3, struct sender_request *r,
                                  struct send_report *ret)
{
    struct s3_state *state = r->state;
    if (!state->has_repeated) {
        state->has_repeated = true;
        return SENDER_LATER;
    }
    http_base_refuse(&s3->base, r->batch, SEND_REJECTED, ret);
    return s3_end(r, ret);
}

static enum sender_next s3_restart(struct sender_request *r, struct send_report *ret)
{
    struct s3_state *state = r->state;
    struct object object;
    object_of(r->batch, &object);
    if (!object.marks) {
        return SENDER_END;
    }
    const struct s3_marks none = {.done_count = 0};
    s3_marks_set(&object, &none);
    ret->result = SEND_RETRY;
    return state->restarts++ < S3_RESTART_MAX ? SENDER_LATER : SENDER_END;
}

static enum sender_next s3_act(struct s3 *s3, struct sender_request *r,
                               const struct http_answer *answer, struct send_report *ret)
{
    struct object_said said;
    r->is_in_doubt = r->is_in_doubt || answer->status < 300; /* the end of an upload in parts */
    s3_read(answer, &said);
    object_say(ret, SEND_PARK, &said, answer->status);
    switch (said.action) {
    case OBJECT_WAIT:
        ret->result = SEND_RETRY;
        return SENDER_END;
    case OBJECT_CLOCK:
        return s3_wrong_time(s3, r, answer, ret);
    case OBJECT_REGION:
        return s3_wrong_region(r, &said, answer, ret);
    case OBJECT_RENEW:
        return s3_renew(s3, r, ret);
    case OBJECT_REPEAT:
        return s3_repeat(s3, r, ret);
    case OBJECT_THERE: /* only what was asked for says so */
        ret->result = s3->options->create_only ? SEND_OK : SEND_PARK;
        ret->was_duplicate = ret->result == SEND_OK;
        return s3_end(r, ret);
    case OBJECT_RESTART:
        return s3_restart(r, ret);
    case OBJECT_HALVE:
        http_base_refuse(&s3->base, r->batch, SEND_TOO_LARGE, ret);
        return s3_end(r, ret);
    case OBJECT_STOP:
        break;
    }
    return s3_end(r, ret);
}

/* --- answers --- */

static enum sender_next s3_no_sense(struct sender_request *r, struct send_report *ret,
                                    const char *what)
{
    r->is_in_doubt = true;
    sender_report(ret, SEND_RETRY, 0, "the store's answer has no %s: is this S3?", what);
    return SENDER_END;
}

static enum sender_next s3_went_well(struct sender_request *r, const struct http_answer *answer,
                                     struct send_report *ret)
{
    const struct s3_state *state = r->state;
    struct object object;
    struct s3_marks marks;
    object_of(r->batch, &object);
    switch (s3_step(state, &object, &marks)) {
    case S3_CREATE:
        if (!xml_text(answer->body, "UploadId", marks.upload_id, sizeof marks.upload_id) ||
            strlen(marks.upload_id) + 1 >= sizeof marks.upload_id) {
            return s3_no_sense(r, ret, "UploadId");
        }
        s3_marks_set(&object, &marks);
        return SENDER_MORE;
    case S3_PART:
        if (!state->etag[0]) {
            return s3_no_sense(r, ret, "ETag");
        }
        memcpy(marks.etags[marks.done_count++], state->etag, sizeof state->etag);
        s3_marks_set(&object, &marks);
        return SENDER_MORE;
    case S3_COMPLETE: /* its status comes before it is done: blanks keep the connection open */
        if (!answer->body.size || !memmem(answer->body.data, answer->body.size, "</", 2)) {
            return s3_no_sense(r, ret, "result");
        }
        break;
    case S3_PUT:
    case S3_ABORT:
        break;
    }
    ret->result = SEND_OK;
    return SENDER_END;
}

enum sender_next s3_judge(void *context, struct sender_request *r, const struct http_answer *answer,
                          struct send_report *ret)
{
    struct s3 *s3 = context;
    struct s3_state *state = r->state;
    char code[S3_CODE_SIZE];
    if (state->is_aborting) { /* whatever became of it */
        *ret = state->verdict;
        struct object object;
        const struct s3_marks none = {.done_count = 0};
        object_of(r->batch, &object);
        s3_marks_set(&object, &none);
        return SENDER_END;
    }
    /* The end of an upload in parts may fail behind a 200. */
    bool is_well = answer->status >= 200 && answer->status < 300 &&
                   !xml_text(answer->body, "Code", code, sizeof code);
    return is_well ? s3_went_well(r, answer, ret) : s3_act(s3, r, answer, ret);
}

void s3_header(void *context, struct sender_request *r, struct slice name, struct slice value)
{
    struct s3_state *state = r->state;
    (void)context;
    bool kept = true;
    if (object_header_is(name, "etag")) {
        kept = slice_to_text(value, state->etag, sizeof state->etag);
    } else if (object_header_is(name, "x-amz-bucket-region")) {
        kept = slice_to_text(value, state->region, sizeof state->region);
    }
    (void)kept; /* then it is "", as if there were none */
}
