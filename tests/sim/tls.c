/* Simulated connections carry plain bytes: settings are accepted as they are, no file is read. */
#include "ports/tls.h"

#include <stdlib.h>

struct tls {
    enum tls_side side;
};

enum err tls_open(struct tls **ret, const struct tls_options *options, enum tls_side side,
                  struct why *why)
{
    (void)options;
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        why_set(why, "no memory for TLS");
        return ERR_NOMEM;
    }
    tls->side = side;
    *ret = tls;
    return ERR_OK;
}

enum err tls_check(const struct tls_options *options, enum tls_side side, const char **ret_member,
                   struct why *why)
{
    (void)options;
    (void)side;
    (void)ret_member;
    (void)why;
    return ERR_OK;
}

int64_t tls_own_end_s(const struct tls *tls)
{
    (void)tls;
    return 0;
}

void tls_close(struct tls *tls)
{
    free(tls);
}

void tls_kept_watch(struct tls *tls, void (*changed)(void *context), void *context)
{
    (void)tls;
    (void)changed;
    (void)context;
}

void tls_kept_save(const struct tls *tls, struct out *o)
{
    (void)tls;
    (void)o;
}

void tls_kept_load(struct tls *tls, struct slice saved)
{
    (void)tls;
    (void)saved;
}
