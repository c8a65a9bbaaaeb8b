#include <stdlib.h>
#include <strings.h>

#include "ports/file.h"
#include "uplink/aws/credentials_impl.h"

#define CONTAINER_TIMEOUT_MS 5000
#define MACHINE_TIMEOUT_MS 2000 /* it is next door, or not there */
#define MACHINE_ENDPOINT "http://169.254.169.254"
#define MACHINE_PATH "/latest/meta-data/iam/security-credentials/"
#define TOKEN_SIZE_MAX 8192

/* --- the container --- */

/* Without TLS only to this machine, and to where Amazon's containers have their agents. */
static bool is_local_url(const char *url)
{
    static const char *const hosts[] = {"localhost",     "127.0.0.1",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    if (strncmp(url, "https://", 8) == 0) {
        return true;
    }
    if (strncmp(url, "http://", 7) != 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        size_t size = strlen(hosts[i]);
        if (strncmp(url + 7, hosts[i], size) == 0 && strchr("/:", url[7 + size])) {
            return true;
        }
    }
    return false;
}

static void container_answered(struct credentials *credentials, const struct http_answer *answer)
{
    if (answer->e || answer->status != 200) {
        why_set(&credentials->why, "the container's endpoint for credentials answers %ld%s%s",
                answer->status, answer->e ? ": " : "", answer->e ? answer->why.text : "");
        credentials_fail(credentials, answer->e ? answer->e : ERR_CLOSED, answer->retry_after_ms);
        return;
    }
    credentials_take_body(credentials, answer->body, "the container's endpoint for credentials");
}

/* The header, or NULL: there is none. ERR_...: credentials->why. */
static enum err container_token(struct credentials *credentials, const char **ret)
{
    const char *path = credentials_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *given = credentials_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct slice token = slice_of_text(given);
    struct slice content = {NULL, 0};
    if (path) {
        enum err e = file_read(path, TOKEN_SIZE_MAX, &content, &credentials->why);
        if (e) {
            return e;
        }
        token = content;
        while (token.size > 0 && token.data[token.size - 1] <= ' ') {
            token.size--;
        }
    }
    bool is_good = true;
    for (size_t i = 0; i < token.size; i++) {
        is_good = is_good && token.data[i] >= ' ' && token.data[i] <= '~';
    }
    if (is_good && token.size > 0) {
        *ret = credentials_text(credentials, "Authorization: %.*s", (int)token.size,
                                (const char *)token.data);
    }
    free((void *)(uintptr_t)content.data);
    if (!is_good) {
        why_set(&credentials->why, "the container's authorization token can't stand in a header");
    }
    return is_good ? ERR_OK : ERR_CONFIG;
}

void credentials_from_container(struct credentials *credentials)
{
    const char *relative = credentials_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = credentials_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full) {
        credentials_none(credentials);
        return;
    }
    if (!relative && !is_local_url(full)) {
        why_set(&credentials->why, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not on this machine, and "
                                   "not https: credentials are not asked for there");
        credentials_fail(credentials, ERR_CONFIG, 0);
        return;
    }
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    struct credentials_request request = {
        .method = "GET",
        .url = relative ? credentials_text(credentials, "http://169.254.170.2%s", relative) : full,
        .timeout_ms = CONTAINER_TIMEOUT_MS,
        .is_local = true,
    };
    enum err e = container_token(credentials, &request.headers[0]);
    if (e) {
        credentials_fail(credentials, e == ERR_CLOSED ? ERR_CONFIG : e, 0);
        return;
    }
    credentials_origin_set(credentials, "the container's endpoint");
    credentials_ask(credentials, &request, container_answered);
}

/* --- the machine --- */

static const char *machine_endpoint(void)
{
    const char *endpoint = credentials_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    return endpoint ? endpoint : MACHINE_ENDPOINT;
}

static const char *machine_url(struct credentials *credentials, const char *path, struct slice name)
{
    const char *endpoint = machine_endpoint();
    size_t size = strlen(endpoint);
    size -= size > 0 && endpoint[size - 1] == '/';
    return credentials_text(credentials, "%.*s%s%.*s", (int)size, endpoint, path, (int)name.size,
                            name.size ? (const char *)name.data : "");
}

/* It is not there, or does not want to: what another machine's service has to say is no fault. */
static bool machine_is_silent(struct credentials *credentials, const struct http_answer *answer)
{
    if (!answer->e && answer->status == 200) {
        return false;
    }
    if (credentials->only == PROVIDER_MACHINE) {
        why_set(&credentials->why, "the machine's metadata service answers %ld%s%s", answer->status,
                answer->e ? ": " : "", answer->e ? answer->why.text : "");
        credentials_fail(credentials, answer->e ? answer->e : ERR_CLOSED, answer->retry_after_ms);
    } else {
        credentials_none(credentials);
    }
    return true;
}

static void machine_answered(struct credentials *credentials, const struct http_answer *answer)
{
    if (machine_is_silent(credentials, answer)) {
        return;
    }
    credentials_origin_set(credentials, "the machine's metadata service");
    credentials_take_body(credentials, answer->body, "the machine's metadata service");
}

static void machine_ask(struct credentials *credentials, struct slice role,
                        void (*done)(struct credentials *credentials,
                                     const struct http_answer *answer))
{
    struct credentials_request request = {
        .method = "GET",
        .url = machine_url(credentials, MACHINE_PATH, role),
        .headers = {credentials->machine_token},
        .timeout_ms = MACHINE_TIMEOUT_MS,
        .is_local = true,
    };
    credentials_ask(credentials, &request, done);
}

/* The first line: names of IAM need no escapes. */
static void machine_has_role(struct credentials *credentials, const struct http_answer *answer)
{
    if (machine_is_silent(credentials, answer)) {
        return;
    }
    struct slice role = answer->body;
    const uint8_t *end = role.size ? memchr(role.data, '\n', role.size) : NULL;
    role.size = end ? (size_t)(end - role.data) : role.size;
    bool is_name = credentials_is_word(role, CREDENTIALS_ROLE_SIZE_MAX);
    for (size_t i = 0; i < role.size; i++) {
        is_name = is_name && !strchr("/?#%", role.data[i]);
    }
    if (is_name) {
        machine_ask(credentials, role, machine_answered);
    } else {
        credentials_none(credentials);
    }
}

static void machine_has_token(struct credentials *credentials, const struct http_answer *answer)
{
    if (machine_is_silent(credentials, answer)) {
        return;
    }
    if (!credentials_is_word(answer->body, TOKEN_SIZE_MAX)) {
        credentials_none(credentials);
        return;
    }
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    credentials->machine_token =
        credentials_text(credentials, "X-aws-ec2-metadata-token: %.*s", (int)answer->body.size,
                         (const char *)answer->body.data);
    machine_ask(credentials, (struct slice){NULL, 0}, machine_has_role);
}

void credentials_from_machine(struct credentials *credentials)
{
    const char *disabled = credentials_environment("AWS_EC2_METADATA_DISABLED");
    if (disabled && strcasecmp(disabled, "true") == 0) {
        credentials_none(credentials);
        return;
    }
    credentials->text = out_over(credentials->text_memory, sizeof credentials->text_memory);
    struct credentials_request request = {
        .method = "PUT",
        .url = machine_url(credentials, "/latest/api/token", (struct slice){NULL, 0}),
        .headers = {"X-aws-ec2-metadata-token-ttl-seconds: 21600"},
        .timeout_ms = MACHINE_TIMEOUT_MS,
        .is_local = true,
    };
    credentials_ask(credentials, &request, machine_has_token);
}
