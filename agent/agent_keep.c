/* What goes on from an agent to the next. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/control.h"
#include "ports/names.h"

enum err agent_keep_open(struct agent_keep **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? ERR_OK : ERR_NOMEM;
}

enum err agent_keep_listen(struct agent_keep *keep, struct agent *agent, const struct config *newer,
                           struct why *why)
{
    const char *path = newer->agent.socket;
    bool is_same = strcmp(agent->setup.config->agent.socket, path) == 0;
    return is_same || agent->setup.vfs ? ERR_OK
                                       : control_listen(&keep->next, agent->setup.loop, path, why);
}

void agent_keep_wait(struct agent_keep *keep)
{
    control_close(keep->control);
    control_close(keep->next);
    keep->control = keep->next = NULL;
}

void agent_keep_close(struct agent_keep *keep)
{
    if (keep) {
        intake_kept_close(&keep->drivers);
        agent_keep_wait(keep);
        names_close(keep->names);
        free(keep);
    }
}
