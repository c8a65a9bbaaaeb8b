/* A simulated site: sources, the real agent with its real buffer on a disk that loses power, two
 * Kafka clusters, and a weather that lets everything fail. One at a time. */
#ifndef WEIR_TESTS_SIM_AGENT_SITE_H
#define WEIR_TESTS_SIM_AGENT_SITE_H

#include "agent/run_impl.h"
#include "ports/identity.h"
#include "tests/sim/agent_ledger.h"
#include "tests/sim/agent_source.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/kafka_net.h"
#include "uplink/kafka/wire.h"

/* What can happen; each is counted, and must have happened. */
enum happening {
    /* lives */
    HAPPENS_CRASH,
    HAPPENS_CRASH_IN_COMMIT,
    HAPPENS_POWER_CUT,
    HAPPENS_STOP,
    HAPPENS_CRASH_IN_STOP,
    HAPPENS_HARD_STOP,
    HAPPENS_REBOOT,
    HAPPENS_MOVED,
    HAPPENS_START_FAILED,
    HAPPENS_CRASH_AT_START,
    HAPPENS_OTHER_SETTINGS,
    HAPPENS_OTHER_SCHEMA,
    HAPPENS_SCHEMA_REFUSED,
    HAPPENS_SCHEMA_RELOADED,
    HAPPENS_RELOAD_REFUSED,
    HAPPENS_RELOAD_IN_PLACE,
    HAPPENS_RELOAD_ANEW,
    HAPPENS_RELOAD_MISTAKES,
    HAPPENS_RELOAD_OWED,
    HAPPENS_RELOAD_FAILED,
    HAPPENS_RELOAD_NO_MEMORY,
    HAPPENS_RELOAD_WAITED,
    HAPPENS_RELOAD_IN_STOP,
    HAPPENS_STOP_IN_RELOAD,
    HAPPENS_CRASH_IN_RELOAD,
    /* network */
    HAPPENS_OUTAGE,
    HAPPENS_LONG_OUTAGE,
    HAPPENS_CUT_ALL,
    HAPPENS_CUT_AT_A_BYTE,
    HAPPENS_REFUSED_CONNECTION,
    HAPPENS_SLOW_LINK,
    HAPPENS_NAMES_FAIL,
    HAPPENS_INTERFACE_DOWN,
    /* clusters */
    HAPPENS_NODE_KILL,
    HAPPENS_CLUSTER_DOWN,
    HAPPENS_LEADER_MOVE,
    HAPPENS_PARTITIONS_ADDED,
    HAPPENS_TOPIC_LATE,
    HAPPENS_PRODUCER_FORGOTTEN,
    HAPPENS_CLUSTER_REPLACED,
    /* clock */
    HAPPENS_WALL_JUMP,
    HAPPENS_WALL_UNKNOWN,
    /* disk */
    HAPPENS_IO_ERROR,
    HAPPENS_IO_FULL,
    HAPPENS_SYNC_DROPPED,
    HAPPENS_READ_ONLY,
    HAPPENS_DISK_FILLED,
    HAPPENS_UNSAVED,
    HAPPENS_READ_FROM_START,
    HAPPENS_RENEWED,
    /* damage */
    HAPPENS_BITS_FLIPPED,
    HAPPENS_PAGES_ZEROED,
    HAPPENS_PAGES_SPOILT,
    HAPPENS_FILE_CUT,
    HAPPENS_LOG_FLIPPED,
    HAPPENS_LOG_SPOILT,
    HAPPENS_LOG_CUT,
    HAPPENS_LOG_GONE,
    HAPPENS_DAMAGE_IN_LIFE,
    HAPPENS_DAMAGE_IN_SALVAGE,
    HAPPENS_REPLACED_AT_START,
    HAPPENS_REPLACED_IN_LIFE,
    HAPPENS_LOG_LOST,
    HAPPENS_LOG_VOID,
    HAPPENS_STATE_LOST,
    HAPPENS_SALVAGED,
    HAPPENS_CUT_IN_SALVAGE,
    HAPPENS_DISK_TAKEN_IN_SALVAGE,
    HAPPENS_ROWS_LOST_IN_SALVAGE,
    HAPPENS_BAD_ROW_ONLY,
    /* events */
    HAPPENS_FILES,
    HAPPENS_BACKPRESSURE,
    HAPPENS_RESUME,
    HAPPENS_DROPPED_OLDEST,
    HAPPENS_DROPPED_NEWEST,
    HAPPENS_THINNED,
    HAPPENS_TOO_OLD,
    HAPPENS_HELD_TOO_MUCH,
    HAPPENS_VANISHED,
    HAPPENS_SET_ASIDE,
    HAPPENS_REFUSED_AND_SET_ASIDE,
    HAPPENS_HALVED,
    HAPPENS_DUPLICATE_KNOWN,
    HAPPENS_BACKFILL,
    HAPPENS_COLUMNS,
    HAPPENS_IN_DOUBT,
    HAPPENS_COUNT
};
extern const char *const happening_names[HAPPENS_COUNT];

#define SITE_CODE_MAX 64

struct site;

struct site_cluster {
    struct site *site;
    unsigned index;
    struct broker *broker;
    struct kafka_net *net;
    unsigned node_count;
    uint64_t node_back_us[BROKER_NODE_MAX]; /* 0: it is up */
    uint64_t expired_us;
    bool is_replaced;
    uint32_t partitions[LEDGER_STREAMS]; /* 0: the topic is not there yet */
};

/* How this seed is. */
struct site_profile {
    unsigned lives;
    unsigned event_count;
    uint64_t duration_us;
    uint32_t weather; /* how bad: chances are multiplied by it */
    bool full;        /* a small buffer, large events */
    bool disk_fails;
    bool clock_is_bad; /* unknown at each start of the machine */
    bool hold_max;
    bool ages;         /* the stream "drop" has a maximum age */
    bool files;        /* the second uplink is one of files */
    bool reconfigures; /* another configuration in each life */
    bool all_codes;
    bool events_are_bad;
    bool in_doubt_is_set_aside;
    bool columns; /* the uplinks kafka send them */
    bool damage;  /* the medium harms the buffer's files */
    bool links;   /* uplinks have them, with rules */
    bool reloads; /* all of the configuration, not its schema only */
};

/* What the configuration's file says: of each part another number is another choice. */
struct site_settings {
    uint64_t buffer, streams, drivers, links, uplinks[LEDGER_UPLINKS];
    bool has_spare;   /* a stream that nothing goes to */
    bool lacks_west;  /* an uplink is left out */
    unsigned mistake; /* 0: none */
};

enum site_aim { AIM_NONE, AIM_ARRIVAL, AIM_COMMIT, AIM_RELOAD };

/* What came of damage, as it was seen last. */
struct site_damage {
    unsigned rests;       /* between two lives, so far */
    unsigned left;        /* so often the medium does harm */
    bool aims_at_state;   /* nothing of the state is to be left, once; */
    bool aims_at_salvage; /* and the power is to go in the salvage */
    uint64_t state_page;  /* where the state is; 0: not known yet */
    bool log_is_harmed;   /* since the last life, and more than a power cut would */
    uint32_t incarnation;
    uint64_t replaced; /* of this life */
    bool is_forgotten; /* what was to be salvaged, at some time */
    uint64_t bad_rows; /* events, while no file is salvaged */
    uint64_t lost;
    int64_t salvage;     /* number; 0: none is under way */
    uint64_t failing_us; /* since then commits fail on a disk that is well; 0: they do not */
};

struct site {
    uint64_t seed;
    char folder[256];
    struct site_profile profile;
    struct ledger ledger;
    struct source sources[SOURCE_COUNT];
    struct site_cluster clusters[LEDGER_UPLINKS];
    struct crash_vfs *disk;
    struct config *config;
    struct site_settings settings;
    struct loop *loop;      /* of the life */
    struct agent *agent;    /* NULL: the disk is waited for, within a life */
    struct running running; /* of `weir run`, in a life */
    bool is_cut;            /* the power went while the agent was opened anew */
    bool is_anew;           /* what was reloaded last opened the agent anew */
    struct config *next;    /* that the next life has then; else NULL */
    struct machine machine;
    unsigned moves_left; /* the card may be moved to another board */
    struct carry *carry; /* for the next agent of the same process */
    struct timer weather, makes;
    bool is_calm;        /* the weather is over */
    bool is_last;        /* this life is: the power stays */
    bool brokers_refuse; /* poisoned events */
    bool is_finished;    /* the orderly stop */
    unsigned made;
    unsigned schema;                                                  /* which of two */
    uint64_t link_back_us, names_back_us, disk_back_us, wall_back_us; /* 0: all is well */
    struct crash_fault disk_fault;
    struct site_damage damage;
    uint64_t life_end_us;
    uint64_t
        freeze_us; /* when the power goes within the next operations of the disk; 0: does not */
    uint64_t trace_hash;
    int steps_left;                           /* after that, until the crash; -1: not yet */
    enum site_aim aim;                        /* the crash follows soon after such */
    uint64_t in_doubt_before[LEDGER_UPLINKS]; /* of the lives that have ended */
    uint64_t happened[HAPPENS_COUNT];
    uint64_t kinds[BROKER_SHORT + 1]; /* of answers, over both clusters */
    uint64_t codes[SITE_CODE_MAX];    /* as in the table of codes */
    uint64_t apis[WIRE_API_COUNT];
};

/* agent_site.c */
void site_run(struct site *site, uint64_t seed, const char *folder, struct crash_vfs *disk);

/* agent_weather.c: what goes wrong, and what is made. */
void weather_open(struct site *site);
void weather_close(struct site *site);
/* Everything works again. */
void weather_end(struct site *site);
/* The machine has started: its clock is what it is. */
void weather_boot(struct site *site);
/* The file system is mounted read-only, or files of others fill the disk; for a while. */
void weather_disk_taken(struct site *site);

/* agent_damage.c: the medium harms the buffer's files. */
bool harm_is_due(uint64_t seed); /* in so many seeds */
void harm_open(struct site *site);
/* Between two lives. */
void harm_at_rest(struct site *site);
/* Perhaps, while the agent runs. */
void harm_tick(struct site *site);
/* A life has begun. */
void harm_begun(struct site *site);
/* After each step. */
void harm_look(struct site *site);

/* agent_clusters.c */
void clusters_open(struct site *site);
void clusters_close(struct site *site);
/* Nodes that were killed come back, topics come, one thing more goes wrong. */
void clusters_tick(struct site *site);
/* Partitions are added while the agent is away. */
void clusters_grow(struct site *site);
void clusters_mend(struct site *site);

/* agent_files.c: what stands in the files of the second uplink goes into the ledger; they are
 * removed. */
void files_take(struct site *site);
void files_clear(struct site *site);

/* The agent is there: what it found in its buffer is what it may have found. */
void site_opened(struct site *site);
/* What is known before it is closed for another one in the same process. */
void site_agent_ends(struct site *site);

/* agent_config.c: a configuration by chance, loaded; the one before is closed. */
void site_config_load(struct site *site);
/* The folder's files; NULL: they have mistakes. */
struct config *site_config_read(const struct site *site, struct config_report *report);
/* Other ones. */
void site_config_change(struct site *site);

/* agent_reload.c: `weir run` of the site takes up another configuration. */
void reload_open(struct site *site);
void reload_close(struct site *site);
/* A life has begun, ends. */
void reload_begin(struct site *site);
void reload_end(struct site *site);
/* Now; whatever comes of it. */
void reload_now(struct site *site);

#endif
