/* One signed call, with credentials from wherever they are, for credentials_services.py. usage:
 * aws_call [NAME=VALUE...] URL SERVICE HEADERS BODY, HEADERS being "Name: value" with a newline between.
 * Prints where the credentials come from, then status and body; exit 1 with the fault when there are
 * none. `link=bind`: the uplink's own connections are bound to an interface that is not there. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "ports/names.h"
#include "uplink/aws/credentials.h"
#include "uplink/http/server_clock.h"

#define PATIENCE_MS 60000

static struct credentials_options options;
static struct loop *loop;
static struct http *http;
static struct names *names;
static struct server_clock server_clock;
static struct credentials *credentials;
static struct http_request request;
static char texts[32768];
static struct out text;
static bool is_over;
static int status = 1;

static const char *put(const char *format, const char *name, const char *value, size_t size)
{
    char *begin = (char *)text.data + text.size;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    out_put_format(&text, format, name, (int)size, value);
#pragma GCC diagnostic pop
    out_put_byte(&text, 0);
    assert(!text.overflow);
    return begin;
}

static void done(struct http_request *r, const struct http_answer *answer)
{
    (void)r;
    printf("%ld\n%.*s\n", answer->status, (int)answer->body.size,
           answer->body.size ? (const char *)answer->body.data : "");
    if (answer->e) {
        printf("%s\n", answer->why.text);
    }
    is_over = true;
    status = 0;
}

static size_t headers_read(char *given, struct sigv4_header ret[SIGV4_HEADER_MAX])
{
    size_t count = 0;
    for (char *line = given; *line;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        char *colon = strchr(line, ':');
        assert(colon && colon < end);
        *colon = *end = '\0';
        ret[count] = (struct sigv4_header){line, slice_of_text(colon + 2)};
        request.headers[count] = put("%s: %.*s", line, colon + 2, strlen(colon + 2));
        count++;
        line = next;
    }
    return count;
}

static void call(char **words, const struct aws_credentials *with)
{
    const char *host = strstr(words[0], "://") + 3;
    const char *path = host + strcspn(host, "/");
    const char *query = path + strcspn(path, "?");
    char hash[SIGV4_HASH_SIZE], date[SIGV4_DATE_SIZE];
    struct sigv4_header headers[SIGV4_HEADER_MAX];
    size_t count = headers_read(words[2], headers);
    struct sigv4_request sign = {.method = *words[3] ? "POST" : "GET",
                                 .host = {(const uint8_t *)host, (size_t)(path - host)},
                                 .path = {(const uint8_t *)path, (size_t)(query - path)},
                                 .query = slice_of_text(*query ? query + 1 : query),
                                 .headers = headers,
                                 .header_count = count,
                                 .body_hash = hash,
                                 .region = "us-east-1",
                                 .service = words[1],
                                 .time_s = server_clock_now_s(&server_clock)};
    sigv4_hash(slice_of_text(words[3]), hash);
    sigv4_date(sign.time_s, date);
    request.headers[count++] = put("X-Amz-Date: %s%.*s", date, "", 0);
    if (with->session_token) {
        request.headers[count++] = put("X-Amz-Security-Token: %s%.*s", with->session_token, "", 0);
    }
    request.headers[count++] = (const char *)text.data + text.size;
    out_put_text(&text, "Authorization: ");
    sigv4_sign(&sign, with, &text);
    out_put_byte(&text, 0);
    assert(!text.overflow);
    request.method = sign.method;
    request.url = words[0];
    request.body = slice_of_text(words[3]);
    request.done = done;
    enum err e = http_send(http, &request);
    assert(!e);
}

static void changed(void *context)
{
    struct aws_credentials with;
    enum err e = credentials_get(credentials, &with);
    assert(!e);
    printf("%s\n", credentials_origin(credentials));
    call(context, &with);
}

static void fault(void *context, const struct why *why)
{
    (void)context;
    if (why) {
        printf("%s\n", why->text);
        is_over = true;
    }
}

static void bind_elsewhere(void *context, struct http_link *ret)
{
    (void)context;
    ret->interface_name = "nosuch0";
}

static void option(char *word)
{
    const struct {
        const char *name, **to;
    } settings[] = {{"profile", &options.profile},
                    {"sts", &options.sts_url},
                    {"endpoint", &options.iot.endpoint},
                    {"alias", &options.iot.role_alias},
                    {"thing", &options.iot.thing_name},
                    {"ca", &options.iot.tls.ca},
                    {"certificate", &options.iot.tls.certificate},
                    {"key", &options.iot.tls.key}};
    char *value = strchr(word, '=') + 1;
    value[-1] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        if (strcmp(word, settings[i].name) == 0) {
            *settings[i].to = value;
        }
    }
    options.iot.is_set = options.iot.tls.is_set = options.iot.endpoint != NULL;
    if (strcmp(word, "link") == 0) {
        http_link_set(http, bind_elsewhere, NULL);
    }
}

int main(int count, char **words)
{
    struct why why = {""};
    text = out_over(texts, sizeof texts);
    enum err e = loop_open(&loop);
    e = e ? e : names_open(&names, loop);
    e = e ? e : http_open(&http, loop, names);
    assert(!e);
    int i = 1;
    for (; count - i > 4; i++) {
        option(words[i]);
    }
    assert(count - i == 4);
    struct credentials_setup setup = {.loop = loop,
                                      .names = names,
                                      .http = http,
                                      .clock = &server_clock,
                                      .options = &options,
                                      .region = "us-east-1",
                                      .context = words + i,
                                      .changed = changed,
                                      .fault = fault};
    e = credentials_open(&credentials, &setup, &why);
    struct aws_credentials with;
    if (e) {
        printf("%s\n", why.text);
    } else if (!credentials_get(credentials, &with)) {
        changed(words + i);
    }
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (!e && !is_over && clock_monotonic_ms() < until) {
        e = loop_turn(loop, 100);
    }
    credentials_close(credentials);
    http_close(http);
    names_close(names);
    loop_close(loop);
    return status;
}
