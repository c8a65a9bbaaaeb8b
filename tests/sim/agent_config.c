/* The configuration of the simulated site, written as a file and loaded as the program does. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/reload.h"
#include "ports/file.h"
#include "tests/sim/agent_site.h"
#include "tests/sim/sim.h"
#include "uplink/file/file.h"
#include "uplink/kafka/kafka.h"

#define TEXT_SIZE_MAX 16384

#define FIELDS_OF(name) \
    "{\"type\":\"record\",\"name\":\"" name "\",\"namespace\":\"site\",\"fields\":[" \
    "{\"name\":\"device\",\"type\":\"string\"},{\"name\":\"value\",\"type\":\"double\"}," \
    "{\"name\":\"mark\",\"type\":\"string\"},{\"name\":\"fill\",\"type\":\"string\"}"

/* Two versions of one schema: events of both may be owed at one time. */
static const char *const schemas[] = {
    FIELDS_OF("Reading") "]}",
    FIELDS_OF("Reading") ",{\"name\":\"unit\",\"type\":\"string\",\"default\":\"m\"}]}",
    FIELDS_OF("Stranger") "]}"};

/* None that goes with these, though the same events fit it. */
#define STRANGER 2

/* What a part of the configuration says is chance, but the same for one number. */
static uint64_t below(uint64_t *chance, uint64_t count)
{
    *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (*chance >> 33) % count;
}

static void file_put(const struct site *site, const char *name, struct slice text)
{
    char path[512];
    struct why why = {""};
    (void)snprintf(path, sizeof path, "%s/%s", site->folder, name);
    enum err e = file_replace(path, text, 0600, &why);
    SIM_EXPECT(!e);
}

static void put_streams(struct out *o, const struct site *site)
{
    uint64_t chance = site->settings.streams;
    static const char *const policies[] = {"drop_oldest", "drop_newest", "thin"};
    out_put_text(o, "\"streams\":{");
    const char *order = site->ledger.streams[0].fresh_first
                            ? ",\"order\":\"fresh_first\",\"fresh_after\":\"5 s\""
                            : "";
    out_put_format(o,
                   "\"slow\":{\"schema\":\"reading.avsc\",\"key\":\"device\",\"priority\":3,"
                   "\"when_full\":\"block\"%s},",
                   order);
    out_put_format(o,
                   "\"drop\":{\"schema\":\"reading.avsc\",\"key\":\"device\",\"priority\":%u,"
                   "\"when_full\":\"%s\",\"thin_window\":\"%s\"%s%s},",
                   below(&chance, 2) ? 2U : 5U, policies[below(&chance, 3)],
                   below(&chance, 2) ? "10 s" : "10 min",
                   site->profile.ages ? ",\"age_max\":\"15 min\"" : "", order);
    out_put_format(o, "\"raw\":{\"priority\":8,\"when_full\":\"block\"%s}%s},",
                   site->ledger.streams[2].uplinks == 1 ? ",\"uplinks\":[\"east\"]" : "",
                   site->settings.has_spare ? ",\"spare\":{}" : "");
}

/* Each fourth seed is encrypted; some of these are plain again with the next configuration. */
static void put_encryption(struct out *o, const struct site *site)
{
    static const char key[] = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
    if (site->seed % 4 == 3) {
        bool is_off = site->config && site->seed % 8 == 7;
        out_put_format(o, ",\"encryption\":{\"%s\":\"%s\"}", is_off ? "old_key" : "key", key);
    }
}

static void put_drivers(struct out *o, const struct site *site)
{
    uint64_t chance = site->settings.drivers;
    static const unsigned intervals_ms[] = {0, 250, 1000};
    out_put_text(o, "\"drivers\":{");
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        out_put_format(o,
                       "%s\"%s%u\":{\"type\":\"numbers\",\"source\":%u,\"ack_interval\":\"%u ms\","
                       "\"routes\":[",
                       i ? "," : "", site->sources[i].reads_again ? "tail" : "post", i, i,
                       intervals_ms[below(&chance, 3)]);
        for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
            out_put_format(o, "%s{\"topic\":\"s/%s\",\"stream\":\"%s\"}", s ? "," : "",
                           ledger_stream_names[s], ledger_stream_names[s]);
        }
        out_put_text(o, "]}");
    }
    out_put_text(o, "},");
}

static const char *const uplink_names[LEDGER_UPLINKS] = {"east", "west"};

/* What both kinds have. */
static void put_common(struct out *o, const struct site *site, unsigned index, const char *type)
{
    uint64_t chance = site->settings.uplinks[index];
    static const char *const batch_sizes[] = {"4 KiB", "64 KiB", "256 KiB"};
    static const char *const lingers[] = {"0 s", "1 s", "20 s"};
    out_put_format(o, "\"%s\":{\"type\":\"%s\",\"from\":\"oldest\",", uplink_names[index], type);
    out_put_format(o, "\"batch_size_max\":\"%s\",\"linger\":\"%s\",\"hold_max\":\"%u %%\",",
                   batch_sizes[below(&chance, 3)], lingers[below(&chance, 3)],
                   site->profile.hold_max ? 15U : 100U);
    if (site->profile.links) {
        out_put_text(o,
                     below(&chance, 3) ? "\"link\":[\"wire\",\"modem\"]," : "\"link\":\"wire\",");
    }
}

/* The first link suffices for all; the second one has rules that keep most waiting until that is there
 * again, which it is in the end. */
static void put_links(struct out *o, const struct site *site)
{
    uint64_t chance = site->settings.links;
    static const char *const windows[] = {
        "", ",\"windows\":[{\"start\":\"*/10 * * * *\",\"duration\":\"3 min\"}]"};
    if (!site->profile.links) {
        return;
    }
    out_put_format(o,
                   ",\"links\":{\"wire\":{\"interface\":\"eth0\",\"rate_max\":\"%u kbit/s\","
                   "\"budget_per_hour\":\"100 MB\",\"share_min\":\"%u %%\",\"jitter\":\"%u s\"},",
                   site->profile.full || below(&chance, 2) ? 500U : 100U,
                   (unsigned)below(&chance, 3) * 20, (unsigned)below(&chance, 2) * 60);
    out_put_format(o,
                   "\"modem\":{\"interface\":\"wwan0\",\"rate_max\":\"%u bit/s\","
                   "\"budget_per_hour\":\"%u kB\",\"when_spent\":\"%s\",\"priority_min\":%u,"
                   "\"jitter\":\"%u s\"%s}}",
                   below(&chance, 2) ? 9600U : 64000U, below(&chance, 2) ? 30U : 300U,
                   below(&chance, 2) ? "urgent" : "stop", below(&chance, 3) ? 0U : 4U,
                   (unsigned)below(&chance, 2) * 60, windows[below(&chance, 3) == 0]);
}

static void put_kafka(struct out *o, const struct site *site, unsigned index)
{
    uint64_t chance = site->settings.uplinks[index] + 1;
    const struct site_cluster *cluster = &site->clusters[index];
    put_common(o, site, index, "kafka");
    out_put_format(o, "\"partition_by\":\"%s\",\"request_timeout\":\"%u s\",",
                   below(&chance, 4) ? "key" : "agent", below(&chance, 2) ? 30U : 5U);
    out_put_text(o, site->profile.columns ? "\"layout\":\"columns\"," : "");
    out_put_format(o, "\"in_doubt\":\"%s\",\"topic_create\":\"never\",\"headers\":true,",
                   site->profile.in_doubt_is_set_aside ? "set_aside" : "resend");
    out_put_text(o, "\"compression_level\":1,\"brokers\":[");
    for (unsigned n = 0; n < cluster->node_count; n++) {
        out_put_format(o, "%s\"%s-%u:9092\"", n ? "," : "", uplink_names[index], n + 1);
    }
    out_put_text(o, "]}");
}

static void put_file(struct out *o, const struct site *site, unsigned index)
{
    uint64_t chance = site->settings.uplinks[index] + 1;
    put_common(o, site, index, "file");
    out_put_format(o, "\"path\":\"%s/out\",\"name\":\"{stream}-{number}-{first}.avro\",",
                   site->folder);
    out_put_format(
        o,
        "\"codec\":\"null\",\"free_min\":\"0 B\",\"size_max\":\"%u KiB\",\"time_max\":\"%u min\"}",
        below(&chance, 2) ? 64U : 4096U, below(&chance, 2) ? 1U : 30U);
}

struct config *site_config_read(const struct site *site, struct config_report *report)
{
    static const struct driver_class *const drivers[] = {&source_driver_class, NULL};
    static const struct uplink_class *const uplinks[] = {&kafka_uplink_class, &file_uplink_class,
                                                         NULL};
    static const struct config_parts parts = {.drivers = drivers, .uplinks = uplinks};
    struct config *config = NULL;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/weir.json", site->folder);
    enum err e = config_load(&config, path, &parts, report);
    return e ? NULL : config;
}

/* Now and then it is one that will be refused. */
static void other_schema(struct site *site)
{
    bool is_stranger = sim_below(3) == 0;
    site->schema = is_stranger ? site->schema : 1 - site->schema;
    site->happened[HAPPENS_OTHER_SCHEMA]++;
    file_put(site, "reading.avsc", slice_of_text(schemas[is_stranger ? STRANGER : site->schema]));
}

static void put_uplinks(struct out *o, const struct site *site)
{
    out_put_text(o, "\"uplinks\":{");
    put_kafka(o, site, 0);
    if (!site->settings.lacks_west) {
        out_put_text(o, ",");
        if (site->profile.files) {
            put_file(o, site, 1);
        } else {
            put_kafka(o, site, 1);
        }
    }
    out_put_text(o, "}");
}

/* What a person may get wrong. */
static void put_mistake(struct out *o, unsigned mistake)
{
    static const char *const mistakes[] = {"", ",\"status\":{\"prot\":1}", ",\"links\":7", "}",
                                           ",\"status\":{\"port\":99999}"};
    SIM_EXPECT(mistake < ARRAY_COUNT(mistakes));
    out_put_text(o, mistakes[mistake]);
}

static void config_put(const struct site *site)
{
    static const char *const intervals[] = {"0 s", "1 s", "5 s", "10 s"};
    uint64_t chance = site->settings.buffer;
    char *memory = malloc(TEXT_SIZE_MAX);
    assert(memory);
    struct out o = out_over(memory, TEXT_SIZE_MAX);
    out_put_text(&o, "{\"agent\":{\"id\":\"site\",\"stop_grace\":\"5 s\"},");
    out_put_format(&o,
                   "\"buffer\":{\"path\":\"/buffer.db\",\"size_max\":\"%s\","
                   "\"commit_interval\":\"%s\"",
                   site->profile.full ? "4 MiB" : "16 MiB", intervals[below(&chance, 4)]);
    put_encryption(&o, site);
    out_put_text(&o, "},");
    put_streams(&o, site);
    put_drivers(&o, site);
    put_uplinks(&o, site);
    put_links(&o, site);
    put_mistake(&o, site->settings.mistake);
    out_put_text(&o, "}");
    SIM_EXPECT(!o.overflow);
    file_put(site, "weir.json", out_slice(&o));
    free(memory);
}

void site_config_load(struct site *site)
{
    struct site_settings *s = &site->settings;
    char *found = malloc(TEXT_SIZE_MAX);
    assert(found);
    struct config_report report = {.text = out_over(found, TEXT_SIZE_MAX)};
    *s = (struct site_settings){.buffer = sim_random(),
                                .streams = sim_random(),
                                .drivers = sim_random(),
                                .links = sim_random(),
                                .uplinks = {sim_random(), sim_random()},
                                .has_spare = s->has_spare};
    if (!site->config) {
        file_put(site, "reading.avsc", slice_of_text(schemas[site->schema]));
    } else if (sim_below(3) == 0) {
        other_schema(site);
    }
    config_put(site);
    config_close(site->config);
    site->config = site_config_read(site, &report);
    SIM_EXPECT(site->config != NULL);
    free(found);
}

/* While nothing is owed to it, it would be let go, which the ledger does not know. */
static bool is_refused_without_west(struct site *site)
{
    struct why why = {""};
    struct config_report report = {.text = {0}};
    if (!site->agent) {
        return false;
    }
    site->settings.lacks_west = true;
    config_put(site);
    struct config *without = site_config_read(site, &report);
    SIM_EXPECT(without != NULL);
    bool is_refused = agent_may_take(site->agent, without, &why) != ERR_OK;
    config_close(without);
    return is_refused;
}

/* One part, or all but the drivers, or nothing. */
void site_config_change(struct site *site)
{
    struct site_settings *s = &site->settings;
    uint64_t which = site->profile.reloads ? sim_below(9) : 9;
    s->mistake = which == 8 ? 1 + (unsigned)sim_below(4) : 0;
    s->lacks_west = which == 7 && is_refused_without_west(site);
    if (which == 0 || which == 1) {
        s->drivers = sim_random();
    }
    if (which == 2 || which == 6) {
        s->streams = sim_random();
    }
    if (which == 3 || which == 6) {
        s->uplinks[sim_below(LEDGER_UPLINKS)] = sim_random();
    }
    if (which == 4) {
        s->links = sim_random();
        s->buffer = sim_random();
    }
    if (which == 5) {
        s->has_spare = !s->has_spare && !site->profile.damage;
    }
    if (which == 9 || sim_below(4) == 0) {
        other_schema(site);
    }
    config_put(site);
}
