#include "tests/sim/agent_source.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define POLL_MS_MAX 3000
#define TURN_EVENT_MAX 150
#define WINDOW_MAX 64 /* events that a listener's driver has not heard of */
#define RETRY_MS 1000 /* clients ask again by themselves */
#define BODY_SIZE_MAX 16384

struct source_options {
    int64_t source;
};

static struct source *site_sources;

void source_site_set(struct source *sources)
{
    site_sources = sources;
}

/* --- what is made --- */

void source_open(struct source *source, struct ledger *ledger, uint8_t index, bool reads_again)
{
    *source = (struct source){.ledger = ledger, .index = index, .reads_again = reads_again};
    source->given = calloc(LEDGER_EVENT_MAX, sizeof *source->given);
    assert(source->given);
    for (size_t p = 0; p < SOURCE_PLACES; p++) {
        source->places[p].items = calloc(LEDGER_EVENT_MAX, sizeof *source->places[p].items);
        assert(source->places[p].items);
    }
}

void source_close(struct source *source)
{
    free(source->given);
    for (size_t p = 0; p < SOURCE_PLACES; p++) {
        free(source->places[p].items);
    }
}

void source_make(struct source *source, unsigned place, const struct source_item *item)
{
    struct source_place *at = &source->places[place];
    SIM_EXPECT(at->count < LEDGER_EVENT_MAX);
    at->items[at->count++] = *item;
    source->bad += item->flaw != FLAW_NONE;
}

bool source_is_done(const struct source *source)
{
    for (size_t p = 0; p < SOURCE_PLACES; p++) {
        if (source->places[p].stored < source->places[p].count) {
            return false;
        }
    }
    return true;
}

/* --- one event, as the driver offers it --- */

static void put_fill(struct out *body, const struct source_item *item)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[BODY_SIZE_MAX];
    uint64_t chance = item->fill_seed;
    SIM_EXPECT(item->fill_size <= sizeof text);
    memset(text, 'a', item->fill_size);
    for (unsigned i = 0; i < item->fill_size && item->is_random; i++) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407U;
        text[i] = letters[chance >> 58];
    }
    out_put(body, text, item->fill_size);
}

static void put_body(struct out *body, const struct source_item *item)
{
    out_put_format(body, "{\"device\":\"d%u\",", item->key);
    if (item->flaw != FLAW_NO_FIELD) {
        out_put_format(body, "\"value\":%u.%02u,", (unsigned)(item->fill_seed % 97),
                       (unsigned)(item->fill_seed >> 8) % 100);
    }
    out_put_format(body, "\"mark\":\"(no.%" PRIu32 ")%s\",\"fill\":\"", item->number,
                   item->is_poison ? "(bad)" : "");
    put_fill(body, item);
    out_put_text(body, item->flaw == FLAW_NO_JSON ? "\"" : "\"}");
    SIM_EXPECT(!body->overflow);
}

static void event_number(struct source *source, struct source_item *item)
{
    if (item->number == 0) {
        struct ledger_event event = {.key = item->key,
                                     .stream = item->stream,
                                     .is_bad = item->flaw != FLAW_NONE,
                                     .is_cursored = source->reads_again};
        item->number = ledger_new(source->ledger, &event);
    }
}

/* False: the agent has no room. */
static bool offer_one(struct source *source, unsigned p)
{
    struct source_place *place = &source->places[p];
    struct source_item *item = &place->items[place->next];
    uint8_t memory[BODY_SIZE_MAX];
    struct out body = out_over(memory, sizeof memory);
    char subject[32], where[64];
    uint8_t cursor[8];
    struct out o = out_over(cursor, sizeof cursor);
    uint64_t ticket = 0;
    const char *reason = NULL;
    event_number(source, item);
    put_body(&body, item);
    out_put_u64_le(&o, place->next + 1);
    (void)snprintf(subject, sizeof subject, "%s/%s", item->flaw == FLAW_NO_ROUTE ? "x" : "s",
                   ledger_stream_names[item->stream]);
    (void)snprintf(where, sizeof where, "source %u place %u", source->index, p);
    struct event event = {.body_kind = BODY_JSON,
                          .body = out_slice(&body),
                          .subject = slice_of_text(subject),
                          .source = slice_of_text(where),
                          .wants_ack = !source->reads_again,
                          .unusable = item->flaw == FLAW_UNUSABLE ? "it is too long" : NULL};
    if (source->reads_again) {
        event.cursor_key = p;
        event.cursor = out_slice(&o);
    }
    enum err e = driver_offer(source->host, &event, &ticket, &reason);
    if (e) {
        SIM_EXPECT(e == ERR_FULL);
        source->refused++;
        source->waits = true;
        return false;
    }
    SIM_EXPECT(ticket == source->ticket + 1 && ticket <= LEDGER_EVENT_MAX);
    source->given[source->ticket++] = (struct source_given){(uint8_t)p, (uint32_t)place->next};
    ledger_admitted(source->ledger, item->number, reason);
    place->next++;
    return true;
}

static void offer_some(struct source *source)
{
    uint64_t most = 1 + sim_below(TURN_EVENT_MAX);
    unsigned p = (unsigned)sim_below(SOURCE_PLACES);
    for (unsigned empty = 0; most > 0 && empty < SOURCE_PLACES; p = (p + 1) % SOURCE_PLACES) {
        bool window = source->reads_again || source->ticket - source->told < WINDOW_MAX;
        if (!window || source->places[p].next == source->places[p].count) {
            empty++;
            continue;
        }
        empty = 0;
        most--;
        if (!offer_one(source, p)) {
            return;
        }
    }
}

/* --- after a start --- */

static bool item_is_stored(const struct source *source, const struct source_item *item)
{
    if (item->number == 0) {
        return false;
    }
    const struct ledger_event *event = ledger_event(source->ledger, item->number);
    return event->is_bad ? event->aside_payload > 0 : event->sequence > 0;
}

/* The agent's cursor is lost with a damaged file, or is an older one: what was stored behind it is
 * given once more, as another event. */
static void cursor_fell(struct source *source, struct source_place *place)
{
    for (size_t i = place->next; i < place->count; i++) {
        struct source_item *item = &place->items[i];
        struct ledger_event *event =
            item->number ? ledger_event(source->ledger, item->number) : NULL;
        if (event && (event->told || item_is_stored(source, item))) {
            event->given_again = !event->told;
            item->number = 0;
        }
    }
    place->stored = place->stored < place->next ? place->stored : place->next;
}

static void place_recovered(struct source *source, struct source_place *place)
{
    bool falls = source->ledger->damage.cursors_fall;
    if (source->reads_again && falls) {
        cursor_fell(source, place);
    }
    for (size_t i = place->stored; i < place->count; i++) {
        if (!source->reads_again) {
            place->items[i].number = 0; /* whatever became of it: it is given anew */
        }
    }
    for (size_t i = 0; i < place->count && source->reads_again; i++) {
        if (place->items[i].flaw && (falls || !source->ledger->knows_asides)) {
            continue; /* the disk fails just now, or has lost some */
        }
        SIM_EXPECT(item_is_stored(source, &place->items[i]) == (i < place->next));
    }
    SIM_EXPECT(place->next >= place->stored);
    place->stored = place->next;
}

void source_forget(struct source *source)
{
    source->buffer = NULL;
}

/* A driver that is not open yet looks when it is. */
void source_recovered(struct source *source, const struct buffer *buffer)
{
    source->buffer = buffer;
    for (size_t p = 0; source->host && p < SOURCE_PLACES; p++) {
        place_recovered(source, &source->places[p]);
    }
}

/* --- the driver --- */

static struct source *source_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct source, driver);
}

static void source_fire(struct timer *timer)
{
    struct source *source = CONTAINER_OF(timer, struct source, timer);
    if (source->stopped) {
        return;
    }
    if (!source->waits || !source->reads_again) {
        source->waits = false;
        offer_some(source);
    }
    timer_arm(timer, source->waits ? RETRY_MS : 1 + sim_below(POLL_MS_MAX));
}

static void take_cursor(void *context, uint32_t key, struct slice value)
{
    struct source *source = context;
    uint64_t next = 0;
    SIM_EXPECT(source->reads_again && key < SOURCE_PLACES);
    SIM_EXPECT(slice_take_u64_le(&value, &next) && value.size == 0);
    SIM_EXPECT(next <= source->places[key].count);
    source->places[key].next = next;
}

static enum err source_driver_open(struct driver **ret, const struct driver_setup *setup,
                                   struct why *why)
{
    const struct source_options *options = setup->options;
    struct source *source = &site_sources[options->source];
    (void)why;
    SIM_EXPECT(!source->host); /* the one before has ended */
    source->driver.class_ = &source_driver_class;
    source->host = setup->host;
    source->ticket = 0;
    source->told = 0;
    source->waits = false;
    source->stopped = false;
    for (size_t p = 0; p < SOURCE_PLACES; p++) {
        source->places[p].next = source->reads_again ? 0 : source->places[p].stored;
    }
    driver_cursor_each(setup->host, take_cursor, source);
    if (source->buffer) { /* opened anew within a life: it has no more and no less than before */
        source_recovered(source, source->buffer);
    }
    timer_init(&source->timer, setup->loop, source_fire);
    timer_arm(&source->timer, 1 + sim_below(POLL_MS_MAX));
    *ret = &source->driver;
    return ERR_OK;
}

static void source_resume(struct driver *driver)
{
    struct source *source = source_of(driver);
    SIM_EXPECT(!source->stopped);
    source->resumed += source->waits;
    source->waits = false;
    if (sim_below(2)) {
        offer_some(source);
    }
    timer_arm(&source->timer, source->waits ? RETRY_MS : sim_below(100));
}

static void source_stored(struct driver *driver, uint64_t ticket)
{
    struct source *source = source_of(driver);
    SIM_EXPECT(ticket > source->told && ticket <= source->ticket);
    for (; source->told < ticket; source->told++) {
        struct source_given given = source->given[source->told];
        struct source_place *place = &source->places[given.place];
        ledger_told(source->ledger, source->buffer, place->items[given.item].number);
        SIM_EXPECT(given.item == place->stored);
        place->stored++;
    }
}

static void source_stop(struct driver *driver)
{
    source_of(driver)->stopped = true;
}

static void source_driver_close(struct driver *driver)
{
    struct source *source = source_of(driver);
    timer_release(&source->timer);
    source->host = NULL;
}

static const struct option source_options_table[] = {
    {.name = "source",
     .kind = OPTION_INT,
     .offset = offsetof(struct source_options, source),
     .max = SOURCE_COUNT - 1,
     .help = "Which of the site's sources."},
    {.name = NULL},
};

const struct driver_class source_driver_class = {.type = "numbers",
                                                 .help = "Numbered events of a simulated site.",
                                                 .options = source_options_table,
                                                 .options_size = sizeof(struct source_options),
                                                 .open = source_driver_open,
                                                 .resume = source_resume,
                                                 .stored = source_stored,
                                                 .stop = source_stop,
                                                 .close = source_driver_close};
