/* The sender in front of an HTTP server in the same process: every batch ends once, whatever happens. */
#include "tests/cmocka.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "ports/lib/http_server.h"
#include "ports/names.h"
#include "ports/pacer.h"
#include "tests/fault_alloc.h"
#include "tests/ports/told.h"
#include "uplink/http/sender.h"

#define WAIT_MS 30000
#define EXCHANGE_MAX 2000

/* --- the host --- */

struct uplink_host {
    struct pacer *pacer;
    struct why fault; /* "": none */
    unsigned fault_count, mended_count;
    uint64_t wire_sent;
    unsigned done_count;
};

struct order {
    struct batch batch;
    char path[32];
    unsigned done;  /* times */
    unsigned place; /* among all that were done */
    bool putting;
    struct send_report report;
};

void uplink_done(struct uplink_host *host, struct batch *batch, const struct send_report *report)
{
    struct order *order = CONTAINER_OF(batch, struct order, batch);
    assert_false(order->putting);
    order->done++;
    order->place = ++host->done_count;
    order->report = *report;
}

const char *uplink_name(const struct uplink_host *host)
{
    (void)host;
    return "test";
}

void uplink_fault(struct uplink_host *host, const struct why *why)
{
    host->fault_count += why != NULL;
    host->mended_count += why == NULL;
    host->fault = why ? *why : (struct why){.text = ""};
}

void uplink_link(const struct uplink_host *host, struct uplink_link *ret)
{
    *ret = (struct uplink_link){.pacer = host->pacer};
}

void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received)
{
    (void)received;
    host->wire_sent += sent;
}

/* --- server and service --- */

struct scene {
    struct loop *loop;
    struct names *names;
    struct http_server *server;
    uint16_t port;
    struct http_exchange *exchanges[EXCHANGE_MAX]; /* as they came; NULL: gone */
    char paths[EXCHANGE_MAX][32];
    size_t count, open_count, open_max;
    unsigned status;       /* of answers to /asked; 0: they wait */
    unsigned refuse_count; /* so many of them are answered 503 before */
    bool has_credentials;
    uint32_t timeout_ms;
    struct uplink_host host;
    struct sender *sender;
};

static void server_request(void *context, struct http_exchange *exchange)
{
    struct scene *scene = context;
    assert_true(scene->count < EXCHANGE_MAX);
    snprintf(scene->paths[scene->count], sizeof scene->paths[0], "%s",
             http_exchange_path(exchange));
    scene->exchanges[scene->count++] = exchange;
    scene->open_count++;
    scene->open_max = scene->open_count > scene->open_max ? scene->open_count : scene->open_max;
}

static void server_body(void *context, struct http_exchange *exchange, struct slice piece)
{
    (void)context;
    (void)exchange;
    (void)piece;
}

static void answer(struct http_exchange *exchange, unsigned status)
{
    http_exchange_answer(exchange,
                         &(struct http_reply){.status = status,
                                              .body = SLICE("{}"),
                                              .header_name = status == 503 ? "Retry-After" : NULL,
                                              .header_value = "0"});
}

static void server_complete(void *context, struct http_exchange *exchange)
{
    struct scene *scene = context;
    const char *path = http_exchange_path(exchange);
    unsigned status = scene->status;
    if (strncmp(path, "/is/", 4) == 0) {
        answer(exchange, (unsigned)strtoul(path + 4, NULL, 10));
    } else if (status && scene->refuse_count > 0) {
        scene->refuse_count--;
        answer(exchange, 503);
    } else if (status) {
        answer(exchange, status);
    }
}

static void server_gone(void *context, struct http_exchange *exchange)
{
    struct scene *scene = context;
    for (size_t i = 0; i < scene->count; i++) {
        if (scene->exchanges[i] == exchange) {
            scene->exchanges[i] = NULL;
            scene->open_count--;
        }
    }
}

static enum err service_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct scene *scene = context;
    const char *path = CONTAINER_OF(r->batch, struct order, batch)->path;
    struct out body;
    bool waits =
        strcmp(path, "/secret") == 0 || (r->number > 0 && strcmp(path, "/is/200/paced") == 0);
    if (waits && !scene->has_credentials) {
        return ERR_AGAIN;
    }
    if (strcmp(path, "/bad") == 0) {
        sender_report(ret, SEND_REJECTED, 7, "it does not fit");
        return ERR_REJECTED;
    }
    r->http.method = "POST";
    r->http.url = sender_text(r, "http://127.0.0.1:%u%s", (unsigned)scene->port, path);
    enum err e = sender_body(r, 1000, &body);
    if (e || !r->http.url || !sender_header(r, "X-Number: %u", r->number)) {
        sender_report(ret, SEND_RETRY, 0, "no memory");
        return ERR_NOMEM;
    }
    out_put_text(&body, "body");
    r->http.body = out_slice(&body);
    return ERR_OK;
}

/* /more: two requests; /later: likewise, with a pause; /late: a long one; /partly: likewise, and some of it is stored by the
 * first; /paced: two, and the second one has to wait for what /secret waits for. */
static enum sender_next service_judge(void *context, struct sender_request *r,
                                      const struct http_answer *http, struct send_report *ret)
{
    (void)context;
    const char *path = CONTAINER_OF(r->batch, struct order, batch)->path;
    unsigned *seen = r->state;
    assert_int_equal(*seen, r->number);
    (*seen)++;
    sender_status(ret, http);
    if (r->number == 0 &&
        (strcmp(path, "/is/200/more") == 0 || strcmp(path, "/is/200/paced") == 0)) {
        return SENDER_MORE;
    }
    if (r->number == 0 && strcmp(path, "/is/200/partly") == 0) {
        r->is_partly_stored = true;
        ret->retry_after_ms = 100;
        return SENDER_LATER;
    }
    if (r->number == 0 && strcmp(path, "/is/200/late") == 0) {
        ret->retry_after_ms = 20000;
        return SENDER_LATER;
    }
    return r->number == 0 && strcmp(path, "/is/200/later") == 0 ? SENDER_LATER : SENDER_END;
}

static const struct sender_service service = {
    .state_size = sizeof(unsigned), .build = service_build, .judge = service_judge};

static void server_start(struct scene *scene)
{
    static const struct http_server_handler handler = {server_request, server_body, server_complete,
                                                       server_gone};
    struct http_server_options options = {.host = "127.0.0.1",
                                          .port = scene->port,
                                          .connection_max = 16,
                                          .idle_ms = 60000,
                                          .request_ms = 60000};
    struct why why = {.text = ""};
    assert_int_equal(http_server_open(&scene->server, scene->loop, &options, &handler, scene, &why),
                     ERR_OK);
    scene->port = http_server_port(scene->server);
}

static void server_end(struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++) {
        if (scene->exchanges[i] && !http_exchange_is_answered(scene->exchanges[i])) {
            answer(scene->exchanges[i], 500);
        }
    }
    http_server_close(scene->server);
    scene->server = NULL;
}

static enum err scene_sender(struct scene *scene)
{
    struct uplink_setup uplink = {.host = &scene->host, .loop = scene->loop, .names = scene->names};
    struct sender_setup setup = {
        .uplink = &uplink, .service = &service, .context = scene, .timeout_ms = scene->timeout_ms};
    struct why why = {.text = ""};
    return sender_open(&scene->sender, &setup, &why);
}

static int scene_open(void **state)
{
    static struct scene scene;
    memset(&scene, 0, sizeof scene);
    assert_int_equal(loop_open(&scene.loop), ERR_OK);
    assert_int_equal(names_open(&scene.names, scene.loop), ERR_OK);
    server_start(&scene);
    assert_int_equal(scene_sender(&scene), ERR_OK);
    *state = &scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    sender_close(scene->sender);
    if (scene->server) {
        server_end(scene);
    }
    pacer_close(scene->host.pacer);
    names_close(scene->names);
    loop_close(scene->loop);
    return 0;
}

static void put(struct scene *scene, struct order *order, const char *path, uint8_t lane)
{
    *order = (struct order){.batch = {.lane = lane}, .putting = true};
    snprintf(order->path, sizeof order->path, "%s", path);
    sender_put(scene->sender, &order->batch);
    order->putting = false;
}

static void run(struct scene *scene, uint64_t ms)
{
    assert_int_equal(loop_turn(scene->loop, 0), ERR_OK);
    uint64_t end_ms = loop_now_ms(scene->loop) + ms;
    while (loop_now_ms(scene->loop) < end_ms) {
        assert_int_equal(loop_turn(scene->loop, 5), ERR_OK);
    }
}

static void wait_done(struct scene *scene, const struct order *orders, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned ms = 0; ms < WAIT_MS && orders[i].done == 0; ms += 5) {
            run(scene, 5);
        }
        assert_int_equal(orders[i].done, 1);
    }
}

/* Until so many requests have come, then a while: no more do. */
static void wait_requests(struct scene *scene, size_t count)
{
    for (unsigned ms = 0; ms < WAIT_MS && scene->count < count; ms += 5) {
        run(scene, 5);
    }
    run(scene, 30);
    assert_int_equal(scene->count, count);
}

/* --- the tests --- */

static void a_status_ends_a_batch(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *path;
        enum send_result result;
        int code;
    } cases[] = {{"/is/200", SEND_OK, 200},       {"/is/413", SEND_TOO_LARGE, 413},
                 {"/is/400", SEND_REJECTED, 400}, {"/is/403", SEND_PARK, 403},
                 {"/is/503", SEND_RETRY, 503},    {"/is/204", SEND_OK, 204},
                 {"/bad", SEND_REJECTED, 7}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        static struct order order;
        put(scene, &order, cases[i].path, 3);
        wait_done(scene, &order, 1);
        assert_int_equal(order.report.result, cases[i].result);
        assert_int_equal(order.report.code, cases[i].code);
        assert_int_equal(scene->host.fault.text[0] != 0, i == 3 || i == 4);
    }
    assert_true(!wire_is_told() || scene->host.wire_sent > 6 * 100);
}

static void a_batch_may_need_several_requests(void **state)
{
    struct scene *scene = *state;
    static struct order orders[3];
    put(scene, &orders[0], "/is/200/more", 3);
    put(scene, &orders[1], "/is/200/later", 3);
    put(scene, &orders[2], "/secret", 3);
    wait_done(scene, orders, 2);
    assert_int_equal(scene->count, 4);
    assert_int_equal(orders[0].report.result, SEND_OK);
    assert_int_equal(orders[1].report.result, SEND_OK);
    scene->status = 200;
    scene->has_credentials = true;
    sender_kick(scene->sender);
    wait_done(scene, &orders[2], 1);
    assert_int_equal(orders[2].report.result, SEND_OK);
}

static void urgent_batches_find_room(void **state)
{
    struct scene *scene = *state;
    static struct order orders[8];
    for (size_t i = 0; i < 6; i++) {
        put(scene, &orders[i], "/asked", 3);
    }
    wait_requests(scene, SENDER_REQUEST_MAX - 1);
    put(scene, &orders[6], "/urgent", 9);
    wait_requests(scene, SENDER_REQUEST_MAX);
    assert_string_equal(scene->paths[SENDER_REQUEST_MAX - 1], "/urgent");
    put(scene, &orders[7], "/urgent", 9);
    wait_requests(scene, SENDER_REQUEST_MAX); /* there is a bound for these, too */
    scene->status = 200;
    for (size_t i = 0; i < SENDER_REQUEST_MAX; i++) {
        answer(scene->exchanges[i], 200);
    }
    wait_done(scene, orders, 8);
    assert_int_equal(scene->open_max, SENDER_REQUEST_MAX);
    assert_true(orders[7].place <= SENDER_REQUEST_MAX + 1);
}

static void a_thin_link_has_one_bulk_request(void **state)
{
    struct scene *scene = *state;
    static struct order orders[4];
    assert_int_equal(pacer_open(&scene->host.pacer, scene->loop, 1000000, 100000), ERR_OK);
    put(scene, &orders[0], "/first", 3);
    put(scene, &orders[1], "/last", 3);
    wait_requests(scene, 1);
    put(scene, &orders[2], "/higher", 5);
    put(scene, &orders[3], "/urgent", 9);
    wait_requests(scene, 2);
    assert_string_equal(scene->paths[1], "/urgent");
    scene->status = 200;
    answer(scene->exchanges[0], 200);
    wait_requests(scene, 2); /* one of two is still under way */
    answer(scene->exchanges[1], 200);
    wait_done(scene, orders, 4);
    assert_string_equal(scene->paths[2], "/higher");
    assert_string_equal(scene->paths[3], "/last");
    assert_int_equal(scene->open_max, 2);
}

static void an_outage_is_probed_by_one_request(void **state)
{
    struct scene *scene = *state;
    static struct order orders[12];
    uint16_t port = scene->port;
    server_end(scene);
    for (size_t i = 0; i < 3; i++) {
        put(scene, &orders[i], "/asked", 3);
    }
    wait_done(scene, orders, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(orders[i].report.result, SEND_RETRY);
        assert_non_null(strstr(orders[i].report.text, "127.0.0.1"));
    }
    assert_true(scene->host.fault_count > 0);
    assert_int_equal(scene->host.mended_count, 0);

    scene->port = port;
    server_start(scene);
    scene->status = 200;
    scene->refuse_count = 3;
    scene->open_max = 0;
    for (size_t i = 0; i < 4; i++) {
        put(scene, &orders[i], "/asked", 3);
    }
    wait_done(scene, orders, 3);
    assert_int_equal(scene->open_max, 1); /* all the time that it said no */
    wait_done(scene, orders, 4);
    assert_int_equal(orders[3].report.result, SEND_OK);
    assert_int_equal(scene->host.mended_count, 1);
    assert_string_equal(scene->host.fault.text, "");
    scene->status = 0;
    for (size_t i = 0; i < 4; i++) {
        put(scene, &orders[4 + i], "/asked", 3);
    }
    wait_requests(scene, scene->count + SENDER_REQUEST_MAX - 1);
}

/* What was under way together is one failure: the first probe comes soon. */
static void failures_together_are_one(void **state)
{
    struct scene *scene = *state;
    static struct order orders[4];
    for (size_t i = 0; i < 3; i++) {
        put(scene, &orders[i], "/asked", 3);
    }
    wait_requests(scene, 3);
    for (size_t i = 0; i < 3; i++) {
        answer(scene->exchanges[i], 503);
    }
    wait_done(scene, orders, 3);
    uint64_t start_ms = loop_now_ms(scene->loop);
    put(scene, &orders[3], "/is/200", 3);
    wait_done(scene, &orders[3], 1);
    assert_true(loop_now_ms(scene->loop) - start_ms < 250 + 200);
}

static void a_stop_gives_everything_back(void **state)
{
    struct scene *scene = *state;
    static struct order orders[7];
    for (size_t i = 0; i < 6; i++) {
        put(scene, &orders[i], i == 5 ? "/secret" : "/asked", 3);
    }
    wait_requests(scene, 3);
    sender_stop(scene->sender, 200);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(orders[i].done, 0); /* not within the call */
    }
    put(scene, &orders[6], "/asked", 3);
    run(scene, 50);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(orders[i].done, i >= 3);
    }
    answer(scene->exchanges[1], 200); /* within the grace */
    wait_done(scene, orders, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(orders[i].report.result, i == 1 ? SEND_OK : SEND_RETRY);
    }
    run(scene, 100);
    assert_int_equal(scene->count, 3);
    assert_int_equal(scene->host.done_count, 7);
}

/* What is stored of a batch is known in this life only: its rest is waited for. */
static void a_stop_waits_for_the_rest(void **state)
{
    struct scene *scene = *state;
    static struct order orders[3];
    put(scene, &orders[0], "/is/200/paced", 3);
    put(scene, &orders[1], "/is/200/partly", 3);
    put(scene, &orders[2], "/is/200/late", 3);
    wait_requests(scene, 3);
    while (scene->open_count > 0) { /* all are answered */
        run(scene, 1);
    }
    run(scene, 20);
    sender_stop(scene->sender, 20000);
    wait_done(scene, &orders[1], 2);
    assert_int_equal(orders[1].report.result, SEND_OK);
    assert_int_equal(orders[2].report.result, SEND_RETRY); /* nothing of it is stored */
    assert_int_equal(orders[0].done, 0);
    scene->has_credentials = true;
    sender_kick(scene->sender);
    wait_done(scene, orders, 1);
    assert_int_equal(orders[0].report.result, SEND_OK);
}

static void a_stop_does_not_wait_for_ever(void **state)
{
    struct scene *scene = *state;
    struct order order;
    put(scene, &order, "/is/200/paced", 3);
    wait_requests(scene, 1);
    run(scene, 20);
    sender_stop(scene->sender, 50);
    wait_done(scene, &order, 1);
    assert_int_equal(order.report.result, SEND_RETRY);
}

static void a_close_tells_nobody(void **state)
{
    struct scene *scene = *state;
    static struct order orders[6];
    for (size_t i = 0; i < 4; i++) {
        put(scene, &orders[i], i == 3 ? "/is/200/later" : "/asked", 3 + (i == 3));
    }
    wait_requests(scene, 4);
    put(scene, &orders[4], "/asked", 3);
    sender_stop(scene->sender, 1000);
    put(scene, &orders[5], "/asked", 3);
    unsigned done = scene->host.done_count;
    sender_close(scene->sender);
    scene->sender = NULL;
    run(scene, 50);
    assert_int_equal(scene->host.done_count, done);
}

static void a_new_link_is_no_outage(void **state)
{
    struct scene *scene = *state;
    static struct order orders[3];
    for (size_t i = 0; i < 3; i++) {
        put(scene, &orders[i], "/asked", 3);
    }
    wait_requests(scene, 3);
    uint64_t sent = scene->host.wire_sent;
    sender_relink(scene->sender);
    assert_true(!wire_is_told() || scene->host.wire_sent > sent + 300);
    assert_int_equal(scene->host.done_count, 0);
    wait_done(scene, orders, 3);
    assert_int_equal(orders[2].report.result, SEND_RETRY);
    assert_int_equal(scene->host.fault_count, 0);
    scene->status = 200;
    for (size_t i = 0; i < 3; i++) {
        put(scene, &orders[i], "/asked", 3);
    }
    wait_done(scene, orders, 3);
    assert_int_equal(orders[2].report.result, SEND_OK);
}

/* --- a bad network --- */

struct cutter {
    pid_t pid;
    FILE *commands, *answers;
    char line[4096];
};

static void cutter_tell(struct cutter *cutter, const char *command)
{
    assert_true(fprintf(cutter->commands, "%s\n", command) > 0);
    assert_int_equal(fflush(cutter->commands), 0);
    assert_non_null(fgets(cutter->line, sizeof cutter->line, cutter->answers));
    assert_string_equal(cutter->line, "ok\n");
}

/* In front of the server, whose port is the cutter's from now on. */
static void cutter_open(struct cutter *cutter, struct scene *scene)
{
    int in[2];
    int out[2];
    unsigned port = 0;
    char upstream[32];
    snprintf(upstream, sizeof upstream, "127.0.0.1:%u", (unsigned)scene->port);
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    cutter->pid = fork();
    if (cutter->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "tests/services/cutter.py", upstream, "--http", "--seed", "8",
               (char *)NULL);
        _exit(127);
    }
    assert_true(cutter->pid > 0);
    close(in[0]);
    close(out[1]);
    cutter->commands = fdopen(in[1], "w");
    cutter->answers = fdopen(out[0], "r");
    assert_non_null(fgets(cutter->line, sizeof cutter->line, cutter->answers));
    assert_int_equal(sscanf(cutter->line, "port %u", &port), 1);
    scene->port = (uint16_t)port;
}

static void cutter_close(struct cutter *cutter)
{
    fclose(cutter->commands);
    fclose(cutter->answers);
    kill(cutter->pid, SIGKILL);
    assert_int_equal(waitpid(cutter->pid, NULL, 0), cutter->pid);
}

/* How often the server has seen the path. */
static unsigned arrivals(const struct scene *scene, const char *path)
{
    unsigned count = 0;
    for (size_t i = 0; i < scene->count; i++) {
        count += strcmp(scene->paths[i], path) == 0;
    }
    return count;
}

/* Connections end anywhere, answers are lost, the service refuses now and then: each batch ends once a
 * try, OK only when it has arrived, and at the latest when all is well. */
static void what_is_ok_has_arrived(void **state)
{
    struct scene *scene = *state;
    static struct order orders[40];
    struct cutter cutter;
    unsigned retries = 0;
    unsigned twice = 0;
    cutter_open(&cutter, scene);
    cutter_tell(&cutter, "cut share=0.7 within=1200");
    cutter_tell(&cutter, "lose share=0.1 count=10");
    cutter_tell(&cutter, "answer status=429 share=0.05 count=5");
    scene->status = 200;
    memset(orders, 0, sizeof orders);
    for (unsigned turn = 0; turn < 40; turn++) {
        for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
            char path[32];
            snprintf(path, sizeof path, "/batch/%zu", i);
            if (!orders[i].done || orders[i].report.result != SEND_OK) {
                put(scene, &orders[i], path, (uint8_t)(i % 10));
            }
        }
        wait_done(scene, orders, ARRAY_COUNT(orders));
        unsigned left = 0;
        for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
            bool is_ok = orders[i].report.result == SEND_OK;
            assert_true(is_ok || orders[i].report.result == SEND_RETRY);
            assert_true(!is_ok || arrivals(scene, orders[i].path) > 0);
            left += !is_ok;
        }
        retries += left;
        if (left == 0) {
            break;
        }
        if (turn == 5) {
            cutter_tell(&cutter, "calm");
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        assert_int_equal(orders[i].report.result, SEND_OK);
        twice += arrivals(scene, orders[i].path) > 1;
    }
    print_message("40 batches, %u tries failed, %u arrived more than once\n", retries, twice);
    assert_true(retries > 0);
    assert_string_equal(scene->host.fault.text, "");
    sender_close(scene->sender); /* its connections go through the cutter */
    scene->sender = NULL;
    cutter_close(&cutter);
}

static void no_memory_loses_no_batch(void **state)
{
    struct scene *scene = *state;
    static struct order orders[2];
    unsigned n = 1;
    unsigned ok_count = 0;
    scene->timeout_ms = 300; /* what ends a request whose timer curl could not arm */
    /* curl does not survive its first start without memory: one that stays. */
    struct http *http = NULL;
    assert_int_equal(http_open(&http, scene->loop, scene->names), ERR_OK);
    sender_close(scene->sender);
    scene->sender = NULL;
    scene->status = 200;
    for (bool failed = true; failed && n < 5000; n++) {
        scene->count = 0;
        fault_alloc_set(n);
        enum err e = scene_sender(scene);
        if (!e) {
            put(scene, &orders[0], "/asked", 3);
            put(scene, &orders[1], "/is/200/more", 9);
            for (unsigned ms = 0; ms < WAIT_MS && !(orders[0].done && orders[1].done); ms++) {
                assert_int_equal(loop_turn(scene->loop, 1), ERR_OK);
            }
        }
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        if (e) {
            assert_int_equal(e, ERR_NOMEM);
            continue;
        }
        for (size_t i = 0; i < 2; i++) {
            if (orders[i].done != 1) {
                fail_msg("allocation %u: done %u times", n, orders[i].done);
            }
            enum send_result result = orders[i].report.result;
            if (result != SEND_OK && (!failed || result != SEND_RETRY)) {
                fail_msg("allocation %u: %d %s", n, (int)result, orders[i].report.text);
            }
            ok_count += orders[i].report.result == SEND_OK;
        }
        sender_close(scene->sender);
        scene->sender = NULL;
    }
    assert_true(n > 100 && ok_count > n / 2);
    print_message("%u allocations, %u of %u batches stored\n", n - 1, ok_count, 2 * (n - 1));
    http_close(http);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        TEST(a_status_ends_a_batch),
        TEST(a_batch_may_need_several_requests),
        TEST(urgent_batches_find_room),
        TEST(a_thin_link_has_one_bulk_request),
        TEST(an_outage_is_probed_by_one_request),
        TEST(failures_together_are_one),
        TEST(a_stop_gives_everything_back),
        TEST(a_stop_waits_for_the_rest),
        TEST(a_stop_does_not_wait_for_ever),
        TEST(a_close_tells_nobody),
        TEST(a_new_link_is_no_outage),
        TEST(what_is_ok_has_arrived),
        TEST(no_memory_loses_no_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
