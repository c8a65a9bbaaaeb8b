/* What `weir run` of the simulated site takes up while it runs: the program's own run_reload.c, with a
 * twin of what run_command.c gives it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/carry.h"
#include "agent/command.h"
#include "tests/fault_alloc.h"
#include "tests/sim/agent_site.h"
#include "tests/sim/sim.h"

#define ALLOC_MAX 900

static struct site *site_now;

/* --- the twins --- */

void notify_ready(struct notify *notify, const char *status)
{
    (void)notify;
    (void)status;
}

void notify_reloading(struct notify *notify)
{
    (void)notify;
}

enum err status_server_open(struct status_server **ret, struct loop *loop, struct config *config)
{
    (void)loop;
    (void)config;
    *ret = NULL;
    return ERR_OK;
}

/* None: that of before is closed. */
void status_server_agent(struct status_server *server, struct agent *agent)
{
    (void)server;
    if (!agent && site_now->agent) {
        site_agent_ends(site_now);
        site_now->agent = NULL;
    }
}

void status_server_waits(struct status_server *server, const struct why *why)
{
    (void)server;
    (void)why;
}

void status_server_close(struct status_server *server)
{
    (void)server;
}

struct config *command_load(const char *path, struct config_report *report)
{
    (void)path;
    return site_config_read(site_now, report);
}

/* Another one is in force. */
void command_log_level(const struct config *config)
{
    assert(config == site_now->running.config);
    site_now->config = site_now->running.config;
}

void run_waiting_close(struct running *running)
{
    (void)running;
}

static bool opens(struct running *running, struct agent_setup *setup, struct why *why)
{
    bool is_cut, fails = running->newer && sim_below(3) == 0;
    fault_alloc_set(fails ? 1 + (unsigned)sim_below(ALLOC_MAX) : 0);
    enum err e = agent_open(&running->agent, setup, why);
    fails = fault_alloc_happened();
    fault_alloc_set(0);
    is_cut = crash_vfs_is_frozen(site_now->disk);
    site_now->agent = e ? NULL : running->agent;
    site_now->is_cut = is_cut;
    site_now->happened[HAPPENS_RELOAD_NO_MEMORY] += e && fails;
    if (e) {
        sim_trace("the agent is not opened anew: %s", why->text);
    }
    SIM_EXPECT(!e || is_cut || fails || site_now->disk_back_us > 0);
    if (is_cut && running->newer && !site_now->next) {
        config_hold(running->newer);
        site_now->next = running->newer;
    }
    return !e;
}

enum err run_open_agent(struct running *running)
{
    struct site *site = site_now;
    struct why why = {""};
    bool waits = false;
    struct agent_setup setup = run_agent_setup(running, &waits);
    setup.vfs = "site";
    running->joined = false;
    site->is_anew = true;
    for (unsigned i = 0; i < SOURCE_COUNT; i++) {
        source_forget(&site->sources[i]);
    }
    bool is_open = opens(running, &setup, &why);
    waits = waits || running->goes_on || (running->newer && running->joined);
    running->why = why;
    if (is_open && !site->is_cut) {
        carry_close(running->carry);
        running->carry = NULL;
        agent_keep_close(running->keep);
        running->keep = NULL;
        running->goes_on = running->is_as_before = false;
        site_opened(site);
    } else if (!is_open) {
        site->happened[HAPPENS_RELOAD_WAITED] += waits;
        timer_arm(&running->retry, AGENT_RETRY_MS);
    }
    return is_open || waits ? ERR_OK : ERR_IO;
}

static void retry_fired(struct timer *timer)
{
    struct running *running = CONTAINER_OF(timer, struct running, retry);
    if (!running->agent && !running->stopping && !crash_vfs_is_frozen(site_now->disk)) {
        enum err e = run_open_agent(running);
        SIM_EXPECT(!e);
    }
}

/* --- a life --- */

void reload_open(struct site *site)
{
    site_now = site;
}

void reload_close(struct site *site)
{
    (void)site;
    site_now = NULL;
}

void reload_begin(struct site *site)
{
    struct running *running = &site->running;
    site->is_cut = false;
    *running = (struct running){
        .loop = site->loop, .config = site->config, .agent = site->agent, .machine = site->machine};
    timer_init(&running->retry, running->loop, retry_fired);
    timer_init(&running->reload, running->loop, run_reload_fired);
}

/* The next life reads the file as it stands. */
void reload_end(struct site *site)
{
    struct running *running = &site->running;
    running->agent = NULL;
    agent_keep_close(running->keep);
    reload_before_close(running->before);
    if (running->newer && !site->next) {
        site->next = running->newer;
    } else {
        config_close(running->newer);
    }
    if (site->next) {
        config_close(site->config);
        site->config = site->next;
        site->next = NULL;
    }
    if (running->carry) {
        ledger_unsaved_is_lost(&site->ledger);
        carry_close(running->carry);
    }
    timer_release(&running->retry);
    timer_release(&running->reload);
    *running = (struct running){.config = site->config};
    site->is_cut = false;
}

/* --- now --- */

static bool has_text(struct slice json, const char *text)
{
    return memmem(json.data, json.size, text, strlen(text)) != NULL;
}

static void answered(void *peer, struct slice json)
{
    struct site *site = peer;
    bool is_done = has_text(json, "\"reloaded\":true");
    bool is_failed = has_text(json, "\"error\"");
    sim_trace("reloaded: %.*s", (int)(json.size < 200 ? json.size : 200), (const char *)json.data);
    SIM_EXPECT(is_done || is_failed || has_text(json, "\"reloaded\":false"));
    SIM_EXPECT(!is_done || site->settings.mistake == 0);
    site->happened[HAPPENS_SCHEMA_RELOADED] += has_text(json, "\"accepted\"");
    site->happened[HAPPENS_RELOAD_REFUSED] += has_text(json, "\"refused\"");
    site->happened[site->is_anew ? HAPPENS_RELOAD_ANEW : HAPPENS_RELOAD_IN_PLACE] += is_done;
    site->happened[HAPPENS_RELOAD_OWED] += has_text(json, "still to be delivered");
    site->happened[HAPPENS_RELOAD_MISTAKES] += !is_done && site->settings.mistake > 0;
    site->happened[HAPPENS_RELOAD_FAILED] += is_failed;
    site->happened[HAPPENS_RELOAD_IN_STOP] += has_text(json, "is stopping");
}

void reload_now(struct site *site)
{
    if (site->running.newer || site->is_cut || !site->running.loop) {
        return;
    }
    site->is_anew = false;
    site_config_change(site);
    run_reload(&site->running, answered, site);
}
