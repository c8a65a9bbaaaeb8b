#include "tests/sim/sim.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>

#include "ports/clock.h"
#include "ports/log.h"
#include "ports/random.h"
#include "ports/timers.h"
#include "tests/sim/sim_impl.h"

#define TRACE_LINE_MAX 2000
#define TRACE_LINE_SIZE 256
#define STILL_TURN_MAX 1000000 /* turns at one instant: then something runs in circles */
#define WALL_START_US INT64_C(1767225600000000)

struct loop {
    struct timers timers; /* first: see ports/timers.h */
    struct loop *next;
    unsigned life; /* 0: the world's */
    uint64_t epoch_us;
    bool stopped;
    bool woken;
};

struct generator {
    uint64_t s[4];
};

static struct {
    bool open;
    uint64_t seed;
    uint64_t now_us;
    uint64_t boot_us; /* when the agent's machine started last */
    unsigned boot;
    unsigned life;
    bool crashed;
    int64_t wall_offset_us;
    bool synchronised;
    struct generator world, agent;
    struct loop *loops;
    struct loop *loop;
    uint64_t still_turns;
    uint64_t hash;
    char (*lines)[TRACE_LINE_SIZE];
    uint64_t line_count;
    bool show;
    void (*crash_hook)(void *context);
    void *crash_context;
} sim;

static enum log_level level_now = LOG_INFO;

/* --- chance: xoshiro256** by Blackman and Vigna, seeded by splitmix64 --- */

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static uint64_t generator_next(struct generator *g)
{
    uint64_t result = rotate(g->s[1] * 5, 7) * 9;
    uint64_t t = g->s[1] << 17;
    g->s[2] ^= g->s[0];
    g->s[3] ^= g->s[1];
    g->s[1] ^= g->s[2];
    g->s[0] ^= g->s[3];
    g->s[2] ^= t;
    g->s[3] = rotate(g->s[3], 45);
    return result;
}

static void generator_seed(struct generator *g, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        g->s[i] = splitmix(&seed);
    }
}

uint64_t sim_random(void)
{
    return generator_next(&sim.world);
}

uint64_t sim_below(uint64_t below)
{
    assert(below > 0);
    return sim_random() % below;
}

bool sim_chance(uint32_t per_million)
{
    return per_million && sim_below(1000000) < per_million;
}

void random_bytes(void *ret, size_t size)
{
    uint8_t *bytes = ret;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(generator_next(&sim.agent) >> 32);
    }
}

uint32_t random_u32(void)
{
    return (uint32_t)(generator_next(&sim.agent) >> 32);
}

uint32_t random_below(uint32_t below)
{
    assert(below > 0);
    return (uint32_t)(((uint64_t)random_u32() * below) >> 32);
}

/* --- clocks --- */

uint64_t sim_now_us(void)
{
    return sim.now_us;
}

uint64_t clock_monotonic_us(void)
{
    return sim.now_us - sim.boot_us;
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_wall_us(void)
{
    return (int64_t)sim.now_us + sim.wall_offset_us;
}

bool clock_wall_is_synchronised(void)
{
    return sim.synchronised;
}

void clock_pause(uint32_t ms)
{
    sim.now_us += (uint64_t)ms * 1000;
}

void clock_boot_id(uint8_t ret[BOOT_ID_SIZE])
{
    struct generator g;
    generator_seed(&g, sim.seed ^ ((uint64_t)sim.boot << 32));
    for (size_t i = 0; i < BOOT_ID_SIZE; i++) {
        ret[i] = (uint8_t)(generator_next(&g) >> 24);
    }
}

void sim_wall_set(int64_t wall_us)
{
    sim.wall_offset_us = wall_us - (int64_t)sim.now_us;
}

void sim_wall_jump(int64_t by_us)
{
    sim.wall_offset_us += by_us;
}

void sim_wall_synchronised_set(bool synchronised)
{
    sim.synchronised = synchronised;
}

/* --- trace and log --- */

static void trace_hash_add(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) { /* FNV-1a */
        sim.hash = (sim.hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
}

void sim_log_line(const char *line)
{
    trace_hash_add(&sim.now_us, sizeof sim.now_us);
    trace_hash_add(line, strlen(line));
    char *kept = sim.lines[sim.line_count++ % TRACE_LINE_MAX];
    snprintf(kept, TRACE_LINE_SIZE, "%9llu.%06llu %.230s",
             (unsigned long long)(sim.now_us / 1000000), (unsigned long long)(sim.now_us % 1000000),
             line);
    if (sim.show) {
        fprintf(stderr, "%s\n", kept);
    }
}

void sim_trace(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    sim_log_line(line);
}

uint64_t sim_trace_hash(void)
{
    return sim.hash;
}

void sim_trace_print(void)
{
    uint64_t first = sim.line_count > TRACE_LINE_MAX ? sim.line_count - TRACE_LINE_MAX : 0;
    for (uint64_t i = first; !sim.show && i < sim.line_count; i++) {
        fprintf(stderr, "%s\n", sim.lines[i % TRACE_LINE_MAX]);
    }
    fprintf(stderr, "the seed of this run: WEIR_SEED=%llu\n", (unsigned long long)sim.seed);
}

/* An assertion of the agent's has failed: the process is ending anyway. */
static void on_abort(int number)
{
    (void)number;
    signal(SIGABRT, SIG_DFL);
    sim_trace_print();
}

void sim_failed(const char *file, int line, const char *condition)
{
    sim_trace("%s:%d: this does not hold: %s", file, line, condition);
    fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
    abort();
}

void log_level_set(enum log_level level)
{
    level_now = level;
}

enum log_level log_level_get(void)
{
    return level_now;
}

void log_put(enum log_level level, const char *part, const char *format, ...)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
    if (level > level_now) {
        return;
    }
    char text[1024];
    char line[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "%s %s: %s", names[level], part, text);
    sim_log_line(line);
}

/* --- loops --- */

bool sim_loop_is_dead(const struct loop *loop)
{
    return loop->life && (sim.crashed || loop->life != sim.life);
}

struct loop *sim_loop(void)
{
    return sim.loop;
}

static void loop_set_now(struct loop *loop)
{
    loop->timers.now_ms = (sim.now_us - loop->epoch_us) / 1000;
}

static enum err loop_open_of(struct loop **ret, unsigned life, uint64_t epoch_us)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        return ERR_NOMEM;
    }
    loop->life = life;
    loop->epoch_us = epoch_us;
    loop_set_now(loop);
    loop->next = sim.loops;
    sim.loops = loop;
    *ret = loop;
    return ERR_OK;
}

enum err loop_open(struct loop **ret)
{
    assert(sim.open && !sim.crashed);
    return loop_open_of(ret, sim.life, sim.boot_us);
}

void loop_close(struct loop *loop)
{
    if (!loop) {
        return;
    }
    assert(loop->timers.armed_count == 0);
    struct loop **link = &sim.loops;
    while (*link != loop) {
        link = &(*link)->next;
    }
    *link = loop->next;
    free(loop);
}

/* When the loop has something to do, in simulated time; UINT64_MAX: never. */
static uint64_t loop_due_us(const struct loop *loop)
{
    if (sim_loop_is_dead(loop)) {
        return UINT64_MAX;
    }
    if (loop->woken) {
        return sim.now_us;
    }
    if (!loop->timers.root || loop->timers.root->due_ms > UINT64_MAX / 1000 / 2) {
        return UINT64_MAX;
    }
    uint64_t due_us = loop->epoch_us + loop->timers.root->due_ms * 1000;
    return due_us > sim.now_us ? due_us : sim.now_us;
}

/* The loop that is due first; of several at one instant any, by chance. */
static struct loop *sim_next(void)
{
    struct loop *first = NULL;
    uint64_t due_us = UINT64_MAX;
    uint64_t equals = 0;
    for (struct loop *loop = sim.loops; loop; loop = loop->next) {
        uint64_t us = loop_due_us(loop);
        if (us == UINT64_MAX || us > due_us) {
            continue;
        }
        equals = us == due_us ? equals + 1 : 1;
        if (us < due_us || sim_below(equals) == 0) {
            first = loop;
        }
        due_us = us;
    }
    return first;
}

static void sim_advance(uint64_t to_us)
{
    if (to_us > sim.now_us) {
        sim.now_us = to_us;
        sim.still_turns = 0;
    }
    for (struct loop *loop = sim.loops; loop; loop = loop->next) {
        loop_set_now(loop);
    }
}

/* One turn of the loop that is due first, when that is not after `limit_us`; else time goes there.
 */
static struct loop *sim_step(uint64_t limit_us)
{
    struct loop *loop = sim_next();
    uint64_t due_us = loop ? loop_due_us(loop) : UINT64_MAX;
    if (due_us > limit_us) {
        sim_advance(limit_us);
        return NULL;
    }
    sim_advance(due_us);
    if (++sim.still_turns > STILL_TURN_MAX) {
        sim_failed(__FILE__, __LINE__, "time goes on");
    }
    loop->woken = false;
    timers_fire(&loop->timers);
    return loop;
}

enum err loop_turn(struct loop *loop, int64_t wait_ms)
{
    uint64_t limit_us = wait_ms < 0 ? UINT64_MAX / 2 : sim.now_us + (uint64_t)wait_ms * 1000;
    for (;;) {
        struct loop *turned = sim_step(limit_us);
        if (turned == loop || (!turned && wait_ms >= 0)) {
            return ERR_OK;
        }
        if (!turned) {
            sim_failed(__FILE__, __LINE__, "the loop waits for something that can happen");
        }
    }
}

enum err loop_run(struct loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped) {
        enum err e = loop_turn(loop, -1);
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->timers.now_ms;
}

uint64_t loop_longest_turn_us(struct loop *loop)
{
    (void)loop;
    return 0; /* time stands still while code runs */
}

void loop_wake(struct loop *loop)
{
    loop->woken = true;
}

void watch_init(struct watch *watch, struct loop *loop, int fd,
                void (*ready)(struct watch *watch, unsigned events))
{
    *watch = (struct watch){.loop = loop, .fd = fd, .ready = ready};
}

enum err watch_start(struct watch *watch, unsigned events)
{
    (void)watch;
    (void)events;
    return ERR_IO; /* there are no descriptors here */
}

void watch_stop(struct watch *watch)
{
    watch->active = false;
}

bool sim_run_until(bool (*reached)(void *context), void *context, uint64_t limit_ms)
{
    uint64_t limit_us = sim.now_us + limit_ms * 1000;
    while (!reached(context)) {
        if (!sim_step(limit_us)) {
            return reached(context);
        }
    }
    return true;
}

void sim_run_for(uint64_t ms)
{
    uint64_t limit_us = sim.now_us + ms * 1000;
    while (sim_step(limit_us)) {
    }
}

/* --- lives --- */

void sim_open(uint64_t seed)
{
    assert(!sim.open);
    memset(&sim, 0, sizeof sim);
    sim.open = true;
    sim.seed = seed;
    sim.now_us = 1000000;
    sim.hash = UINT64_C(0xcbf29ce484222325);
    sim.lines = calloc(TRACE_LINE_MAX, sizeof *sim.lines);
    sim.show = getenv("WEIR_SIM_LOG") != NULL;
    generator_seed(&sim.world, seed);
    generator_seed(&sim.agent, ~seed);
    assert(sim.lines);
    enum err e = loop_open_of(&sim.loop, 0, 0);
    assert(!e);
    sim.synchronised = true;
    sim_wall_set(WALL_START_US);
    signal(SIGABRT, on_abort);
    net_interfaces_clear();
    net_open();
    sim_life_begin(true);
}

void sim_close(void)
{
    assert(sim.open);
    net_close_all();
    http_sim_close();
    loop_close(sim.loop);
    assert(!sim.loops);
    signal(SIGABRT, SIG_DFL);
    free(sim.lines);
    sim.lines = NULL;
    sim.open = false;
}

void sim_life_begin(bool reboot)
{
    assert(!sim.crashed);
    sim.life++;
    if (reboot) {
        sim.boot++;
        sim.boot_us = sim.now_us - sim_below(1000000);
    }
    sim_trace("life %u begins, boot %u", sim.life, sim.boot);
}

void sim_life_crash(void)
{
    assert(!sim.crashed);
    if (sim.crash_hook) {
        sim.crash_hook(sim.crash_context);
    }
    sim.crashed = true;
    sim_trace("life %u crashes", sim.life);
    net_crash();
}

void sim_life_end(void)
{
    for (const struct loop *loop = sim.loops; loop; loop = loop->next) {
        assert(loop->life == 0); /* the agent has closed its loop */
    }
    sim.crashed = false;
    sim_trace("life %u has ended", sim.life);
}

bool sim_life_is_crashed(void)
{
    return sim.crashed;
}

unsigned sim_life(void)
{
    return sim.life;
}

void sim_crash_hook_set(void (*hook)(void *context), void *context)
{
    sim.crash_hook = hook;
    sim.crash_context = context;
}

void sim_signal(int number)
{
    signals_sim_deliver(number);
}
