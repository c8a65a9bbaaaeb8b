SUMMARY = "Edge ingestion agent"
DESCRIPTION = "Collects events from the devices of a site, keeps each one safely in SQLite, and delivers them over a thin, \
metered or broken link to Kafka, Kinesis, Pub/Sub, object stores or files."
HOMEPAGE = "https://weir.example.org/"
SECTION = "net"
# weir and mbedTLS, curl, nghttp2, Paho.
LICENSE = "Apache-2.0 & curl & MIT & (EPL-2.0 | BSD-3-Clause)"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
    file://ports/THIRD_PARTY;md5=fe8e94ca6a0669131b0f146b63cf9025"

PV = "0.1.0+git"
WEIR_URI ?= "git://${WEIR_TREE};protocol=file;usehead=1"
SRCREV ?= "${AUTOREV}"

# What the distribution's libraries can't be used for (README.md of the layer): built as ports/static builds it, from the same sources.
SRC_URI = "${WEIR_URI};name=weir;destsuffix=weir \
    https://github.com/Mbed-TLS/mbedtls/releases/download/mbedtls-3.6.6/mbedtls-3.6.6.tar.bz2;name=mbedtls;unpack=0 \
    https://curl.se/download/curl-8.14.1.tar.gz;name=curl;unpack=0 \
    https://github.com/nghttp2/nghttp2/archive/refs/tags/v1.64.0.tar.gz;downloadfilename=nghttp2-1.64.0.tar.gz;name=nghttp2;unpack=0 \
    https://github.com/eclipse-paho/paho.mqtt.c/archive/refs/tags/v1.3.16.tar.gz;downloadfilename=paho.mqtt.c-1.3.16.tar.gz;name=paho;unpack=0 \
"
SRCREV_FORMAT = "weir"
SRCREV_weir = "${SRCREV}"
SRC_URI[mbedtls.sha256sum] = "8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a"
SRC_URI[curl.sha256sum] = "6766ada7101d292b42b8b15681120acd68effa4a9660935853cf6d61f0d984d4"
SRC_URI[nghttp2.sha256sum] = "b452dc69a1fcbc9375389b8b154175d8b7b125cdd713fc426774c2b79a1ebd77"
SRC_URI[paho.sha256sum] = "59869db34853933b239f1e2219cf7d431da006aa919635478511fabbfc8849d2"

WEIR_TARBALLS = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
S = "${WEIR_TARBALLS}/weir"

DEPENDS = "cjson libmicrohttpd sqlite3 zlib zstd"
RDEPENDS:${PN} += "ca-certificates"
RRECOMMENDS:${PN} += "tzdata-core"

inherit cmake pkgconfig systemd update-rc.d useradd

WEIR_SYSTEM_LIBRARIES = "zlib;zstd;cjson;sqlite;microhttpd"
EXTRA_OECMAKE = "\
    -DCMAKE_BUILD_TYPE=MinSizeRel \
    -DWEIR_TESTS=OFF \
    -DWEIR_PREFIX=${B}/prefix \
    '-DWEIR_SYSTEM_LIBRARIES=${WEIR_SYSTEM_LIBRARIES}' \
    -DWEIR_UNITS=${@d.getVar('systemd_system_unitdir') if bb.utils.contains('DISTRO_FEATURES', 'systemd', True, False, d) else ''} \
"

do_configure:prepend() {
    cmake -G Ninja -S ${S}/ports/static/deps -B ${B}/libraries -DCMAKE_TOOLCHAIN_FILE=${WORKDIR}/toolchain.cmake \
        -DWEIR_TRIPLE=${HOST_SYS} -DWEIR_HOST=ON -DWEIR_LTO=OFF -DWEIR_MODBUS=OFF '-DWEIR_SYSTEM_LIBRARIES=${WEIR_SYSTEM_LIBRARIES}' \
        -DSOURCES=${WEIR_TARBALLS} -DPREFIX=${B}/prefix
    cmake --build ${B}/libraries
}

do_install:append() {
    install -d -m 0750 ${D}${sysconfdir}/weir
    install -m 0640 ${S}/ports/buildroot/package/weir/weir.json ${D}${sysconfdir}/weir/weir.json
    chgrp -R weir ${D}${sysconfdir}/weir
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${S}/ports/buildroot/package/weir/S99weir ${D}${sysconfdir}/init.d/weir
    fi
}

CONFFILES:${PN} = "${sysconfdir}/weir/weir.json"

SYSTEMD_SERVICE:${PN} = "weir.service"
FILES:${PN} += "${systemd_system_unitdir}"

INITSCRIPT_NAME = "weir"
INITSCRIPT_PARAMS = "defaults 95 05"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system weir"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir ${localstatedir}/lib/weir --shell /bin/false --gid weir weir"
