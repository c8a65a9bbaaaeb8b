/* TLS settings: files, trust, versions. */
#include "ports/tls.h"

#include <assert.h>
#include <errno.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>
#include <psa/crypto.h>
#include <unistd.h>

#include "ports/file.h"
#include "ports/lib/tls_impl.h"
#include "ports/random.h"

#define TLS_PEM_SIZE_MAX (2 * 1024 * 1024) /* a system's bundle has 200-300 KiB */

/* No path is compiled in: a static binary must find the bundle of the system it lands on. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, OpenWrt, Buildroot, Alpine */
    "/etc/ssl/cert.pem",                                 /* Alpine, OpenWrt */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL without the link */
};

static int tls_random(void *context, unsigned char *data, size_t size)
{
    (void)context;
    random_bytes(data, size);
    return 0;
}

static void tls_file_free(struct slice *file)
{
    if (file->data) {
        uint8_t *data = (uint8_t *)(uintptr_t)file->data; /* ours since file_read() */
        mbedtls_platform_zeroize(data, file->size);
        free(data);
    }
    *file = (struct slice){NULL, 0};
}

static enum err tls_load_certificates(mbedtls_x509_crt *chain, const char *path, struct why *why)
{
    struct slice pem = {NULL, 0};
    enum err e = file_read(path, TLS_PEM_SIZE_MAX, &pem, why);
    if (e) {
        return e;
    }
    /* A positive result counts the certificates that could not be used: a bundle may have kinds
     * that are built out here. One that can is enough. */
    int code = mbedtls_x509_crt_parse(chain, pem.data, pem.size + 1);
    tls_file_free(&pem);
    if (code == MBEDTLS_ERR_X509_ALLOC_FAILED) {
        why_set(why, "no memory for the certificates in %s", path);
        return ERR_NOMEM;
    }
    if (code < 0 || chain->version == 0) {
        why_set(why, "%s holds no certificate in PEM form that can be read (mbedTLS -0x%04x)", path,
                code < 0 ? (unsigned)-code : 0U);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err tls_load_trusted(struct tls *tls, const struct tls_options *options,
                                 struct why *why)
{
    const char *path = tls->side == TLS_SERVER ? options->client_ca : options->ca;
    tls->member = tls->side == TLS_SERVER ? "client_ca" : "ca";
    if (path) {
        return tls_load_certificates(&tls->trusted, path, why);
    }
    if (tls->side == TLS_SERVER || options->insecure) {
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(bundles); i++) {
        if (access(bundles[i], R_OK) == 0) {
            return tls_load_certificates(&tls->trusted, bundles[i], why);
        }
    }
    why_set(why,
            "this system has no bundle of certificate authorities (%s): install "
            "ca-certificates, or set tls.ca",
            bundles[0]);
    return ERR_CONFIG;
}

/* A handshake message has to fit one record here (RFC 8446, section 4.4.2: 3 bytes a certificate,
 * and 2 for its extensions; about 16 around). */
static enum err tls_check_chain(const mbedtls_x509_crt *chain, const char *path, struct why *why)
{
    size_t size = 16;
    for (const mbedtls_x509_crt *c = chain; c && c->raw.p; c = c->next) {
        size += c->raw.len + 5;
    }
    if (size > MBEDTLS_SSL_OUT_CONTENT_LEN) {
        why_set(why,
                "the chain in %s has %zu bytes, and TLS can send %d here: leave out the root, or "
                "use elliptic keys",
                path, size, MBEDTLS_SSL_OUT_CONTENT_LEN);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err tls_load_key(struct tls *tls, const struct tls_options *options, struct why *why)
{
    struct slice pem = {NULL, 0};
    enum err e = file_read_secret(options->key, TLS_PEM_SIZE_MAX, &pem, why);
    if (e) {
        return e;
    }
    int code = mbedtls_pk_parse_key(&tls->key, pem.data, pem.size + 1, NULL, 0, tls_random, NULL);
    tls_file_free(&pem);
    if (code == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || code == MBEDTLS_ERR_PK_PASSWORD_MISMATCH) {
        why_set(why,
                "the key in %s is encrypted: nobody is there to type its password; store it "
                "without (openssl pkey -in ... -out ...)",
                options->key);
        return ERR_CONFIG;
    }
    if (code) {
        why_set(why, "%s holds no private key in PEM form (mbedTLS -0x%04x)", options->key,
                (unsigned)-code);
        return ERR_CONFIG;
    }
    if (mbedtls_pk_check_pair(&tls->own.pk, &tls->key, tls_random, NULL)) {
        why_set(why, "the key in %s does not belong to the certificate in %s", options->key,
                options->certificate);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err tls_load_own(struct tls *tls, const struct tls_options *options, struct why *why)
{
    tls->member = options->certificate ? "key" : "certificate";
    if (!options->certificate && !options->key) {
        if (tls->side == TLS_SERVER) {
            why_set(why, "a TLS server needs tls.certificate and tls.key");
            return ERR_CONFIG;
        }
        return ERR_OK;
    }
    if (!options->certificate || !options->key) {
        why_set(why, "tls.certificate and tls.key belong together: %s is missing",
                options->key ? "tls.certificate" : "tls.key");
        return ERR_CONFIG;
    }
    tls->member = "certificate";
    enum err e = tls_load_certificates(&tls->own, options->certificate, why);
    if (!e) {
        e = tls_check_chain(&tls->own, options->certificate, why);
    }
    if (!e && tls->side == TLS_SERVER &&
        mbedtls_x509_crt_check_extended_key_usage(&tls->own, MBEDTLS_OID_SERVER_AUTH,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH))) {
        why_set(why,
                "the certificate in %s is not for servers (extended key usage): no client "
                "would accept it",
                options->certificate);
        e = ERR_CONFIG;
    }
    if (e) {
        return e;
    }
    tls->member = "key";
    return tls_load_key(tls, options, why);
}

/* What connections of ours and of libcurl have in common. */
static void tls_configure(struct tls *tls, mbedtls_ssl_config *config, int64_t version_min)
{
    mbedtls_ssl_conf_min_tls_version(config, version_min ? MBEDTLS_SSL_VERSION_TLS1_3
                                                         : MBEDTLS_SSL_VERSION_TLS1_2);
    if (tls->trusted.version) {
        mbedtls_ssl_conf_ca_chain(config, &tls->trusted, NULL);
    }
    bool verify = tls->side == TLS_SERVER ? tls->trusted.version != 0 : !tls->insecure;
    mbedtls_ssl_conf_authmode(config,
                              verify ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    if (tls->side == TLS_CLIENT) {
        mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
        mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
            config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    }
}

static enum err tls_setup(struct tls *tls, const struct tls_options *options, struct why *why)
{
    int code = mbedtls_ssl_config_defaults(
        &tls->config, tls->side == TLS_SERVER ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (!code) {
        mbedtls_ssl_conf_rng(&tls->config, tls_random, NULL);
        tls_configure(tls, &tls->config, options->version_min);
    }
    if (!code && tls->own.version) {
        code = mbedtls_ssl_conf_own_cert(&tls->config, &tls->own, &tls->key);
    }
    if (!code && tls->side == TLS_SERVER) {
        code = mbedtls_ssl_ticket_setup(&tls->tickets, tls_random, NULL, MBEDTLS_CIPHER_AES_256_GCM,
                                        TLS_TICKET_LIFETIME_S);
    }
    if (code) {
        return tls_code_text(code, false, why);
    }
    if (tls->side == TLS_SERVER) {
        mbedtls_ssl_conf_session_tickets_cb(&tls->config, mbedtls_ssl_ticket_write,
                                            mbedtls_ssl_ticket_parse, &tls->tickets);
    }
    return ERR_OK;
}

static enum err tls_make(struct tls **ret, const struct tls_options *options, enum tls_side side,
                         const char **ret_member, struct why *why)
{
    assert(options);
    *ret_member = "certificate";
    if (psa_crypto_init() != PSA_SUCCESS) {
        why_set(why, "the cryptographic library does not start");
        return ERR_NOMEM;
    }
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        why_set(why, "no memory for TLS");
        return ERR_NOMEM;
    }
    tls->side = side;
    tls->insecure = options->insecure;
    mbedtls_ssl_config_init(&tls->config);
    mbedtls_x509_crt_init(&tls->trusted);
    mbedtls_x509_crt_init(&tls->own);
    mbedtls_pk_init(&tls->key);
    mbedtls_ssl_ticket_init(&tls->tickets);
    enum err e = ERR_NOMEM;
    if (options->server_name) {
        tls->server_name = strdup(options->server_name);
        if (!tls->server_name) {
            why_set(why, "no memory for TLS");
            goto fail;
        }
    }
    e = tls_load_trusted(tls, options, why);
    if (!e) {
        e = tls_load_own(tls, options, why);
    }
    if (!e) {
        e = tls_setup(tls, options, why);
    }
    if (e) {
        goto fail;
    }
    *ret = tls;
    return ERR_OK;

fail:
    *ret_member = tls->member ? tls->member : *ret_member;
    tls_close(tls);
    return e;
}

enum err tls_open(struct tls **ret, const struct tls_options *options, enum tls_side side,
                  struct why *why)
{
    const char *member; /* the text names its file */
    return tls_make(ret, options, side, &member, why);
}

enum err tls_check(const struct tls_options *options, enum tls_side side, const char **ret_member,
                   struct why *why)
{
    struct tls *tls = NULL;
    const char *member;
    enum err e = tls_make(&tls, options, side, &member, why);
    if (e) {
        *ret_member = member;
    }
    tls_close(tls);
    return e;
}

void tls_close(struct tls *tls)
{
    if (!tls) {
        return;
    }
    tls_kept_release(tls);
    mbedtls_ssl_ticket_free(&tls->tickets);
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_pk_free(&tls->key);
    mbedtls_x509_crt_free(&tls->own);
    mbedtls_x509_crt_free(&tls->trusted);
    free(tls->server_name);
    free(tls);
}

void tls_apply(struct tls *tls, void *ssl_config)
{
    assert(tls->side == TLS_CLIENT);
    mbedtls_ssl_config *config = ssl_config;
    bool only_13 = tls->config.MBEDTLS_PRIVATE(min_tls_version) == MBEDTLS_SSL_VERSION_TLS1_3;
    tls_configure(tls, config, only_13);
    mbedtls_ssl_conf_verify(config, tls_verify, &tls->problem);
    if (tls->own.version) {
        /* Without memory the server will ask for the certificate, and say so. */
        (void)mbedtls_ssl_conf_own_cert(config, &tls->own, &tls->key);
    }
}

int64_t tls_applied_end_s(const struct tls *tls)
{
    return tls->problem.end_us / 1000000;
}

int64_t tls_own_end_s(const struct tls *tls)
{
    int64_t end_us = 0;
    for (const mbedtls_x509_crt *c = &tls->own; c && c->raw.p; c = c->next) {
        int64_t one_us = tls_time_us(&c->valid_to);
        end_us = !end_us || one_us < end_us ? one_us : end_us;
    }
    return end_us / 1000000;
}

bool tls_problem_take(struct tls *tls, struct why *why)
{
    bool has_problem = tls->problem.flags != 0;
    if (has_problem) {
        tls_problem_text(&tls->problem, tls->server_name, why);
    }
    memset(&tls->problem, 0, sizeof tls->problem);
    return has_problem;
}

enum err tls_handshake_text(const struct tls *tls, int code, struct why *why)
{
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        why_set(why, "the server refused the TLS connection: %s",
                tls->own.version ? "it may not accept our certificate"
                                 : "it may want a client certificate (tls.certificate, tls.key)");
        return ERR_AUTH;
    }
    return tls_code_text(code, true, why);
}
