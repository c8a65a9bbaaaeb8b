#include <stdlib.h>

#include "ports/file.h"
#include "uplink/aws/credentials_impl.h"
#include "uplink/http/server_clock.h"

#define TIMEOUT_MS (20 * 1000)

void credentials_service_answered(struct credentials *credentials, const struct http_answer *answer,
                                  const char *who, const char *advice)
{
    char error[CREDENTIALS_ERROR_SIZE];
    struct out scratch = out_over(credentials->scratch, sizeof credentials->scratch);
    struct credentials_answer unused;
    bool is_dated = server_clock_learn(credentials->setup.clock, answer->date_s);
    if (answer->e) {
        why_set(&credentials->why, "no answer from %s: %s", who,
                answer->why.text[0] ? answer->why.text : err_name(answer->e));
        credentials_fail(credentials, answer->e, 0);
        return;
    }
    if (answer->status == 200) {
        credentials_take_body(credentials, answer->body, who);
        return;
    }
    enum err e = credentials_answer_parse(answer->body, &scratch, &unused, error);
    bool is_persons = answer->status >= 400 && answer->status < 500 && answer->status != 408 &&
                      answer->status != 429;
    /* What was signed for another time is soon signed for the right one. */
    bool is_of_clock = is_persons && credentials->roles && is_dated;
    why_set(&credentials->why, "%s refuses (%ld%s%s)%s", who, answer->status,
            e && error[0] ? ", " : "", e ? error : "",
            is_of_clock  ? ": it was signed for another time than its answer has: set the clock"
            : is_persons ? advice
                         : "");
    if (is_of_clock) {
        credentials_fail_of_clock(credentials, answer->retry_after_ms);
    } else {
        credentials_fail(credentials, is_persons ? ERR_AUTH : ERR_CLOSED, answer->retry_after_ms);
    }
}

/* --- STS --- */

static void sts_answered(struct credentials *credentials, const struct http_answer *answer)
{
    credentials_service_answered(credentials, answer, "AWS's Security Token Service",
                                 ": check the role, whom it trusts, and the token's file");
}

const char *credentials_sts_url(struct credentials *credentials)
{
    const char *url = credentials->setup.options->sts_url;
    url = url ? url : credentials_environment("AWS_ENDPOINT_URL_STS");
    const char *region = credentials->setup.region;
    return url ? url
               : credentials_text(credentials, "https://sts.%s.amazonaws.com%s/", region,
                                  strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

static struct slice sts_form(struct credentials *credentials, struct slice role_arn,
                             struct slice session_name, struct slice token)
{
    struct out *text = &credentials->text;
    size_t begin = text->size;
    while (token.size > 0 && token.data[token.size - 1] <= ' ') {
        token.size--;
    }
    out_put_text(text, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
    sigv4_put_query(text, role_arn);
    out_put_text(text, "&RoleSessionName=");
    sigv4_put_query(text, session_name);
    out_put_text(text, "&WebIdentityToken=");
    sigv4_put_query(text, token);
    return (struct slice){text->data + begin, text->size - begin};
}

void credentials_ask_sts(struct credentials *credentials, struct slice role_arn,
                         struct slice session_name, const char *token_file, bool is_checked)
{
    struct slice token;
    enum err e =
        is_checked
            ? file_read_secret(token_file, CREDENTIALS_BODY_SIZE_MAX, &token, &credentials->why)
            : file_read(token_file, CREDENTIALS_BODY_SIZE_MAX, &token, &credentials->why);
    if (e) {
        why_add(&credentials->why, "the web identity's token");
        credentials_fail(credentials, e == ERR_CLOSED ? ERR_CONFIG : e, 0);
        return;
    }
    const char *name = credentials_environment("AWS_ROLE_SESSION_NAME");
    if (session_name.size == 0) {
        session_name = slice_of_text(name ? name : CREDENTIALS_SESSION_NAME);
    }
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    struct credentials_request request = {
        .method = "POST",
        .url = credentials_sts_url(credentials),
        .headers = {"Content-Type: application/x-www-form-urlencoded"},
        .body = sts_form(credentials, role_arn, session_name, token),
        .timeout_ms = TIMEOUT_MS,
    };
    free((void *)(uintptr_t)token.data);
    credentials_ask(credentials, &request, sts_answered);
}

void credentials_from_web_identity(struct credentials *credentials)
{
    const struct credentials_options *options = credentials->setup.options;
    const char *file = options->web_identity_token_file;
    const char *role =
        options->role_arn ? options->role_arn : credentials_environment("AWS_ROLE_ARN");
    /* A platform's own file has the mode that the platform gives it. */
    bool is_checked = file != NULL;
    file = file ? file : credentials_environment("AWS_WEB_IDENTITY_TOKEN_FILE");
    if (!file) {
        credentials_none(credentials);
        return;
    }
    if (!role) {
        why_set(&credentials->why, "AWS_WEB_IDENTITY_TOKEN_FILE is set, and no role: set "
                                   "AWS_ROLE_ARN, or credentials.role_arn");
        credentials_fail(credentials, ERR_CONFIG, 0);
        return;
    }
    credentials_origin_set(credentials, "the web identity, as %.120s", role);
    credentials_ask_sts(credentials, slice_of_text(role), slice_of_text(options->role_session_name),
                        file, is_checked);
}

/* --- AWS IoT --- */

static void iot_answered(struct credentials *credentials, const struct http_answer *answer)
{
    credentials_service_answered(
        credentials, answer, "AWS IoT's credentials provider",
        ": check that the certificate is active, that its policy allows "
        "iot:AssumeRoleWithCertificate on the role alias, and the thing's name");
}

void credentials_from_iot(struct credentials *credentials)
{
    const struct credentials_iot_options *iot = &credentials->setup.options->iot;
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    struct credentials_request request = {
        .method = "GET",
        .url = credentials_text(credentials, "https://%s/role-aliases/%s/credentials",
                                iot->endpoint, iot->role_alias),
        .tls = &iot->tls,
        .timeout_ms = TIMEOUT_MS,
    };
    if (iot->thing_name) {
        request.headers[0] =
            credentials_text(credentials, "x-amzn-iot-thingname: %s", iot->thing_name);
    }
    credentials_origin_set(credentials, "AWS IoT, role alias %.120s", iot->role_alias);
    credentials_ask(credentials, &request, iot_answered);
}
