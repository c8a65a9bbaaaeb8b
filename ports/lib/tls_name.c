/* The name that a certificate gives its owner. */
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>

#include "ports/file.h"
#include "ports/tls.h"

#define PEM_SIZE_MAX (256 * 1024)

static struct slice common_name(const mbedtls_x509_crt *certificate)
{
    for (const mbedtls_x509_name *name = &certificate->subject; name; name = name->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0) {
            return (struct slice){name->val.p, name->val.len};
        }
    }
    return (struct slice){NULL, 0};
}

enum err tls_common_name(const char *path, struct out *ret, struct why *why)
{
    struct slice pem = {NULL, 0};
    enum err e = file_read(path, PEM_SIZE_MAX, &pem, why);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    mbedtls_x509_crt chain;
    mbedtls_x509_crt_init(&chain);
    int code = mbedtls_x509_crt_parse(&chain, pem.data, pem.size + 1);
    free((void *)(uintptr_t)pem.data);
    struct slice name =
        code < 0 || chain.version == 0 ? (struct slice){NULL, 0} : common_name(&chain);
    if (code == MBEDTLS_ERR_X509_ALLOC_FAILED) {
        e = ERR_NOMEM;
        why_set(why, "no memory for the certificate in %s", path);
    } else if (name.size == 0 || !slice_is_utf8(name) || memchr(name.data, 0, name.size)) {
        e = ERR_CONFIG;
        why_set(why, "%s holds no certificate in PEM form with a common name (CN)", path);
    } else {
        out_put_slice(ret, name);
    }
    mbedtls_x509_crt_free(&chain);
    return e;
}
