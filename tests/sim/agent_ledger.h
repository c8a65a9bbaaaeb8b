/* The ledger of a simulated site: what every event that its sources made has become, and the rules
 * that hold for it at every moment. Everything here is the test's own knowledge; the agent's state
 * is only looked at to be held against it.
 *
 * An event is one offer: what a source gives again because it was never acknowledged is another
 * event, unless the agent's own cursor says that the first was not stored. The ledger knows which
 * sequence each event must have, because sequences are given in the order of admission. */
#ifndef WEIR_TESTS_SIM_AGENT_LEDGER_H
#define WEIR_TESTS_SIM_AGENT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer/buffer.h"
#include "ports/slice.h"
#include "tests/sim/kafka_broker.h"

#define LEDGER_UPLINKS 2
#define LEDGER_STREAMS 3
#define LEDGER_OF_EVENTS LEDGER_STREAMS /* a gap's stream: weir.events */
#define LEDGER_KEYS 16
#define LEDGER_EVENT_MAX 16384
#define LEDGER_TOLD_MAX 4096    /* events of weir.events */
#define LEDGER_NUMBER_MAX 65536 /* producer's numbers on record: a power of two */

struct ledger_event {
    uint32_t incarnation; /* under which it arrived first; 0: it has not */
    uint8_t key;          /* of the source's place in it: order is kept */
    uint8_t stream;       /* index in ledger_stream_names */
    bool is_bad;          /* intake has to set it aside */
    bool is_cursored;     /* stored together with its source's cursor */
    bool told;            /* acknowledged */
    bool tail_lost;       /* the state was lost, and the event was in no row: untold */
    uint64_t sequence;    /* 0: not admitted, or what was admitted is gone with a life */
    uint32_t place;       /* in its stream */
    bool
        given_again; /* its source's cursor is lost with a damaged file: it came as another event */
    uint8_t arrived[LEDGER_UPLINKS];
    uint8_t aside[LEDGER_UPLINKS];
    uint8_t aside_payload;
    uint8_t aside_again[LEDGER_UPLINKS]; /* after damage it may be seen so often once more, */
    uint8_t aside_payload_again;
    bool aside_may_lack; /* or not at all */
    bool aside_in_doubt; /* by the policy of some uplink */
    /* It was sent by a life that could not note it, and the disk says that it is owed; or that it
     * was delivered is not known any more, after damage: so often it may arrive once more. */
    uint8_t again[LEDGER_UPLINKS];
    bool was_again[LEDGER_UPLINKS];
    /* It was owed no more when the tail was sealed last; and the database has that without its log. */
    bool is_sealed[LEDGER_UPLINKS];
    bool is_settled[LEDGER_UPLINKS];
};

struct ledger_stream {
    uint32_t *events; /* numbers, in order of admission */
    size_t count;
    uint64_t next;       /* sequence of what is admitted next */
    size_t ordered_from; /* what came before may be salvaged, and then arrives late */
    size_t told_from;    /* what came before was stored, under sequences that a lost state knew */
    uint16_t number;     /* the buffer's */
    bool drops;
    bool fresh_first;
    uint32_t uplinks; /* bit i: goes to uplink i */
};

/* What weir.events says is lost; of weir.events itself: what it can't say. */
struct ledger_gap {
    unsigned stream;
    unsigned uplink; /* 0: all, else index + 1 */
    uint64_t first, last, count;
};

/* A gap in the buffer's state, as it was seen last. */
struct ledger_seen {
    uint32_t number;
    unsigned epoch; /* of ledger_damage */
    struct ledger_gap gap;
    uint64_t commit; /* that still had it */
    /* The sequence in weir.events that tells it is one of these. */
    uint64_t told_from;
    uint64_t told_before; /* 0: it waits to be told */
    bool is_forgotten;    /* the state was lost, and what it had to tell */
};

/* Of a seed whose medium is damaged. What is not known any more may arrive again; what is lost has
 * to be told. */
struct ledger_damage {
    bool is_watched;      /* it may come to that */
    bool is_possible;     /* it has */
    bool is_forgetful;    /* deliveries, sequences or whose events they were: something is lost */
    bool cursors_fall;    /* since the last life began */
    bool is_behind;       /* this life is, and can't write */
    uint32_t incarnation; /* of the last life */
    unsigned epoch;       /* rises when the numbers of gaps may be used again */
    uint64_t generation;  /* of the tail, and of the log, when they were looked at last */
    int wal_frames;
    uint64_t replaced; /* by this life */
    int64_t salvage;   /* number of the last one that was seen; 0: none is under way */
    size_t seen_count;
    struct ledger_seen *seen; /* LEDGER_TOLD_MAX */
};

struct ledger_plans; /* agent_columns.c */

struct ledger {
    struct ledger_event *events; /* [number - 1] */
    size_t event_count;
    struct ledger_stream streams[LEDGER_STREAMS];
    uint64_t *numbers;   /* hashes of what was on record before it was sent */
    int64_t aside_id;    /* of the last one seen */
    uint64_t aside_seen; /* how many there were then */
    bool knows_asides;   /* all of them were seen */
    uint8_t *noted;      /* the state of the last commit of a life that has ended */
    size_t noted_size;
    uint64_t noted_commit;
    struct state *memory; /* at the end of the last life that had not written all of it */
    bool memory_is_lost;
    bool streams_change; /* the configuration has one more, now and then */
    uint64_t commit;     /* of the buffer, when its parcels were looked at last */
    /* Of the events that came in order: fresh and backfill. */
    uint64_t last[LEDGER_UPLINKS][LEDGER_STREAMS][BROKER_PARTITION_MAX][LEDGER_KEYS][2];
    uint64_t backfill; /* events that came as such */
    uint64_t batches;  /* messages that were batches in columns */
    struct ledger_plans *plans;
    uint64_t events_seen[LEDGER_TOLD_MAX]; /* of weir.events, at the first uplink: hashes of ids */
    struct ledger_gap gaps[LEDGER_TOLD_MAX]; /* that were told there */
    size_t gap_count;
    uint64_t events_arrived;
    uint64_t unsaved; /* lives that ended with deliveries in memory only */
    uint64_t told, arrived, twice, vanished, asides, refused_asides;
    uint64_t dropped[GAP_REASON_COUNT];
    uint64_t in_doubt[LEDGER_UPLINKS];       /* times an uplink might have sent something twice */
    uint64_t in_doubt_twice[LEDGER_UPLINKS]; /* parcels of which something did arrive twice */
    uint64_t parcels[LEDGER_UPLINKS][LEDGER_STREAMS]; /* first sequence of the last one on record */
    uint64_t twice_parcels[LEDGER_UPLINKS][LEDGER_STREAMS]; /* of the last one that came twice */
    struct ledger_damage damage;
};

extern const char *const ledger_stream_names[LEDGER_STREAMS];

void ledger_open(struct ledger *ledger);
void ledger_close(struct ledger *ledger);

/* A new event of a source; returns its number, from 1 on. */
uint32_t ledger_new(struct ledger *ledger, const struct ledger_event *event);
struct ledger_event *ledger_event(struct ledger *ledger, uint32_t number);
/* The agent took it; `reason`: why it sets it aside, "" when it does not. */
void ledger_admitted(struct ledger *ledger, uint32_t number, const char *reason);
/* The agent says that it is stored. */
void ledger_told(struct ledger *ledger, const struct buffer *buffer, uint32_t number);

/* The number of the event in these bytes; 0: there is none. */
uint32_t ledger_number_in(struct slice bytes);

/* After each step: what the buffer has on record now. */
void ledger_look(struct ledger *ledger, struct buffer *buffer);
/* A batch stands in the log of a broker. */
void ledger_arrived(struct ledger *ledger, unsigned uplink, const struct broker *broker,
                    const char *topic, uint32_t partition, size_t first, size_t count);

/* The event stands in a file, behind the one at place *last - 1 of its stream. */
void ledger_filed(struct ledger *ledger, unsigned uplink, uint32_t number, uint64_t last[2]);

/* A life ends: its last commit has to be found again. */
void ledger_note(struct ledger *ledger, const struct buffer *buffer);
/* The same, and what is in memory only is handed to the next one. */
void ledger_note_carried(struct ledger *ledger, const struct buffer *buffer);
/* What was on record in memory only is gone with its process: what the life after it is still owed
 * may arrive again. */
void ledger_unsaved_is_lost(struct ledger *ledger);
/* A life has begun: what was acknowledged is there, what is not there is forgotten. */
void ledger_recovered(struct ledger *ledger, struct buffer *buffer);
/* Has the buffer begun anew since it had the incarnation `before`, because its state was lost? Another
 * board is no such reason. */
bool ledger_is_anew(const struct buffer *buffer, uint32_t before);
/* The medium may damage files of the buffer; it has. */
void ledger_damage_watch(struct ledger *ledger);
void ledger_damaged(struct ledger *ledger);
/* Was what a damaged file still had lost with the next? Each stream has a gap that says so. */
bool ledger_damage_was_forgotten(const struct ledger *ledger);
/* Is nothing owed to anybody? */
bool ledger_is_drained(const struct ledger *ledger, const struct buffer *buffer);
/* At the end, with everything delivered: each event is where it has to be, and the counts are
 * exact: what an uplink lacks is what the gaps say, to the event; where damage took the counts, or
 * what had been delivered, it lies within them. */
void ledger_settle(struct ledger *ledger, struct buffer *buffer);

#endif
