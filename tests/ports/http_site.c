#include "tests/ports/http_site.h"

#include <ftw.h>
#include <stdio.h>
#include <strings.h>

static uint8_t large[100000];

static void peer_close(struct peer *peer)
{
    stream_close(peer->stream);
    peer->stream = NULL;
}

static void peer_write(struct peer *peer)
{
    size_t taken = 0;
    while (peer->answer.size) {
        if (stream_write(peer->stream, peer->answer, &taken)) {
            return;
        }
        peer->answer.data += taken;
        peer->answer.size -= taken;
        if (taken == 0) {
            return;
        }
    }
    if (peer->ends) {
        peer_close(peer);
    }
}

static void peer_answer(struct peer *peer)
{
    static const struct {
        const char *path, *answer;
        bool ends;
    } answers[] = {
        {"/hello", "HTTP/1.1 200 OK\r\nX-Name:  a value \r\nContent-Length: 5\r\n\r\nhello", false},
        {"/busy", "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", false},
        {"/date",
         "HTTP/1.1 429 No\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
         "Retry-After: Sun, 06 Nov 1994 08:51:07 GMT\r\nContent-Length: 0\r\n\r\n",
         false},
        {"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", true},
        {"/close", "", true},
    };
    if (strstr(peer->request, " /large ")) {
        snprintf((char *)large, sizeof large, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                 90000);
        peer->answer = (struct slice){large, strlen((char *)large) + 90000};
    }
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        char path[32];
        snprintf(path, sizeof path, " %s ", answers[i].path);
        if (strstr(peer->request, path)) {
            peer->answer = slice_of_text(answers[i].answer);
            peer->ends = answers[i].ends;
        }
    }
    struct wire_count count;
    stream_wire_count(peer->stream, &count);
    peer->site->resumed = count.resumed;
    memcpy(peer->site->last, peer->request, peer->size + 1);
    peer->size = 0;
    peer_write(peer); /* no answer at all for other paths */
}

static void peer_readable(void *context)
{
    struct peer *peer = context;
    size_t size = 0;
    while (peer->stream && peer->size < sizeof peer->request - 1 &&
           !stream_read(peer->stream, (uint8_t *)peer->request + peer->size,
                        sizeof peer->request - 1 - peer->size, &size)) {
        peer->size += size;
        peer->request[peer->size] = 0;
        const char *end = strstr(peer->request, "\r\n\r\n");
        const char *length = strcasestr(peer->request, "content-length: ");
        size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (end && peer->size == (size_t)(end + 4 - peer->request) + body) {
            peer_answer(peer);
        }
    }
}

static void peer_writable(void *context)
{
    peer_write(context);
}

static void peer_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    peer_close(context);
}

static void site_accepted(void *context, struct stream *stream)
{
    static const struct stream_handler handler = {
        .on_readable = peer_readable, .on_writable = peer_writable, .on_closed = peer_closed};
    struct site *own = context;
    assert_true(own->count < PEER_MAX);
    struct peer *peer = &own->peers[own->count++];
    *peer = (struct peer){.site = own, .stream = stream};
    stream_take(stream, &handler, peer);
}

struct site site;

void site_open(struct test *test, struct tls *tls)
{
    struct listener_options options = {.host = "127.0.0.1", .tls = tls};
    struct why why = {.text = ""};
    memset(&site, 0, sizeof site);
    assert_int_equal(
        listener_open(&site.listener, test->loop, &options, site_accepted, &site, &why), ERR_OK);
}

void site_close(void)
{
    for (size_t i = 0; i < site.count; i++) {
        peer_close(&site.peers[i]);
    }
    listener_close(site.listener);
}

void asked_done(struct http_request *request, const struct http_answer *answer)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    assert_false(asked->done);
    asked->done = true;
    asked->answer = *answer;
    assert_true(answer->body.size < sizeof asked->body);
    if (answer->body.size) {
        memcpy(asked->body, answer->body.data, answer->body.size);
    }
    asked->body[answer->body.size] = 0;
    asked->body_size = answer->body.size;
    if (asked->closes) {
        http_close(asked->http);
    }
}

static void asked_header(struct http_request *request, struct slice name, struct slice value)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    if (slice_equal_text(name, "X-Name")) {
        assert_true(slice_to_text(value, asked->name, sizeof asked->name));
    }
}

void ask(struct test *test, struct asked *asked, const char *scheme, const char *host,
         const char *path)
{
    asked->done = false;
    asked->http = test->http;
    snprintf(asked->url, sizeof asked->url, "%s://%s:%u%s", scheme, host,
             (unsigned)listener_port(site.listener), path);
    asked->request.url = asked->url;
    asked->request.done = asked_done;
    asked->request.header = asked_header;
    if (!asked->request.method) {
        asked->request.method = "GET";
    }
    assert_int_equal(http_send(test->http, &asked->request), ERR_OK);
    assert_false(asked->done);
}

void ask_and_wait(struct test *test, struct asked *asked, const char *scheme, const char *host,
                  const char *path)
{
    ask(test, asked, scheme, host, path);
    assert_true(loop_until(test->loop, &asked->done, PEER_WAIT_MS));
}

int site_setup(void **state)
{
    static struct test test;
    snprintf(test.folder, sizeof test.folder, "/tmp/weir-http-test-XXXXXX");
    assert_non_null(mkdtemp(test.folder));
    char command[256];
    snprintf(command, sizeof command, "tests/services/certs.sh %s >/dev/null && chmod 600 %s/*.key",
             test.folder, test.folder);
    assert_int_equal(system(command), 0);
    snprintf(test.ca, sizeof test.ca, "%s/ca.pem", test.folder);
    snprintf(test.other, sizeof test.other, "%s/other-ca.pem", test.folder);
    snprintf(test.certificate, sizeof test.certificate, "%s/server.pem", test.folder);
    snprintf(test.key, sizeof test.key, "%s/server.key", test.folder);
    *state = &test;
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
    (void)s;
    (void)type;
    (void)walk;
    return remove(path);
}

int site_teardown(void **state)
{
    struct test *test = *state;
    return nftw(test->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int site_open_client(void **state)
{
    struct test *test = *state;
    assert_int_equal(loop_open(&test->loop), ERR_OK);
    assert_int_equal(names_open(&test->names, test->loop), ERR_OK);
    assert_int_equal(http_open(&test->http, test->loop, test->names), ERR_OK);
    return 0;
}

int site_close_client(void **state)
{
    struct test *test = *state;
    http_close(test->http);
    names_close(test->names);
    loop_close(test->loop);
    return 0;
}
