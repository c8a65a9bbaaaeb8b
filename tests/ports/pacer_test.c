/* The pacer: streams that write as fast as they may, on simulated time. */
#include "ports/pacer.h"

#include "tests/cmocka.h"
#include "tests/sim/sim.h"

struct writer {
    struct pacer_seat seat;
    uint64_t wants;   /* bytes that it has to write */
    uint64_t written; /* payload */
    uint64_t ended_ms;
};

static void write_all(struct writer *w)
{
    while (w->wants > 0) {
        size_t may = pacer_may(&w->seat, w->wants > 65536 ? 65536 : (size_t)w->wants);
        if (may == 0) {
            return;
        }
        pacer_took(&w->seat, may);
        w->wants -= may;
        w->written += may;
    }
    w->ended_ms = sim_now_us() / 1000;
}

static void go(struct pacer_seat *seat)
{
    write_all(CONTAINER_OF(seat, struct writer, seat));
}

static struct pacer *begin(uint64_t rate)
{
    struct pacer *pacer = NULL;
    sim_open(1);
    enum err e = pacer_open(&pacer, sim_loop(), rate, 100000);
    assert_int_equal(e, ERR_OK);
    return pacer;
}

static void end(struct pacer *pacer, struct writer *writers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pacer_leave(&writers[i].seat);
    }
    pacer_close(pacer);
    sim_close();
}

static void the_rate_holds_and_is_used(void **state)
{
    (void)state;
    static const uint64_t rates[] = {150, 1200, 8000, 125000, 10000000};
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        struct pacer *pacer = begin(rates[i]);
        struct writer w = {.wants = UINT64_MAX};
        pacer_sit(&w.seat, pacer, false, go);
        write_all(&w);
        sim_run_for(100000);
        assert_in_range(pacer_bytes(pacer), rates[i] * 99, rates[i] * 101 + 3000);
        assert_true(w.written * 100 > pacer_bytes(pacer) * 90); /* headers are few */
        end(pacer, &w, 1);
    }
}

static void urgent_ones_go_first(void **state)
{
    (void)state;
    struct pacer *pacer = begin(1200);
    struct writer w[3] = {{.wants = UINT64_MAX}, {.wants = UINT64_MAX}, {.wants = 0}};
    for (size_t i = 0; i < 3; i++) {
        pacer_sit(&w[i].seat, pacer, i == 2, go);
        write_all(&w[i]);
    }
    for (int i = 0; i < 20; i++) {
        sim_run_for(3000 + 37 * (uint64_t)i);
        uint64_t asked_ms = sim_now_us() / 1000;
        w[2].wants = 150;
        write_all(&w[2]);
        sim_run_for(1500);
        assert_int_equal(w[2].wants, 0);
        assert_in_range(w[2].ended_ms - asked_ms, 0, 700);
    }
    /* The others get their share all the same. */
    uint64_t before = w[0].written + w[1].written;
    w[2].wants = UINT64_MAX;
    write_all(&w[2]);
    sim_run_for(200000);
    assert_in_range(w[0].written + w[1].written - before, 1200 * 200 * 7 / 100,
                    1200 * 200 * 13 / 100);
    end(pacer, w, 3);
}

/* Two that have always more: none of them has all of it. */
static void equals_take_turns(void **state)
{
    (void)state;
    for (int is_urgent = 0; is_urgent < 2; is_urgent++) {
        struct pacer *pacer = begin(8000);
        struct writer w[3] = {{.wants = UINT64_MAX}, {.wants = UINT64_MAX}, {.wants = UINT64_MAX}};
        for (size_t i = 0; i < 3; i++) {
            pacer_sit(&w[i].seat, pacer, is_urgent, go);
            write_all(&w[i]);
        }
        sim_run_for(100000);
        for (size_t i = 0; i < 3; i++) {
            assert_in_range(w[i].written, 8000 * 100 / 3 * 8 / 10, 8000 * 100 / 3 * 11 / 10);
        }
        end(pacer, w, 3);
    }
}

/* Acknowledgements and repeats are the link's too. */
static void what_the_network_counts_is_made_up_for(void **state)
{
    (void)state;
    struct pacer *pacer = begin(8000);
    struct writer w = {.wants = UINT64_MAX};
    pacer_sit(&w.seat, pacer, false, go);
    write_all(&w);
    sim_run_for(10000);
    uint64_t without = w.written;
    uint64_t own = w.seat.bytes;
    pacer_counted(&w.seat, own - 1); /* not all of it has left the kernel: nothing is given back */
    assert_int_equal(w.seat.bytes, own);
    pacer_counted(&w.seat, own + 16000);
    assert_int_equal(w.seat.bytes, own + 16000);
    assert_int_equal(pacer_bytes(pacer), own + 16000);
    sim_run_for(2000); /* as long as 16 000 bytes take */
    assert_in_range(w.written, without, without + 2900);
    sim_run_for(8000);
    assert_in_range(w.written, without * 7 / 10, without * 2 - 14000);
    end(pacer, &w, 1);
}

static void who_sits_at_none_may_write(void **state)
{
    (void)state;
    struct pacer_seat seat;
    pacer_sit(&seat, NULL, false, go);
    assert_int_equal(pacer_may(&seat, 12345), 12345);
    pacer_took(&seat, 12345);
    pacer_counted(&seat, 12345);
    pacer_leave(&seat);
    pacer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_rate_holds_and_is_used),
                                       cmocka_unit_test(urgent_ones_go_first),
                                       cmocka_unit_test(equals_take_turns),
                                       cmocka_unit_test(what_the_network_counts_is_made_up_for),
                                       cmocka_unit_test(who_sits_at_none_may_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
