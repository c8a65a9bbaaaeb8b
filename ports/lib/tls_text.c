/* What went wrong with TLS, in words that an operator can act upon. */
#include <mbedtls/x509_crt.h>
#include <stdio.h>

#include "ports/clock.h"
#include "ports/lib/tls_impl.h"

int64_t tls_time_us(const mbedtls_x509_time *t)
{
    if (t->mon < 1 || t->mon > 12 || t->day < 1 || t->day > 31) {
        return 0;
    }
    int64_t days = clock_days(t->year, (unsigned)t->mon, (unsigned)t->day);
    return ((days * 24 + t->hour) * 3600 + t->min * 60 + t->sec) * 1000000;
}

int tls_verify(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    (void)depth;
    struct tls_problem *problem = context;
    int64_t end_us = tls_time_us(&certificate->valid_to);
    if (end_us && (!problem->end_us || end_us < problem->end_us)) {
        problem->end_us = end_us;
    }
    /* From the root down: the last certificate with a fault of its own is the one nearest to the
     * peer, and the one that its operator can do something about. */
    if (*flags) {
        problem->flags |= *flags;
        if (mbedtls_x509_dn_gets(problem->subject, sizeof problem->subject, &certificate->subject) <
            0) {
            problem->subject[0] = 0;
        }
        if (mbedtls_x509_dn_gets(problem->issuer, sizeof problem->issuer, &certificate->issuer) <
            0) {
            problem->issuer[0] = 0;
        }
        problem->from_us = tls_time_us(&certificate->valid_from);
        problem->to_us = tls_time_us(&certificate->valid_to);
    }
    return 0;
}

void tls_problem_text(const struct tls_problem *problem, const char *name, struct why *why)
{
    char now[CLOCK_TEXT_SIZE];
    char date[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_us(), 0, now);
    uint32_t flags = problem->flags;
    if (flags & MBEDTLS_X509_BADCERT_FUTURE) {
        clock_format(problem->from_us, 0, date);
        why_set(why,
                "the certificate of %s is not valid before %s, and the clock here says %s: is the "
                "clock right?",
                problem->subject, date, now);
    } else if (flags & MBEDTLS_X509_BADCERT_EXPIRED) {
        clock_format(problem->to_us, 0, date);
        why_set(why, "the certificate of %s expired on %s (the clock here says %s)",
                problem->subject, date, now);
    } else if (flags & MBEDTLS_X509_BADCERT_REVOKED) {
        why_set(why, "the certificate of %s is revoked", problem->subject);
    } else if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) {
        why_set(why,
                "the certificate of %s was issued by %s, which is no authority that is trusted "
                "here: set tls.ca to the PEM file of the right one",
                problem->subject, problem->issuer);
    } else if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) {
        why_set(why,
                "the certificate of %s is not for the name %s: correct the address, or set "
                "tls.server_name to the name it is for",
                problem->subject, name ? name : "that was asked for");
    } else if (flags & (MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_KEY_USAGE)) {
        why_set(why, "the certificate of %s may not be used for this side of TLS (key usage)",
                problem->subject);
    } else if (flags & (MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_BAD_MD |
                        MBEDTLS_X509_BADCERT_BAD_PK)) {
        why_set(why, "the certificate of %s has a key or signature too weak to be accepted",
                problem->subject);
    } else {
        why_set(why, "the certificate of %s can't be verified (flags 0x%x)", problem->subject,
                (unsigned)flags);
    }
}

/* RFC 8446, section 6: the alerts whose meaning helps; the others are named by their number. */
static const struct {
    unsigned number;
    const char *text;
} alerts[] = {
    {MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE,
     "no common settings, or it wants a certificate that was not shown"},
    {MBEDTLS_SSL_ALERT_MSG_BAD_CERT,
     "our certificate is damaged, or it wants one and got none: see tls.certificate"},
    {MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT, "it can't use our kind of certificate"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED, "our certificate is revoked"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, "our certificate has expired, by its clock"},
    {MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN, "it does not accept our certificate"},
    {MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA, "it does not know the authority of our certificate"},
    {MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED, "our certificate has no access"},
    {MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION, "it does not speak our TLS versions"},
    {MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY, "it wants stronger ciphers"},
    {MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR, "an error within the peer"},
    {MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME, "it has no service of that name"},
    {MBEDTLS_SSL_ALERT_MSG_NO_CERT,
     "it wants a client certificate: set tls.certificate and tls.key"},
    {116, "it wants a client certificate: set tls.certificate and tls.key"},
};

enum err tls_alert_text(unsigned alert, enum tls_side side, struct why *why)
{
    const char *peer = side == TLS_CLIENT ? "server" : "client";
    const char *text = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(alerts); i++) {
        if (alerts[i].number == alert) {
            text = alerts[i].text;
        }
    }
    if (text) {
        why_set(why, "the %s refused the TLS connection: %s (alert %u)", peer, text, alert);
    } else {
        why_set(why, "the %s refused the TLS connection (alert %u)", peer, alert);
    }
    /* An error within the peer may be gone at the next try; the rest needs a person. */
    return alert == MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR ? ERR_CLOSED : ERR_AUTH;
}

enum err tls_code_text(int code, bool in_handshake, struct why *why)
{
    switch (code) {
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        why_set(why, "the peer ended the connection");
        return ERR_CLOSED;
    case MBEDTLS_ERR_SSL_CONN_EOF:
        why_set(why, in_handshake ? "the peer closed the connection during the TLS handshake: is "
                                    "TLS spoken on that port?"
                                  : "the peer closed the connection without ending TLS");
        return ERR_CLOSED;
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        why_set(why, "the client showed no certificate, and one is required");
        return ERR_AUTH;
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
        why_set(why, "the peer does not speak a TLS version that is accepted here");
        return ERR_AUTH;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
        why_set(why, "no cipher, curve or signature is common to both sides");
        return ERR_AUTH;
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
    case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
        why_set(why, in_handshake ? "what the peer sends is not TLS: is TLS spoken on that port?"
                                  : "what the peer sends is not TLS any more");
        return ERR_IO;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
        why_set(why, "bytes of the TLS connection were changed on the way");
        return ERR_IO;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED:
    case MBEDTLS_ERR_PK_ALLOC_FAILED:
        why_set(why, "no memory for TLS");
        return ERR_NOMEM;
    default:
        why_set(why, "TLS failed (mbedTLS -0x%04x)", (unsigned)-code);
        return ERR_IO;
    }
}
