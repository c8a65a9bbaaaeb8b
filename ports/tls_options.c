/* The "tls" object in the configuration, for both sides. Apart from tls.c, so that checking a
 * configuration and the reference page need no TLS library. */
#include "ports/tls.h"

static const char *const version_words[] = {"1.2", "1.3", NULL};

static const char ca_help[] =
    "PEM file with the certificate authorities that are trusted; without it the system's bundle.";
static const char certificate_help[] =
    "PEM file with the own certificate, then its chain without the root.";
static const char key_help[] =
    "PEM file with the private key of the certificate; refused when others may read it.";
static const char version_help[] = "The oldest TLS version that is accepted.";

#define TLS_ROW(member, ...) \
    { \
        .name = #member, .offset = offsetof(struct tls_options, member), __VA_ARGS__ \
    }

const struct option tls_client_table[] = {
    TLS_ROW(ca, .kind = OPTION_PATH, .flags = OPTION_FILE_EXISTS, .help = ca_help),
    TLS_ROW(certificate, .kind = OPTION_PATH, .flags = OPTION_FILE_EXISTS,
            .help = certificate_help),
    TLS_ROW(key, .kind = OPTION_PATH, .flags = OPTION_FILE_EXISTS, .help = key_help),
    TLS_ROW(server_name, .kind = OPTION_TEXT, .min = 1, .max = 255,
            .help = "The name that the server's certificate must bear, where it is not the name "
                    "of the host."),
    TLS_ROW(version_min, .kind = OPTION_CHOICE, .initial = "1.2", .words = version_words,
            .help = version_help),
    TLS_ROW(insecure, .kind = OPTION_BOOL, .initial = "false",
            .help = "Accept any certificate: whoever is in between reads and changes everything."),
    {.name = NULL},
};

const struct option tls_server_table[] = {
    TLS_ROW(certificate, .kind = OPTION_PATH, .flags = OPTION_REQUIRED | OPTION_FILE_EXISTS,
            .help = certificate_help),
    TLS_ROW(key, .kind = OPTION_PATH, .flags = OPTION_REQUIRED | OPTION_FILE_EXISTS,
            .help = key_help),
    TLS_ROW(client_ca, .kind = OPTION_PATH, .flags = OPTION_FILE_EXISTS,
            .help = "PEM file: clients must show a certificate of one of these authorities; "
                    "without it clients need none."),
    TLS_ROW(version_min, .kind = OPTION_CHOICE, .initial = "1.2", .words = version_words,
            .help = version_help),
    {.name = NULL},
};
