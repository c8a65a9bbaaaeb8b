/* The HTTP client through tests/services/http_proxy.py, a proxy of another make, to our own server. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "ports/lib/http_proxy.h"
#include "tests/ports/http_site.h"

#define NOBODY "192.0.2.1" /* kept for documentation: no proxy, no answer */
#define SECRET "p@ss/word"
#define SECRET_IN_URL "p%40ss%2Fword"

/* --- which proxy --- */

static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY",
                                        "all_proxy",   "ALL_PROXY",   "no_proxy",   "NO_PROXY"};

static int environment_clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(variables); i++) {
        unsetenv(variables[i]);
    }
    return 0;
}

static void check(bool is_https, const char *host, const char *proxy, const char *name)
{
    const char *from = NULL;
    const char *found = http_proxy_of_environment(is_https, host, &from);
    if (!proxy) {
        assert_null(found);
        assert_null(from);
        return;
    }
    assert_string_equal(found, proxy);
    assert_string_equal(from, name);
}

static void the_environment_names_a_proxy(void **state)
{
    (void)state;
    check(true, "example.com", NULL, NULL);
    check(false, "example.com", NULL, NULL);
    setenv("HTTP_PROXY", "http://trap:1", 1); /* a CGI server's */
    check(false, "example.com", NULL, NULL);
    setenv("ALL_PROXY", "http://all:1", 1);
    check(true, "example.com", "http://all:1", "ALL_PROXY");
    check(false, "example.com", "http://all:1", "ALL_PROXY");
    setenv("all_proxy", "http://all:2", 1);
    setenv("HTTPS_PROXY", "http://secure:1", 1);
    setenv("http_proxy", "http://plain:1", 1);
    check(true, "example.com", "http://secure:1", "HTTPS_PROXY");
    check(false, "example.com", "http://plain:1", "http_proxy");
    setenv("https_proxy", "http://secure:2", 1);
    check(true, "example.com", "http://secure:2", "https_proxy");
    setenv("https_proxy", "", 1);
    setenv("HTTPS_PROXY", "", 1);
    check(true, "example.com", "http://all:2", "all_proxy");
    setenv("NO_PROXY", "example.com", 1);
    check(true, "example.com", NULL, NULL);
    setenv("no_proxy", "example.org", 1); /* the lower one counts */
    check(true, "example.com", "http://all:2", "all_proxy");
}

static void what_is_near_has_none(void **state)
{
    (void)state;
    static const char *const near[] = {
        "localhost",     "LOCALHOST",       "a.localhost", "localhost.",
        "127.0.0.1",     "127.9.9.9",       "[::1]",       "169.254.169.254",
        "169.254.170.2", "[fd00:ec2::254]", "[fe80::1]",   "metadata.google.internal",
        "0.0.0.0"};
    static const char *const far[] = {"localhost.example.com", "mylocalhost", "128.0.0.1",
                                      "169.253.169.254",       "[fd00::1]",   "127.0.0.1.example"};
    setenv("all_proxy", "http://all:1", 1);
    for (size_t i = 0; i < ARRAY_COUNT(near); i++) {
        check(true, near[i], NULL, NULL);
    }
    for (size_t i = 0; i < ARRAY_COUNT(far); i++) {
        check(true, far[i], "http://all:1", "all_proxy");
    }
}

static void some_hosts_are_exempt(void **state)
{
    (void)state;
    static const struct {
        const char *list, *host;
        bool is;
    } cases[] = {
        {"", "a.example", false},
        {"*", "a.example", true},
        {" , ,b.example,*", "a.example", true},
        {"example", "a.example", true},
        {".example", "a.example", true},
        {".example", "example", true},
        {"a.example", "example", false},
        {"xample", "example", false},
        {"A.EXAMPLE", "a.example", true},
        {"a.example.", "a.example", true},
        {"a.example", "a.example.", true},
        {"b.example a.example", "a.example", true},
        {"b.example,\ta.example", "c.a.example", true},
        {"10.0.0.1", "10.0.0.1", true},
        {"0.0.1", "10.0.0.1", false},
        {"10.0.0.1", "10.0.0.10", false},
        {"fd00::1", "[fd00::1]", true},
        {"[fd00::1]", "[FD00::1]", true},
        {"fd00::2", "[fd00::1]", false},
        {".", "a.example", false},
        {"[]", "a.example", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (http_proxy_is_exempt(cases[i].list, cases[i].host) != cases[i].is) {
            fail_msg("\"%s\" and %s", cases[i].list, cases[i].host);
        }
    }
}

/* --- through one --- */

struct proxy {
    pid_t pid;
    int control;
    FILE *says;
    unsigned port;
    char url[128];
    char line[256];
};

static void proxy_next(struct proxy *proxy)
{
    assert_non_null(fgets(proxy->line, sizeof proxy->line, proxy->says));
    proxy->line[strcspn(proxy->line, "\n")] = 0;
}

/* With these words; all requests go to 127.0.0.1, whatever name they have. */
static void proxy_open(struct proxy *proxy, struct loop *loop, const char *option,
                       const char *value)
{
    int in[2];
    int out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    proxy->pid = fork();
    if (proxy->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "tests/services/http_proxy.py", "--to", "127.0.0.1", option,
               value, (char *)NULL);
        _exit(127);
    }
    assert_true(proxy->pid > 0);
    close(in[0]);
    close(out[1]);
    proxy->control = in[1];
    proxy->says = fdopen(out[0], "r");
    proxy_next(proxy);
    assert_int_equal(sscanf(proxy->line, "port %u", &proxy->port), 1);
    assert_int_equal(loop_turn(loop, 0), ERR_OK); /* its clock may have stood for seconds */
    snprintf(proxy->url, sizeof proxy->url, "http://me:%s@localhost:%u", SECRET_IN_URL,
             proxy->port);
}

static void proxy_close(struct proxy *proxy)
{
    kill(proxy->pid, SIGKILL);
    assert_int_equal(waitpid(proxy->pid, NULL, 0), proxy->pid);
    fclose(proxy->says);
    close(proxy->control);
}

static void open_tls(struct test *test, struct tls **ret)
{
    const struct tls_options options = {.certificate = test->certificate, .key = test->key};
    struct why why = {.text = ""};
    assert_int_equal(tls_open(ret, &options, TLS_SERVER, &why), ERR_OK);
    site_open(test, *ret);
}

static void https_goes_through_a_tunnel(void **state)
{
    struct test *test = *state;
    struct tls *tls = NULL;
    struct proxy proxy;
    const struct tls_options by_name = {.ca = test->ca, .server_name = "localhost"};
    const struct tls_options as_it_is = {.ca = test->ca};
    const struct tls_options other = {.ca = test->other};
    char expected[64];
    static struct asked asked;
    open_tls(test, &tls);
    proxy_open(&proxy, test->loop, "--login", "me:" SECRET);
    setenv("https_proxy", proxy.url, 1);

    /* The server's name is asked for by nobody here, and may differ from the one in its certificate. */
    asked = (struct asked){.request = {.tls = &by_name, .user = "you", .password = "yours"}};
    ask_and_wait(test, &asked, "https", "server.invalid", "/hello");
    if (asked.answer.e) {
        fail_msg("%s", asked.answer.why.text);
    }
    assert_string_equal(asked.body, "hello");
    assert_string_equal(asked.name, "a value");
    snprintf(expected, sizeof expected, "CONNECT server.invalid:%u me:" SECRET,
             (unsigned)listener_port(site.listener));
    proxy_next(&proxy);
    assert_string_equal(proxy.line, expected);
    assert_non_null(strstr(site.last, "Host: server.invalid:"));
    assert_non_null(strstr(site.last, "Authorization: Basic eW91OnlvdXJz\r\n"));
    assert_null(strstr(site.last, "Proxy-"));
    ask_and_wait(test, &asked, "https", "server.invalid", "/hello");
    assert_int_equal(site.count, 1); /* the same connection */

    /* What this machine has goes there directly, unless the request says otherwise. */
    asked = (struct asked){.request = {.tls = &as_it_is}};
    ask_and_wait(test, &asked, "https", "localhost", "/hello");
    assert_int_equal(asked.answer.status, 200);
    asked = (struct asked){.request = {.tls = &as_it_is, .proxy = proxy.url}};
    ask_and_wait(test, &asked, "https", "localhost", "/hello");
    assert_int_equal(asked.answer.status, 200);
    proxy_next(&proxy);
    assert_memory_equal(proxy.line, "CONNECT localhost:", 18);
    asked = (struct asked){.request = {.tls = &by_name, .proxy = "", .timeout_ms = 300}};
    ask_and_wait(test, &asked, "https", NOBODY, "/hello");
    assert_true(asked.answer.e == ERR_CLOSED || asked.answer.e == ERR_TIMEOUT);
    setenv("no_proxy", "example.com," NOBODY, 1);
    asked = (struct asked){.request = {.tls = &by_name, .timeout_ms = 300}};
    ask_and_wait(test, &asked, "https", NOBODY, "/hello");
    assert_true(asked.answer.e == ERR_CLOSED || asked.answer.e == ERR_TIMEOUT);

    /* The server is verified through the tunnel, too. */
    asked = (struct asked){.request = {.tls = &other, .proxy = proxy.url}};
    ask_and_wait(test, &asked, "https", "localhost", "/hello");
    assert_int_equal(asked.answer.e, ERR_AUTH);
    assert_non_null(strstr(asked.answer.why.text, "no authority that is trusted here"));
    proxy_next(&proxy);
    assert_memory_equal(proxy.line, "CONNECT localhost:", 18); /* and nothing before */
    proxy_close(&proxy);
    site_close();
    tls_close(tls);
}

static void plain_requests_are_forwarded(void **state)
{
    struct test *test = *state;
    struct proxy proxy;
    static struct asked asked;
    site_open(test, NULL);
    proxy_open(&proxy, test->loop, "--login", "me:" SECRET);
    setenv("http_proxy", proxy.url, 1);
    asked = (struct asked){.request = {.method = "POST", .body = SLICE("body")}};
    ask_and_wait(test, &asked, "http", "server.invalid", "/hello");
    assert_int_equal(asked.answer.status, 200);
    assert_string_equal(asked.body, "hello");
    proxy_next(&proxy);
    assert_memory_equal(proxy.line, "POST http://server.invalid:", 27);
    assert_non_null(strstr(site.last, "\r\n\r\nbody"));
    asked = (struct asked){.request = {.method = "GET"}};
    ask_and_wait(test, &asked, "http", "server.invalid", "/busy");
    assert_int_equal(asked.answer.status, 503);
    assert_int_equal(asked.answer.retry_after_ms, 7000);
    proxy_close(&proxy);
    site_close();
}

/* Each with the reason, and none with a secret. */
static void refusals_are_the_proxys(void **state)
{
    struct test *test = *state;
    static const struct {
        const char *option, *value, *scheme;
        enum err e;
        const char *says;
    } cases[] = {
        {"--login", "someone:else", "https", ERR_AUTH, "refuses user and password (407)"},
        {"--login", "someone:else", "http", ERR_AUTH, "refuses user and password (407)"},
        {"--refuse", "403", "https", ERR_AUTH, "does not let us through to server.invalid:"},
        {"--refuse", "502", "https", ERR_CLOSED, "has no connection to server.invalid:"},
        {"--refuse", "504", "https", ERR_CLOSED, "(504)"},
    };
    site_open(test, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        static struct asked asked;
        struct proxy proxy;
        proxy_open(&proxy, test->loop, cases[i].option, cases[i].value);
        setenv("all_proxy", proxy.url, 1);
        asked = (struct asked){.done = false};
        ask_and_wait(test, &asked, cases[i].scheme, "server.invalid", "/hello");
        const char *text = asked.answer.why.text;
        if (asked.answer.e != cases[i].e || !strstr(text, cases[i].says) ||
            !strstr(text, "the proxy localhost:") || strstr(text, "ss/w") ||
            strstr(text, "ss%2F")) {
            fail_msg("case %zu: %s %s", i, err_name(asked.answer.e), text);
        }
        proxy_close(&proxy);
    }
    site_close();
}

static void proxies_of_no_use_are_named(void **state)
{
    struct test *test = *state;
    static const struct {
        const char *proxy;
        enum err e;
        const char *says;
    } cases[] = {
        {"https://u:geheim@localhost:1", ERR_CONFIG, "the proxy of all_proxy is a https one"},
        {"socks5h://u:geheim@localhost:1", ERR_CONFIG, "is a socks5h one: only http://"},
        {"http://u:geheim@:x", ERR_CONFIG, "the proxy of all_proxy is no URL"},
        {"://", ERR_CONFIG, "is no URL"},
        {"http://u:geheim@localhost:1", ERR_CLOSED, "localhost"},
        {"u:geheim@127.0.0.1:1", ERR_CLOSED, "127.0.0.1 port 1"}, /* without a scheme */
    };
    site_open(test, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        static struct asked asked;
        setenv("all_proxy", cases[i].proxy, 1);
        asked = (struct asked){.done = false};
        ask_and_wait(test, &asked, "https", "server.invalid", "/hello");
        const char *text = asked.answer.why.text;
        bool is_right = asked.answer.e == cases[i].e ||
                        (cases[i].e == ERR_CLOSED && asked.answer.e == ERR_TIMEOUT);
        if (!is_right || !strstr(text, cases[i].says) || strstr(text, "geheim")) {
            fail_msg("case %zu: %s %s", i, err_name(asked.answer.e), text);
        }
    }
    site_close();
}

static int open_client(void **state)
{
    environment_clear(state);
    return site_open_client(state);
}

int main(void)
{
#define PURE(name) cmocka_unit_test_setup(name, environment_clear)
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_client, site_close_client)
    const struct CMUnitTest tests[] = {
        PURE(the_environment_names_a_proxy), PURE(what_is_near_has_none),
        PURE(some_hosts_are_exempt),         TEST(https_goes_through_a_tunnel),
        TEST(plain_requests_are_forwarded),  TEST(refusals_are_the_proxys),
        TEST(proxies_of_no_use_are_named),
    };
    return cmocka_run_group_tests(tests, site_setup, site_teardown);
}
