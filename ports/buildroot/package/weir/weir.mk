################################################################################
#
# weir
#
################################################################################

WEIR_VERSION = 0.1.0
# The tree that this external tree lies in.
WEIR_SITE = $(realpath $(BR2_EXTERNAL_WEIR_PATH)/../..)
WEIR_SITE_METHOD = local
WEIR_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude /build
WEIR_LICENSE = \
	Apache-2.0 (weir, mbedtls), \
	curl (curl), \
	MIT (nghttp2), \
	EPL-2.0 or BSD-3-Clause (paho)
WEIR_LICENSE_FILES = LICENSE ports/THIRD_PARTY
WEIR_DEPENDENCIES = cjson libmicrohttpd sqlite zlib zstd

# What Buildroot's libraries can't be used for (see README.md): built as
# ports/static builds it, from the same sources; weir.hash has their checksums.
WEIR_EXTRA_DOWNLOADS = \
	https://github.com/Mbed-TLS/mbedtls/releases/download/mbedtls-3.6.6/mbedtls-3.6.6.tar.bz2 \
	https://curl.se/download/curl-8.14.1.tar.gz \
	https://github.com/nghttp2/nghttp2/archive/v1.64.0/nghttp2-1.64.0.tar.gz \
	https://github.com/eclipse-paho/paho.mqtt.c/archive/v1.3.16/paho.mqtt.c-1.3.16.tar.gz
WEIR_SYSTEM_LIBRARIES = zlib;zstd;cjson;sqlite;microhttpd

# A local site is copied, and nothing of it is downloaded: so the copy is
# followed by what it needs, checked against weir.hash as any download.
define WEIR_DOWNLOAD_LIBRARIES
	$(foreach u,$(WEIR_EXTRA_DOWNLOADS),$(call DOWNLOAD,$(u),WEIR)$(sep))
endef
WEIR_POST_RSYNC_HOOKS += WEIR_DOWNLOAD_LIBRARIES

# Nor are sources of a local site kept with the licences: these are.
define WEIR_KEEP_LIBRARIES
	mkdir -p $(WEIR_REDIST_SOURCES_DIR)
	cp $(addprefix $(WEIR_DL_DIR)/,$(notdir $(WEIR_EXTRA_DOWNLOADS))) $(WEIR_REDIST_SOURCES_DIR)/
endef
WEIR_POST_LEGAL_INFO_HOOKS += WEIR_KEEP_LIBRARIES

define WEIR_BUILD_LIBRARIES
	$(TARGET_MAKE_ENV) $(BR2_CMAKE) -S $(@D)/ports/static/deps -B $(@D)/libraries \
		-DCMAKE_TOOLCHAIN_FILE="$(HOST_DIR)/share/buildroot/toolchainfile.cmake" \
		-DWEIR_TRIPLE=$(GNU_TARGET_NAME) -DWEIR_HOST=ON -DWEIR_LTO=OFF -DWEIR_MODBUS=OFF \
		"-DWEIR_SYSTEM_LIBRARIES=$(WEIR_SYSTEM_LIBRARIES)" \
		-DSOURCES=$(WEIR_DL_DIR) -DPREFIX=$(@D)/prefix
	$(TARGET_MAKE_ENV) $(BR2_CMAKE) --build $(@D)/libraries
endef
WEIR_PRE_CONFIGURE_HOOKS += WEIR_BUILD_LIBRARIES

WEIR_CONF_OPTS = \
	-DCMAKE_BUILD_TYPE=MinSizeRel \
	-DWEIR_TESTS=OFF \
	-DWEIR_UNITS= \
	-DWEIR_PREFIX=$(@D)/prefix \
	"-DWEIR_SYSTEM_LIBRARIES=$(WEIR_SYSTEM_LIBRARIES)"

define WEIR_INSTALL_CONFIGURATION
	$(INSTALL) -D -m 0640 $(WEIR_PKGDIR)/weir.json $(TARGET_DIR)/etc/weir/weir.json
endef
WEIR_POST_INSTALL_TARGET_HOOKS += WEIR_INSTALL_CONFIGURATION

define WEIR_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(WEIR_PKGDIR)/S99weir $(TARGET_DIR)/etc/init.d/S99weir
endef

define WEIR_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/ports/debian/weir.service \
		$(TARGET_DIR)/usr/lib/systemd/system/weir.service
	$(INSTALL) -D -m 0644 $(@D)/ports/debian/weir@.service \
		$(TARGET_DIR)/usr/lib/systemd/system/weir@.service
endef

# Secrets lie beside the configuration: for its group only.
define WEIR_PERMISSIONS
	/etc/weir d 750 root weir - - - - -
	/etc/weir/weir.json f 640 root weir - - - - -
endef

define WEIR_USERS
	weir -1 weir -1 * /var/lib/weir - - weir, edge ingestion agent
endef

$(eval $(cmake-package))

# The tree is kept with the licences too; what was built in it is not.
weir-legal-info: RSYNC_VCS_EXCLUSIONS += --exclude /build

# `make source`, for a mirror or a build without a network.
.PHONY: weir-libraries-source
weir-libraries-source: PKG = WEIR
weir-libraries-source:
	$(WEIR_DOWNLOAD_LIBRARIES)
weir-source: weir-libraries-source
