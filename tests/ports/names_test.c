/* Names, with a getaddrinfo() of the test's own, linked with --wrap: it answers, fails, or hangs. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ports/names.h"
#include "tests/cmocka.h"

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __wrap_freeaddrinfo(struct addrinfo *list);

static atomic_int lookups;
static atomic_bool broken; /* the name servers do not answer */
static pthread_mutex_t hang = PTHREAD_MUTEX_INITIALIZER;
static struct sockaddr_in answer;
static struct addrinfo answers;

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    (void)service;
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    atomic_fetch_add(&lookups, 1);
    if (strncmp(host, "hangs", 5) == 0) {
        pthread_mutex_lock(&hang);
        pthread_mutex_unlock(&hang);
    }
    if (strncmp(host, "missing", 7) == 0) {
        return EAI_NONAME;
    }
    if (broken) {
        return EAI_AGAIN;
    }
    *ret = &answers;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    assert_ptr_equal(list, &answers);
}

struct asked {
    struct name_query query;
    bool found;
    enum err e;
};

static void asked_found(struct name_query *query, enum err e)
{
    struct asked *asked = CONTAINER_OF(query, struct asked, query);
    assert_false(asked->found);
    asked->found = true;
    asked->e = e;
}

static struct loop *loop;
static struct names *names;

static void ask(struct asked *asked, const char *host)
{
    *asked = (struct asked){.query = {.port = 443, .found = asked_found}};
    snprintf(asked->query.host, sizeof asked->query.host, "%s", host);
    assert_int_equal(names_query(names, &asked->query), ERR_OK);
    assert_false(asked->found);
}

static uint64_t wait_for(struct asked *asked)
{
    assert_int_equal(loop_turn(loop, 0), ERR_OK);
    uint64_t start_ms = loop_now_ms(loop);
    while (!asked->found) {
        assert_int_equal(loop_turn(loop, 10000), ERR_OK);
    }
    return loop_now_ms(loop) - start_ms;
}

static int setup(void **state)
{
    (void)state;
    answer = (struct sockaddr_in){.sin_family = AF_INET};
    answer.sin_addr.s_addr = htonl(0xc0000207);
    answers = (struct addrinfo){.ai_family = AF_INET,
                                .ai_addrlen = sizeof answer,
                                .ai_addr = (struct sockaddr *)(void *)&answer};
    broken = false;
    lookups = 0;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    names_close(names);
    loop_close(loop);
    return 0;
}

static void answers_are_shared_and_kept_for_a_while(void **state)
{
    (void)state;
    struct asked asked[3];
    for (int i = 0; i < 3; i++) {
        ask(&asked[i], "good.example");
    }
    for (int i = 0; i < 3; i++) {
        (void)wait_for(&asked[i]);
        assert_int_equal(asked[i].e, ERR_OK);
        assert_int_equal(asked[i].query.address_count, 1);
        assert_false(asked[i].query.is_old);
        const struct sockaddr_in *v4 =
            (const struct sockaddr_in *)(const void *)&asked[i].query.addresses[0].storage;
        assert_int_equal(ntohs(v4->sin_port), 443);
        assert_int_equal(ntohl(v4->sin_addr.s_addr), 0xc0000207);
    }
    /* Two questions of 58 bytes, and their answers, one of them with an address; once. */
    assert_int_equal(asked[0].query.wire_sent, 116);
    assert_int_equal(asked[0].query.wire_received, 116 + 16);
    assert_int_equal(asked[1].query.wire_sent + asked[2].query.wire_sent, 0);
    ask(&asked[0], "good.example");
    (void)wait_for(&asked[0]);
    assert_int_equal(asked[0].e, ERR_OK);
    assert_int_equal(asked[0].query.wire_sent + asked[0].query.wire_received, 0);
    assert_int_equal(lookups, 1);
}

/* What stands in a file of the machine's own took nothing. */
static void our_own_name_costs_nothing(void **state)
{
    (void)state;
    struct asked asked;
    answer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ask(&asked, "ourselves");
    (void)wait_for(&asked);
    assert_int_equal(asked.e, ERR_OK);
    assert_int_equal(asked.query.wire_sent + asked.query.wire_received, 0);
}

static void errors_are_told_apart(void **state)
{
    (void)state;
    struct asked asked;
    ask(&asked, "missing.example");
    (void)wait_for(&asked);
    assert_int_equal(asked.e, ERR_CLOSED);
    assert_non_null(strstr(asked.query.why.text, "no host missing.example"));
    assert_int_equal(asked.query.wire_sent, 122);
    assert_int_equal(asked.query.wire_received, 122);
    broken = true;
    ask(&asked, "good.example");
    (void)wait_for(&asked);
    assert_int_equal(asked.e, ERR_TIMEOUT);
    assert_non_null(strstr(asked.query.why.text, "do not answer"));
    assert_int_equal(asked.query.wire_sent, 116);
    assert_int_equal(asked.query.wire_received, 0);
}

/* Both threads hang, and a third name waits behind them: all are answered after 5 s, and closing
 * does not wait. */
static void a_lookup_that_hangs_holds_nobody_longer_than_5_s(void **state)
{
    (void)state;
    pthread_mutex_lock(&hang);
    struct asked asked[3];
    struct asked cancelled;
    ask(&asked[0], "hangs.one");
    ask(&asked[1], "hangs.two");
    ask(&asked[2], "good.example");
    ask(&cancelled, "good.example");
    names_cancel(names, &cancelled.query);
    assert_in_range(wait_for(&asked[2]), 4900, 30000);
    for (int i = 0; i < 3; i++) {
        (void)wait_for(&asked[i]);
        assert_int_equal(asked[i].e, ERR_TIMEOUT);
        assert_non_null(strstr(asked[i].query.why.text, "within 5 s"));
    }
    assert_false(cancelled.found);
    names_close(names);
    names = NULL;
    pthread_mutex_unlock(&hang);
    struct timespec t = {0, 100 * 1000 * 1000}; /* the threads end, and free what they have */
    nanosleep(&t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_shared_and_kept_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(our_own_name_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lookup_that_hangs_holds_nobody_longer_than_5_s, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
