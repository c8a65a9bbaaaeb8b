#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "uplink/aws/credentials_impl.h"
#include "uplink/http/server_clock.h"

#define TIMEOUT_MS (20 * 1000)
#define DURATION_S_MIN 900
#define DURATION_S_MAX 43200
#define CONTENT_TYPE "application/x-www-form-urlencoded"
#define TOKEN_HEADER "X-Amz-Security-Token: "

/* --- what the shared files say --- */

static bool word_keep(char *to, size_t size, struct slice text)
{
    return text.size == 0 || (credentials_is_word(text, size - 1) && slice_to_text(text, to, size));
}

static bool duration_is_good(const char *text)
{
    char *end;
    long seconds = strtol(text, &end, 10);
    return !text[0] || (!*end && seconds >= DURATION_S_MIN && seconds <= DURATION_S_MAX);
}

static const char *role_read(struct credentials_role *role,
                             const struct credentials_profile *profile)
{
    if (profile->mfa_serial.size > 0) {
        return "it has an mfa_serial, and nobody types a code here: use a role that asks for none";
    }
    if (profile->source_profile.size > 0 && profile->credential_source.size > 0) {
        return "it has source_profile and credential_source: keep one of them";
    }
    if (!word_keep(role->arn, sizeof role->arn, profile->role_arn)) {
        return "its role_arn is no ARN";
    }
    if (!word_keep(role->external_id, sizeof role->external_id, profile->external_id)) {
        return "its external_id is none that AWS takes";
    }
    if (!word_keep(role->session_name, sizeof role->session_name, profile->role_session_name)) {
        return "its role_session_name is none that AWS takes: 2 to 64 letters, digits and =,.@-_";
    }
    if (!word_keep(role->duration, sizeof role->duration, profile->duration) ||
        !duration_is_good(role->duration)) {
        return "its duration_seconds is not from 900 to 43200";
    }
    return NULL;
}

enum err credentials_role_add(struct credentials *credentials, const char *name,
                              const struct credentials_profile *profile)
{
    size_t count = 1;
    for (const struct credentials_role *r = credentials->roles; r; r = r->next) {
        count++;
    }
    struct credentials_role *role = count > CREDENTIALS_CHAIN_MAX ? NULL : calloc(1, sizeof *role);
    if (!role) {
        why_set(&credentials->why, "profile %.100s: %s", name,
                count > CREDENTIALS_CHAIN_MAX ? "at most 5 roles are taken one by the other"
                                              : err_name(ERR_NOMEM));
        return count > CREDENTIALS_CHAIN_MAX ? ERR_CONFIG : ERR_NOMEM;
    }
    static_assert(CREDENTIALS_CHAIN_MAX == 5, "as the text says");
    role->next = credentials->roles;
    credentials->roles = role;
    (void)snprintf(role->profile, sizeof role->profile, "%s", name);
    const char *wrong = role_read(role, profile);
    if (wrong) {
        why_set(&credentials->why, "profile %.100s can't take its role: %s", name, wrong);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

bool credentials_role_is_added(const struct credentials *credentials, const char *name)
{
    const struct credentials_role *role = credentials->roles;
    while (role && strcmp(role->profile, name) != 0) {
        role = role->next;
    }
    return role != NULL;
}

void credentials_roles_forget(struct credentials *credentials)
{
    while (credentials->roles) {
        struct credentials_role *role = credentials->roles;
        credentials->roles = role->next;
        free(role);
    }
}

/* --- by whom --- */

static void from_environment(struct credentials *credentials)
{
    enum err e = credentials_from_environment(credentials, &credentials->why);
    if (e == ERR_CLOSED) {
        credentials_none(credentials);
    } else if (e) {
        credentials_fail(credentials, e, 0);
    }
}

void credentials_role_source(struct credentials *credentials,
                             const struct credentials_profile *profile)
{
    static const struct {
        const char *word;
        void (*begin)(struct credentials *credentials);
    } sources[] = {{"Environment", from_environment},
                   {"EcsContainer", credentials_from_container},
                   {"Ec2InstanceMetadata", credentials_from_machine}};
    char word[32];
    bool is_word = slice_to_text(profile->credential_source, word, sizeof word);
    for (size_t i = 0; is_word && i < ARRAY_COUNT(sources); i++) {
        if (strcasecmp(word, sources[i].word) == 0) {
            sources[i].begin(credentials);
            return;
        }
    }
    why_set(&credentials->why,
            "profile %.100s has a credential_source that is none: Environment, EcsContainer or "
            "Ec2InstanceMetadata",
            credentials->roles->profile);
    credentials_fail(credentials, ERR_CONFIG, 0);
}

/* --- AssumeRole --- */

static void form_put(struct out *form, const char *name, const char *value)
{
    if (value[0]) {
        out_put_text(form, name);
        sigv4_put_query(form, slice_of_text(value));
    }
}

static struct slice role_form(struct credentials *credentials)
{
    const struct credentials_role *role = credentials->roles;
    const char *session = credentials_environment("AWS_ROLE_SESSION_NAME");
    struct out *text = &credentials->text;
    size_t begin = text->size;
    session = role->session_name[0] ? role->session_name : session;
    out_put_text(text, "Action=AssumeRole&Version=2011-06-15");
    form_put(text, "&RoleArn=", role->arn);
    form_put(text, "&RoleSessionName=", session ? session : CREDENTIALS_SESSION_NAME);
    form_put(text, "&ExternalId=", role->external_id);
    form_put(text, "&DurationSeconds=", role->duration);
    return (struct slice){text->data + begin, text->size - begin};
}

static void role_sign(struct credentials *credentials, const struct aws_credentials *by,
                      struct credentials_request *request)
{
    const char *path;
    struct slice host = sigv4_host(request->url, &path);
    char hash[SIGV4_HASH_SIZE], date[SIGV4_DATE_SIZE];
    const struct sigv4_header headers[] = {{"Content-Type", SLICE(CONTENT_TYPE)}};
    struct sigv4_request sign = {.method = request->method,
                                 .host = host,
                                 .path = slice_of_text(path),
                                 .headers = headers,
                                 .header_count = ARRAY_COUNT(headers),
                                 .body_hash = hash,
                                 .region = credentials->setup.region,
                                 .service = "sts",
                                 .time_s = server_clock_now_s(credentials->setup.clock)};
    sigv4_hash(request->body, hash);
    sigv4_date(sign.time_s, date);
    request->headers[1] = credentials_text(credentials, "X-Amz-Date: %s", date);
    request->headers[2] = (const char *)credentials->text.data + credentials->text.size;
    out_put_text(&credentials->text, "Authorization: ");
    sigv4_sign(&sign, by, &credentials->text);
    out_put_byte(&credentials->text, '\0');
}

static void role_answered(struct credentials *credentials, const struct http_answer *answer)
{
    struct credentials_role *role = credentials->roles;
    char who[320];
    (void)snprintf(who, sizeof who,
                   "AWS's Security Token Service, asked for %.150s by profile %.80s", role->arn,
                   role->profile);
    if (!answer->e && answer->status == 200) {
        credentials->roles = role->next; /* what is given takes the next one */
        free(role);
    }
    credentials_service_answered(credentials, answer, who,
                                 ": check the role, whom it trusts, and external_id");
}

void credentials_role_take(struct credentials *credentials, const struct credentials_answer *by)
{
    const struct credentials_role *role = credentials->roles;
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    struct credentials_request request = {
        .method = "POST",
        .url = credentials_sts_url(credentials),
        .headers = {"Content-Type: " CONTENT_TYPE},
        .timeout_ms = TIMEOUT_MS,
    };
    struct aws_credentials with = {
        .key_id = credentials_text(credentials, "%.*s", (int)by->key_id.size, by->key_id.data),
        .secret = credentials_text(credentials, "%.*s", (int)by->secret.size, by->secret.data)};
    if (by->token.size > 0) {
        const char *header =
            credentials_text(credentials, TOKEN_HEADER "%.*s", (int)by->token.size, by->token.data);
        request.headers[3] = header;
        with.session_token = credentials->text.overflow ? NULL : header + strlen(TOKEN_HEADER);
    }
    request.body = role_form(credentials);
    role_sign(credentials, &with, &request);
    credentials_origin_set(credentials, "profile %.60s of AWS's shared files, as %.100s",
                           role->profile, role->arn);
    credentials_ask(credentials, &request, role_answered);
}
