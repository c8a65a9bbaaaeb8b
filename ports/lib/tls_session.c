/* One TLS connection. */
#include "ports/lib/tls_session.h"

#include <arpa/inet.h>
#include <assert.h>
#include <mbedtls/x509_crt.h>

#include "ports/lib/tls_impl.h"

/* The header of a context-specific IA5String or OCTET STRING in a SubjectAltName: iPAddress is
 * choice 7 (RFC 5280, section 4.2.1.6). */
#define SAN_IP_ADDRESS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

struct tls_session {
    struct tls *tls;
    mbedtls_ssl_context ssl;
    struct tls_transport transport;
    enum err transport_error; /* OK: none */
    struct tls_problem problem;
    char name[TLS_NAME_SIZE_MAX]; /* client: the name to verify */
    uint16_t port;
    uint8_t address[16]; /* the name, when it is an address */
    size_t address_size; /* 0: it is a name */
    size_t unsent;       /* bytes of the record that mbedTLS holds because the socket was full */
    bool wants_write;
    bool is_open; /* handshake done */
    bool is_full; /* certificates were exchanged: nothing was resumed */
    bool offered; /* a kept session was offered */
    bool notified;
    bool has_received; /* bytes of the application */
};

static int session_send(void *context, const unsigned char *data, size_t size)
{
    struct tls_session *session = context;
    size_t sent = 0;
    enum err e =
        session->transport.send(session->transport.context, (struct slice){data, size}, &sent);
    if (e == ERR_AGAIN) {
        session->wants_write = true;
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    if (e) {
        session->transport_error = e;
        return MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return (int)sent;
}

static int session_receive(void *context, unsigned char *data, size_t size)
{
    struct tls_session *session = context;
    size_t got = 0;
    enum err e = session->transport.receive(session->transport.context, data, size, &got);
    if (e == ERR_AGAIN) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    if (e) {
        session->transport_error = e;
        return MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return (int)got;
}

static bool certificate_has_address(const mbedtls_x509_crt *certificate, const uint8_t *address,
                                    size_t size)
{
    const mbedtls_x509_sequence *name = &certificate->subject_alt_names;
    for (; name; name = name->next) {
        if (name->buf.tag == SAN_IP_ADDRESS && name->buf.len == size &&
            memcmp(name->buf.p, address, size) == 0) {
            return true;
        }
    }
    return false;
}

/* mbedTLS verifies a name only together with sending it as SNI, and RFC 6066, section 3, forbids
 * addresses there (Java servers end the connection for an IPv6 one): addresses are compared
 * here. */
static int session_verify(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct tls_session *session = context;
    if (depth == 0 && session->address_size &&
        !certificate_has_address(certificate, session->address, session->address_size)) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    return tls_verify(&session->problem, certificate, depth, flags);
}

static enum err session_setup_client(struct tls_session *session, const char *name, uint16_t port)
{
    if (session->tls->server_name) {
        name = session->tls->server_name;
    }
    if (strlen(name) >= sizeof session->name) {
        return ERR_CONFIG;
    }
    snprintf(session->name, sizeof session->name, "%s", name);
    session->port = port;
    if (inet_pton(AF_INET, name, session->address) == 1) {
        session->address_size = 4;
    } else if (inet_pton(AF_INET6, name, session->address) == 1) {
        session->address_size = 16;
    }
    if (mbedtls_ssl_set_hostname(&session->ssl, session->address_size ? NULL : session->name)) {
        return ERR_NOMEM;
    }
    const mbedtls_ssl_session *kept = tls_kept_find(session->tls, session->name, port);
    /* One that has ended, or does not fit, is not offered: the handshake is a full one. */
    session->offered = kept && mbedtls_ssl_set_session(&session->ssl, kept) == 0;
    return ERR_OK;
}

enum err tls_session_open(struct tls_session **ret, struct tls *tls, const char *name,
                          uint16_t port, const struct tls_transport *transport)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (!session) {
        return ERR_NOMEM;
    }
    session->tls = tls;
    session->transport = *transport;
    mbedtls_ssl_init(&session->ssl);
    enum err e = ERR_NOMEM;
    if (mbedtls_ssl_setup(&session->ssl, &tls->config)) {
        goto fail;
    }
    mbedtls_ssl_set_bio(&session->ssl, session, session_send, session_receive, NULL);
    mbedtls_ssl_set_verify(&session->ssl, session_verify, session);
    if (tls->side == TLS_CLIENT) {
        e = session_setup_client(session, name ? name : "", port);
        if (e) {
            goto fail;
        }
    }
    *ret = session;
    return ERR_OK;

fail:
    tls_session_close(session);
    return e;
}

void tls_session_close(struct tls_session *session)
{
    if (session) {
        mbedtls_ssl_free(&session->ssl);
        free(session);
    }
}

/* What a return code other than success means for the caller. */
static enum err session_result(struct tls_session *session, int code, struct why *why)
{
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) {
        session->wants_write = code == MBEDTLS_ERR_SSL_WANT_WRITE;
        return ERR_AGAIN;
    }
    if (session->transport_error) {
        why_set(why, "%s", "");
        return session->transport_error;
    }
    if (!session->is_open && session->offered) {
        tls_kept_drop(session->tls, session->name, session->port);
    }
    if (code == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE &&
        mbedtls_ssl_get_version_number(&session->ssl) == MBEDTLS_SSL_VERSION_TLS1_2) {
        /* mbedTLS tells the client nothing (RFC 5246, section 7.4.6: handshake_failure). Whether it
         * can be sent makes no difference here. */
        (void)mbedtls_ssl_send_alert_message(&session->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
    }
    if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || session->problem.flags) {
        tls_problem_text(&session->problem, session->name, why);
        return ERR_AUTH;
    }
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        /* The alert's number is in the record just read (RFC 8446, section 6). */
        return tls_alert_text(session->ssl.MBEDTLS_PRIVATE(in_msg)[1], session->tls->side, why);
    }
    if (code == MBEDTLS_ERR_SSL_INVALID_MAC && !session->has_received) {
        /* mbedTLS as the peer, with TLS 1.3: its alerts of that moment are under the wrong keys. */
        why_set(why, "the %s broke off the TLS handshake without a reason that can be read: %s",
                session->tls->side == TLS_CLIENT ? "server" : "client",
                session->tls->side == TLS_CLIENT
                    ? "it may want a client certificate, or not accept the one shown"
                    : "it may not accept our certificate");
        return ERR_AUTH;
    }
    return tls_code_text(code, !session->is_open, why);
}

enum err tls_session_handshake(struct tls_session *session, struct why *why)
{
    mbedtls_ssl_context *ssl = &session->ssl;
    /* Until all is over: a server's tickets of TLS 1.3 come after its own part is done. */
    while (ssl->MBEDTLS_PRIVATE(state) != MBEDTLS_SSL_HANDSHAKE_OVER) {
        if (ssl->MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE) {
            session->is_full = true;
        }
        session->wants_write = false;
        int code = mbedtls_ssl_handshake_step(ssl);
        if (code) {
            return session_result(session, code, why);
        }
    }
    session->is_open = true;
    session->wants_write = false;
    if (session->tls->side == TLS_CLIENT) {
        tls_kept_put(session->tls, session->name, session->port, ssl);
    }
    return ERR_OK;
}

enum err tls_session_read(struct tls_session *session, uint8_t *data, size_t size, size_t *ret_size,
                          struct why *why)
{
    assert(session->is_open && size > 0);
    for (;;) {
        int code = mbedtls_ssl_read(&session->ssl, data, size);
        if (code > 0) {
            session->has_received = true;
            *ret_size = (size_t)code;
            return ERR_OK;
        }
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            tls_kept_put(session->tls, session->name, session->port, &session->ssl);
            continue;
        }
        return session_result(session, code ? code : MBEDTLS_ERR_SSL_CONN_EOF, why);
    }
}

enum err tls_session_flush(struct tls_session *session, struct why *why)
{
    /* mbedTLS holds the record: called again with the same size it hands on what is left of it and
     * does not look at the data. */
    static const uint8_t nothing[1] = {0};
    while (session->unsent) {
        session->wants_write = false;
        if (session->ssl.MBEDTLS_PRIVATE(out_left) == 0) {
            session->unsent = 0; /* it went out in front of something else */
            break;
        }
        int code = mbedtls_ssl_write(&session->ssl, nothing, session->unsent);
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            tls_kept_put(session->tls, session->name, session->port, &session->ssl);
            continue;
        }
        if (code < 0) {
            return session_result(session, code, why);
        }
        session->unsent = 0;
    }
    return ERR_OK;
}

enum err tls_session_write(struct tls_session *session, struct slice data, size_t *ret_size,
                           struct why *why)
{
    assert(session->is_open);
    *ret_size = 0;
    enum err e = tls_session_flush(session, why);
    if (e || !data.size) {
        return e == ERR_AGAIN ? ERR_OK : e;
    }
    int record_max = mbedtls_ssl_get_max_out_record_payload(&session->ssl);
    if (record_max <= 0) {
        return session_result(session, record_max, why);
    }
    size_t size = data.size < (size_t)record_max ? data.size : (size_t)record_max;
    int code;
    do {
        session->wants_write = false;
        code = mbedtls_ssl_write(&session->ssl, data.data, size);
        if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            tls_kept_put(session->tls, session->name, session->port, &session->ssl);
        }
    } while (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);
    if (code == MBEDTLS_ERR_SSL_WANT_WRITE) {
        session->unsent = size; /* encrypted and taken, though not on its way yet */
    } else if (code == MBEDTLS_ERR_SSL_WANT_READ) {
        return ERR_OK; /* in the middle of a ticket: nothing was taken */
    } else if (code < 0) {
        return session_result(session, code, why);
    }
    *ret_size = size;
    return ERR_OK;
}

enum err tls_session_finish(struct tls_session *session, struct why *why)
{
    enum err e = tls_session_flush(session, why);
    if (e || session->notified || !session->is_open) {
        return e;
    }
    session->wants_write = false;
    int code = mbedtls_ssl_close_notify(&session->ssl);
    if (code) {
        return session_result(session, code, why);
    }
    session->notified = true;
    return ERR_OK;
}

bool tls_session_wants_write(const struct tls_session *session)
{
    return session->wants_write;
}

int64_t tls_session_peer_end_s(const struct tls_session *session)
{
    return session->problem.end_us / 1000000;
}

bool tls_session_has_input(const struct tls_session *session)
{
    return mbedtls_ssl_check_pending(&session->ssl) != 0;
}

size_t tls_session_unsent(const struct tls_session *session)
{
    return session->unsent;
}

bool tls_session_is_resumed(const struct tls_session *session)
{
    return session->is_open && !session->is_full;
}
