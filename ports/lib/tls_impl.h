/* What tls.c, tls_kept.c, tls_session.c and tls_text.c share: the wrapper of mbedTLS 3.6, and nobody else's. */
#ifndef WEIR_PORTS_LIB_TLS_IMPL_H
#define WEIR_PORTS_LIB_TLS_IMPL_H

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>

#include "ports/lib/tls_session.h"

#define TLS_NAME_SIZE_MAX 256
#define TLS_SESSION_KEPT_MAX 16 /* servers whose last session is kept for resumption */
#define TLS_TICKET_LIFETIME_S 86400

/* What the verification of a certificate found, while the certificate is at hand. */
struct tls_problem {
    uint32_t flags; /* MBEDTLS_X509_BADCERT_... of all certificates of the chain */
    char subject[128];
    char issuer[128];
    int64_t from_us;
    int64_t to_us;
    int64_t end_us; /* when the first certificate of the chain expires, good or not; 0: none */
};

struct tls_kept {
    char name[TLS_NAME_SIZE_MAX];
    uint16_t port;
    uint64_t used; /* higher: later */
    mbedtls_ssl_session session;
};

struct tls {
    enum tls_side side;
    bool insecure;
    mbedtls_ssl_config config;
    mbedtls_x509_crt trusted;
    mbedtls_x509_crt own;
    mbedtls_pk_context key;
    mbedtls_ssl_ticket_context tickets; /* server */
    struct tls_kept *kept[TLS_SESSION_KEPT_MAX];
    uint8_t *foreign; /* libcurl's sessions */
    size_t foreign_size;
    uint64_t kept_order;
    void (*kept_changed)(void *context); /* NULL: nobody wants to know */
    void *kept_context;
    struct tls_problem problem; /* of connections that libcurl makes */
    char *server_name;          /* instead of the host's; NULL: the host's */
    const char *member;         /* while loading: the option that is being looked at */
};

/* Records what is wrong with a certificate; `context` is the struct tls_problem. For
 * mbedtls_ssl_conf_verify() and mbedtls_ssl_set_verify(). */
int tls_verify(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags);

/* A time of a certificate; 0: it makes no sense. */
int64_t tls_time_us(const mbedtls_x509_time *t);

/* The session kept for a server, or NULL. */
const mbedtls_ssl_session *tls_kept_find(struct tls *tls, const char *name, uint16_t port);
/* Keeps the session's newest ticket or id. Without memory the next connection is a full one. */
void tls_kept_put(struct tls *tls, const char *name, uint16_t port, mbedtls_ssl_context *ssl);
void tls_kept_drop(struct tls *tls, const char *name, uint16_t port);
void tls_kept_release(struct tls *tls);

/* Sentences for an operator. */
void tls_problem_text(const struct tls_problem *problem, const char *name, struct why *why);
enum err tls_alert_text(unsigned alert, enum tls_side side, struct why *why);
/* What mbedTLS's return code means, apart from verification and alerts. */
enum err tls_code_text(int code, bool in_handshake, struct why *why);

#endif
