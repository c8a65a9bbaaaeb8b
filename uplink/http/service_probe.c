#include "uplink/http/service_probe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "ports/clock.h"

#define ANSWER_SIZE_MAX (256 * 1024)

/* --- findings --- */

void service_probe_found(const struct service_probe *p, enum probe_level level, const char *option,
                         const char *what, const char *format, ...)
{
    char path[PROBE_OPTION_SIZE];
    struct why why;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(why.text, sizeof why.text, format, list); /* cut is fine */
    va_end(list);
    size_t prefix = strlen(p->prefix);
    bool is_whole = prefix > 0 && !option[0]; /* "glue", not "glue." */
    (void)snprintf(path, sizeof path, "%.*s%s", (int)(is_whole ? prefix - 1 : prefix), p->prefix,
                   option);
    probe_found(&p->setup, level, path, what, "%s", why.text);
}

void service_probe_found_nonsense(const struct service_probe *p, const char *what, long status)
{
    service_probe_found(p, PROBE_ERROR, p->endpoint_option, what,
                        "the answer %ld of %s can't be understood: is this %s, or is a proxy in "
                        "between?",
                        status, p->endpoint, p->service);
}

static void tell_certificate(struct service_probe *p, const struct http_answer *answer)
{
    char what[PROBE_WHAT_SIZE], path[PROBE_OPTION_SIZE];
    int64_t now_s = clock_wall_us() / 1000000;
    (void)snprintf(what, sizeof what, "certificate of %s", p->service);
    (void)snprintf(path, sizeof path, "%stls", p->prefix);
    if (p->tls && p->tls->insecure) {
        service_probe_found(p, PROBE_WARNING, "tls.insecure", what,
                            "it is not verified: whoever is in between reads and changes "
                            "everything");
    } else if (answer->peer_end_s &&
               !probe_found_end(&p->setup, path, what, answer->peer_end_s, now_s)) {
        service_probe_found(p, PROBE_OK, "tls", what, "verified, good for %" PRId64 " days",
                            (answer->peer_end_s - now_s) / 86400);
    }
}

/* The first answer, whatever it says. */
static void tell_reached(struct service_probe *p, const struct http_answer *answer)
{
    char whose[64], path[PROBE_OPTION_SIZE];
    if (!p->was_reached) {
        p->was_reached = true;
        service_probe_found(p, PROBE_OK, p->endpoint_option, p->endpoint, "it answers");
        if (strncmp(p->endpoint, "https:", 6) == 0) {
            tell_certificate(p, answer);
        }
    }
    if (!p->has_said_time && answer->date_s) {
        p->has_said_time = true;
        (void)snprintf(whose, sizeof whose, "%s's", p->service);
        (void)snprintf(path, sizeof path, "%s%s", p->prefix, p->endpoint_option);
        probe_found_clock(&p->setup, path, whose, answer->date_s);
    }
}

static void tell_failed(struct service_probe *p, const struct http_answer *answer)
{
    const char *text = answer->why.text[0] ? answer->why.text : err_name(answer->e);
    bool is_tls = answer->e == ERR_AUTH && !strstr(text, "the proxy ");
    bool has_advice =
        is_tls || strchr(text, '?') || strstr(text, "check ") || strstr(text, "the proxy ");
    service_probe_found(p, PROBE_ERROR, is_tls ? "tls" : p->endpoint_option, p->endpoint, "%s%s",
                        text,
                        has_advice ? "" : ": check the address, the network, a firewall between");
}

/* --- questions --- */

static void probe_over(struct service_probe *p)
{
    p->is_over = true;
    if (p->was_reached && !p->has_said_time && !p->done) { /* else the owner tells of the clock */
        char why[96];
        (void)snprintf(why, sizeof why, "%s's answers have no date", p->service);
        probe_found_no_clock(&p->setup, why);
    }
    void (*done)(void *) = p->done ? p->done : p->setup.done;
    done(p->done ? p->context : p->setup.context);
}

static bool name_put(struct service_probe *p, size_t index, char *ret, size_t ret_size,
                     struct why *why)
{
    struct out out = out_over(ret, ret_size - 1);
    enum err e = p->class_->name(p, &p->setup.streams[index], &out, why);
    ret[out.size] = '\0';
    if (!e && out.overflow) {
        why_set(why, "the name is too long");
    }
    return !e && !out.overflow;
}

static bool was_asked(struct service_probe *p, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        char earlier[SERVICE_PROBE_NAME_SIZE];
        struct why why;
        if (name_put(p, i, earlier, sizeof earlier, &why) && strcmp(earlier, p->name) == 0) {
            return true;
        }
    }
    return false;
}

/* The next name, if there is one. */
static void take_name(struct service_probe *p)
{
    while (!p->has_name && p->next_stream < p->setup.stream_count) {
        size_t index = p->next_stream++;
        struct why why = {""};
        p->stream = &p->setup.streams[index];
        if (!p->class_->name) {
            p->next_stream = p->setup.stream_count;
            p->has_name = true;
        } else if (!name_put(p, index, p->name, sizeof p->name, &why)) {
            service_probe_found(p, PROBE_ERROR, p->name_option, p->stream->name, "%s", why.text);
        } else {
            p->has_name = p->name[0] && !was_asked(p, index);
        }
    }
}

static void request_header(struct http_request *request, struct slice name, struct slice value)
{
    struct service_probe *p = CONTAINER_OF(request, struct service_probe, request);
    if (p->class_->header) {
        p->class_->header(p, name, value);
    }
}

static void request_done(struct http_request *request, const struct http_answer *answer)
{
    struct service_probe *p = CONTAINER_OF(request, struct service_probe, request);
    enum service_probe_next next = SERVICE_PROBE_OVER;
    p->is_open = false;
    if (answer->e) {
        tell_failed(p, answer);
    } else {
        tell_reached(p, answer);
        next = p->class_->judge(p, answer);
    }
    if (next == SERVICE_PROBE_OVER) {
        p->next_stream = p->setup.stream_count;
    }
    p->has_name = next == SERVICE_PROBE_MORE;
    timer_arm(&p->timer, 0);
}

static void probe_turn(struct timer *timer)
{
    struct service_probe *p = CONTAINER_OF(timer, struct service_probe, timer);
    if (p->is_open || p->is_over) {
        return;
    }
    take_name(p);
    if (!p->has_name) {
        probe_over(p);
        return;
    }
    p->text = out_over(p->memory, sizeof p->memory);
    p->request = (struct http_request){.tls = p->tls && p->tls->is_set ? p->tls : NULL,
                                       .timeout_ms = PROBE_ANSWER_MS,
                                       .answer_size_max = ANSWER_SIZE_MAX,
                                       .header = request_header,
                                       .done = request_done};
    enum err e = p->class_->ask(p, &p->request);
    if (e == ERR_AGAIN) {
        return;
    }
    e = e ? e : http_send(p->http, &p->request);
    p->is_open = e == ERR_OK;
    if (e) {
        service_probe_found(p, PROBE_ERROR, p->name_option, p->endpoint,
                            "it could not be asked: %s", err_name(e));
        probe_over(p);
    }
}

/* --- for ask() --- */

static bool text_put(struct service_probe *p, const char *format, va_list list) PRINTF_LIKE(2, 0);

static bool text_put(struct service_probe *p, const char *format, va_list list)
{
    size_t room = p->text.size_max - p->text.size;
    int size = vsnprintf((char *)p->text.data + p->text.size, room, format, list);
    bool fits = size >= 0 && (size_t)size < room;
    p->text.size += fits ? (size_t)size + 1 : 0;
    return fits;
}

const char *service_probe_text(struct service_probe *p, const char *format, ...)
{
    size_t begin = p->text.size;
    va_list list;
    va_start(list, format);
    bool fits = text_put(p, format, list);
    va_end(list);
    return fits ? (const char *)p->text.data + begin : NULL;
}

bool service_probe_header(struct service_probe *p, struct http_request *request, const char *format,
                          ...)
{
    size_t begin = p->text.size, count = 0;
    va_list list;
    va_start(list, format);
    bool fits = text_put(p, format, list);
    va_end(list);
    while (request->headers[count]) {
        count++;
    }
    fits = fits && count + 1 < HTTP_HEADER_MAX;
    request->headers[count] = fits ? (const char *)p->text.data + begin : NULL;
    return fits;
}

/* --- life --- */

void service_probe_go(struct service_probe *p)
{
    if (!p->is_over) {
        timer_arm(&p->timer, 0);
    }
}

void service_probe_end(struct service_probe *p)
{
    p->has_name = false;
    p->next_stream = p->setup.stream_count;
    service_probe_go(p);
}

static void probe_close(struct probe *probe)
{
    struct service_probe *p = CONTAINER_OF(probe, struct service_probe, probe);
    struct http *http = p->http;
    timer_release(&p->timer);
    if (p->is_open) {
        http_cancel(http, &p->request);
    }
    p->class_->free(p);
    http_close(http); /* what the service has of its own may have had requests with it */
}

enum err service_probe_open(struct service_probe *p)
{
    assert(p->class_ && p->owner && p->service && p->endpoint && p->prefix);
    p->probe.close = probe_close;
    p->setup = *p->owner;
    timer_init(&p->timer, p->setup.loop, probe_turn);
    enum err e = http_open(&p->http, p->setup.loop, p->setup.names);
    timer_arm(&p->timer, 0);
    return e;
}
