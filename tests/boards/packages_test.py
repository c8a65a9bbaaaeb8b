"""The packages for OpenWrt, Buildroot and Yocto, as far as they can be looked at without their SDKs: GNU make reads the first two with doubles of
the files they include, each field is compared with what the project says elsewhere, and what CMake installs is laid out.

usage: packages_test.py WEIR [BUILD]     WEIR_LONG=1: libraries and program are also built as an SDK would, in BUILD/sdk"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from checks import check, failures      # noqa: E402

weir = os.path.abspath(sys.argv[1])
build = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else os.path.dirname(weir)
BUNDLED = ("mbedtls", "curl", "nghttp2", "paho")
SYSTEM = ("zlib", "zstd", "cjson", "sqlite", "microhttpd")
work = tempfile.mkdtemp(prefix="weir-packages.")


def read(*names):
    with open(os.path.join(ROOT, *names)) as f:
        return f.read()


def sources():
    """File and checksum, and the URL, of each bundled library: its first line in sources.txt."""
    found = {}
    for line in read("ports/static/sources.txt").splitlines():
        words = line.split()
        if words and words[0] in BUNDLED and words[0] not in found:
            found[words[0]] = (words[2], words[3], words[4])
    check("sources.txt has what is bundled", len(found) == len(BUNDLED), str(found))
    return found


def version():
    return re.search(r"project\(weir VERSION ([0-9.]+)", read("CMakeLists.txt")).group(1)


def make(text, folder, *words, **environment):
    """What a makefile of ours says when GNU make reads it behind a makefile of doubles."""
    path = os.path.join(work, "makefile")
    with open(path, "w") as f:
        f.write(text)
    done = subprocess.run(["make", "-s", "-C", folder, "-f", path, "--warn-undefined-variables", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env={**os.environ, **environment})
    check(f"make reads {folder}", done.returncode == 0, done.stderr)
    undefined = sorted(set(re.findall(r"undefined variable '([^']+)'", done.stderr)))
    check(f"{folder} uses what is defined", not undefined, str(undefined))
    return done.stdout


RULES = """
ARCH:=mips
TARGET_CFLAGS:=-Os -pipe
EXTRA_CFLAGS:=
TARGET_LDFLAGS:=-L/staging/lib
DL_DIR:=/dl
BUILD_DIR?=/build
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
"""
# What cmake.mk makes of the compiler's name and of the folders.
CMAKE_MK = """
CMAKE_C_COMPILER:=/toolchain/bin/mips-openwrt-linux-musl-gcc
CMAKE_AR:=/toolchain/bin/mips-openwrt-linux-musl-gcc-ar
CMAKE_RANLIB:=/toolchain/bin/mips-openwrt-linux-musl-gcc-ranlib
CMAKE_FIND_ROOT_PATH:=/staging/usr;/toolchain
"""
PACKAGE_MK = """
PKG_BUILD_DIR:=$(BUILD_DIR)/$(PKG_NAME)-$(PKG_VERSION)
PKG_INSTALL_DIR:=$(BUILD_DIR)/ipkg-install
CMAKE_OPTIONS:=
URL_FILE:=
define Build/Configure/Default
cmake $(CMAKE_OPTIONS) $(PKG_BUILD_DIR)
endef
define Download
$(eval $(Download/$(1)))$(info download $(URL)/$(or $(URL_FILE),$(FILE)) $(FILE) $(HASH))$(eval URL_FILE:=)
endef
define show
$(info $(1): $(subst $(newline),|,$($(1))))
endef
define newline


endef
define BuildPackage
$(eval $(Package/$(1)))$(foreach v,SECTION CATEGORY TITLE URL USERID DEPENDS,$(info $(v): $($(v))))
$(foreach v,PKG_NAME PKG_VERSION PKG_LICENSE PKG_LICENSE_FILES PKG_RELEASE PKG_MAINTAINER CMAKE_OPTIONS Package/weir/description Package/weir/conffiles Build/Prepare Build/Configure,$(call show,$(v)))
$(eval $(Steps))
endef
# The steps are rules made of the package's texts when the makefile is read; the folder is made anew by the first.
define Steps
configure: $(PKG_BUILD_DIR)/.configured
$(PKG_BUILD_DIR)/.prepared:
	rm -rf $(PKG_BUILD_DIR)
	mkdir -p $(PKG_BUILD_DIR)
	$(Build/Prepare)
	touch $$@
$(PKG_BUILD_DIR)/.configured: $(PKG_BUILD_DIR)/.prepared
	$(Build/Configure)
	touch $$@
endef
all:
install:
	$(call Package/weir/install,$(TO))
"""
# The steps of a package whose site is local, and what a download leaves behind.
BUILDROOT = """
define sep


endef
define DOWNLOAD
	mkdir -p $($(2)_DL_DIR)
	test $(PKG) = $(2)
	grep -q " $(notdir $(1))$$" package/weir/weir.hash
	touch $($(2)_DL_DIR)/$(notdir $(1))
endef
define cmake-package
weir-source:
weir-configure: $$(WEIR_DIR)/configured
weir-legal-info: $$(WEIR_DIR)/rsynced
$$(WEIR_DIR)/configured $$(WEIR_DIR)/rsynced weir-legal-info: PKG=WEIR
$$(WEIR_DIR)/configured: | $$(WEIR_DIR)/rsynced
	$$(foreach hook,$$(WEIR_PRE_CONFIGURE_HOOKS),$$(call $$(hook))$$(sep))
	touch $$@
$$(WEIR_DIR)/rsynced:
	$$(foreach hook,$$(WEIR_POST_RSYNC_HOOKS),$$(call $$(hook))$$(sep))
	touch $$@
weir-legal-info:
	$$(foreach hook,$$(WEIR_POST_LEGAL_INFO_HOOKS),$$(call $$(hook))$$(sep))
endef
WEIR_PRE_CONFIGURE_HOOKS:=
WEIR_POST_RSYNC_HOOKS:=
WEIR_POST_INSTALL_TARGET_HOOKS:=
WEIR_POST_LEGAL_INFO_HOOKS:=
include external.mk
"""
# What is called instead of CMake: its words are written down, and what a toolchain file sets.
CMAKE = """#!/bin/sh
echo "cmake $*" >>"$SAID"
for word in "$@"; do
  case $word in -DCMAKE_TOOLCHAIN_FILE=*) cp "${word#*=}" "$SAID.toolchain" || exit 1 ;; esac
done
"""


def openwrt(known):
    doubles = os.path.join(work, "openwrt")
    os.makedirs(os.path.join(doubles, "include"))
    for name, text in (("rules.mk", RULES), ("include/package.mk", PACKAGE_MK), ("include/cmake.mk", CMAKE_MK)):
        with open(os.path.join(doubles, name), "w") as f:
            f.write(text)
    environment = {"TOPDIR": doubles, "INCLUDE_DIR": os.path.join(doubles, "include")}
    folder = os.path.join(ROOT, "ports/openwrt/weir")
    said = make("include Makefile\n", folder, "TO=", **environment)
    fields = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    check("OpenWrt: version", fields["PKG_VERSION"] == version(), fields["PKG_VERSION"])
    check("OpenWrt: the package's fields", all(fields.get(name, "").strip() for name in ("SECTION", "CATEGORY", "TITLE", "URL", "USERID", "PKG_LICENSE", "PKG_MAINTAINER")), said)
    check("OpenWrt: its licences' texts", fields["PKG_LICENSE_FILES"].split() == ["LICENSE", "ports/THIRD_PARTY"], said)
    check("OpenWrt: its libraries", {"+zlib", "+libzstd", "+cJSON", "+libsqlite3", "+libmicrohttpd"} <= set(fields["DEPENDS"].split()), fields["DEPENDS"])
    check("OpenWrt: conffiles", fields["Package/weir/conffiles"] == "/etc/weir/weir.json", fields["Package/weir/conffiles"])
    for library, (file, digest, url) in known.items():
        check(f"OpenWrt: {library} is fetched as sources.txt says", f"download {url} {file} {digest}" in said, said)
    check("OpenWrt: the prefix is one", "-DWEIR_PREFIX=/build/weir-" + version() + "/prefix" in fields["CMAKE_OPTIONS"] and
          "-DPREFIX=/build/weir-" + version() + "/prefix" in fields["Build/Configure"], said)
    openwrt_steps(folder, environment)
    # What it installs, from a program and files that are there.
    to = os.path.join(work, "openwrt-root")
    staged = os.path.join(work, "staged", "usr/bin")
    os.makedirs(staged)
    shutil.copy(weir, staged)
    make("include Makefile\n", folder, "install", f"TO={to}", f"PKG_INSTALL_DIR={work}/staged", **environment)
    modes = {os.path.relpath(os.path.join(at, name), to): os.stat(os.path.join(at, name)).st_mode & 0o777 for at, _, names in os.walk(to) for name in names}
    check("OpenWrt: what is installed", modes == {"usr/bin/weir": 0o755, "etc/init.d/weir": 0o755, "lib/upgrade/keep.d/weir": 0o644, "etc/weir/weir.json": 0o600}, str(modes))


def openwrt_steps(folder, environment):
    """Prepared and configured by rules, in a build folder that isn't there yet, twice: the second time it is there from before."""
    tree, tools, said = (os.path.join(work, name) for name in ("openwrt-tree", "openwrt-tools", "openwrt-said"))
    for path in (tree, tools):
        os.makedirs(path)
    for path, text in ((os.path.join(tree, "CMakeLists.txt"), "# a tree\n"), (os.path.join(tools, "cmake"), CMAKE)):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755)
    at = os.path.join(work, "openwrt-build")
    for _ in range(2):
        make("include Makefile\n", folder, "TO=", f"BUILD_DIR={at}", f"WEIR_SOURCE={tree}", "configure",
             **environment, PATH=f"{tools}:{os.environ['PATH']}", SAID=said)
        os.remove(os.path.join(at, f"weir-{version()}", ".prepared"))
    with open(said) as f:
        called = f.read().splitlines()
    check("OpenWrt: libraries, then the program, twice", [re.search(r"-S \S+/(\S+)|(--build)|(-DWEIR_TESTS)", line).lastindex for line in called] == [1, 2, 3] * 2, str(called))
    check("OpenWrt: the tree is copied", os.path.exists(os.path.join(at, f"weir-{version()}", "CMakeLists.txt")))
    script = os.path.join(work, "toolchain.cmake")
    with open(script, "w") as f:
        f.write(f"include({said}.toolchain)\n" + "".join(f'message("{name}=${{{name}}}")\n' for name in (
            "CMAKE_C_COMPILER", "CMAKE_C_FLAGS_INIT", "CMAKE_EXE_LINKER_FLAGS_INIT", "CMAKE_AR", "CMAKE_FIND_ROOT_PATH")))
    done = subprocess.run(["cmake", "-P", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("OpenWrt: the toolchain file says what the SDK's makefiles say", done.stdout.split("\n")[:-1] == [
        "CMAKE_C_COMPILER=/toolchain/bin/mips-openwrt-linux-musl-gcc", "CMAKE_C_FLAGS_INIT=-Os -pipe ", "CMAKE_EXE_LINKER_FLAGS_INIT=-L/staging/lib",
        "CMAKE_AR=/toolchain/bin/mips-openwrt-linux-musl-gcc-ar",
        "CMAKE_FIND_ROOT_PATH=/staging/usr;/toolchain"], done.stdout)


def buildroot(known):
    folder = os.path.join(ROOT, "ports/buildroot")
    text = "\n".join(["DOWNLOAD:=", "sep:=", "WEIR_REDIST_SOURCES_DIR:=", "TARGET_MAKE_ENV:=", "BR2_CMAKE:=cmake", "HOST_DIR:=/host", "GNU_TARGET_NAME:=arm-buildroot-linux-gnueabihf", "WEIR_DL_DIR:=/dl/weir",
                      "INSTALL:=install", "TARGET_DIR:=/target", "WEIR_PKGDIR:=package/weir", "D:=/build/weir", f"BR2_EXTERNAL_WEIR_PATH:={folder}",
                      "WEIR_PRE_CONFIGURE_HOOKS:=", "WEIR_POST_INSTALL_TARGET_HOOKS:=", "WEIR_POST_RSYNC_HOOKS:=", "WEIR_POST_LEGAL_INFO_HOOKS:=",
                      "cmake-package=", "all: show", "include external.mk", "show:",
                      *(f"\t$(info {name}: $({name}))" for name in ("WEIR_VERSION", "WEIR_SITE", "WEIR_LICENSE", "WEIR_LICENSE_FILES", "WEIR_DEPENDENCIES", "WEIR_EXTRA_DOWNLOADS", "WEIR_CONF_OPTS",
                                                                    "WEIR_PRE_CONFIGURE_HOOKS", "WEIR_POST_INSTALL_TARGET_HOOKS", "WEIR_SYSTEM_LIBRARIES")),
                      *(f"\t$(info {name}: $(strip $({name})))" for name in ("WEIR_USERS", "WEIR_PERMISSIONS", "WEIR_INSTALL_INIT_SYSV", "WEIR_BUILD_LIBRARIES")), "\t@:"])
    said = make(text + "\n", folder)
    fields = dict(line.split(": ", 1) for line in said.splitlines() if re.match(r"WEIR_\w+: ", line))
    check("Buildroot: version", fields["WEIR_VERSION"] == version(), said)
    check("Buildroot: the sources are this tree", os.path.realpath(fields["WEIR_SITE"]) == os.path.realpath(ROOT), fields["WEIR_SITE"])
    check("Buildroot: its libraries", set(fields["WEIR_DEPENDENCIES"].split()) == {"cjson", "libmicrohttpd", "sqlite", "zlib", "zstd"}, said)
    check("Buildroot: what CMake leaves to the system", set(fields["WEIR_SYSTEM_LIBRARIES"].split(";")) == set(SYSTEM), said)
    check("Buildroot: hooks and users", "WEIR_BUILD_LIBRARIES" in fields["WEIR_PRE_CONFIGURE_HOOKS"] and fields["WEIR_USERS"].startswith("weir -1 weir -1 *"), said)
    chosen = set(re.findall(r"^\tselect BR2_PACKAGE_(\w+)", read("ports/buildroot/package/weir/Config.in"), re.M))
    check("Buildroot: Config.in selects them", {"CJSON", "LIBMICROHTTPD", "SQLITE", "ZLIB", "ZSTD"} <= chosen, str(chosen))
    hashes = dict(reversed(line.split()[1:]) for line in read("ports/buildroot/package/weir/weir.hash").splitlines() if line.startswith("sha256"))
    downloads = {os.path.basename(url): url for url in fields["WEIR_EXTRA_DOWNLOADS"].split()}
    for library, (file, digest, _) in known.items():
        check(f"Buildroot: {library} is named, with its checksum", file in downloads and hashes.get(file) == digest, f"{file} {hashes}")
    check("Buildroot: the licence's checksum", hashes["LICENSE"] == hashlib.sha256(read("LICENSE").encode()).hexdigest())
    check("Buildroot: the notices' checksum", hashes["ports/THIRD_PARTY"] == hashlib.sha256(read("ports/THIRD_PARTY").encode()).hexdigest(), "made by ports/static/notices")
    check("Buildroot: its licences' texts", fields["WEIR_LICENSE_FILES"].split() == ["LICENSE", "ports/THIRD_PARTY"], said)
    check("Buildroot: nothing else has one", set(hashes) == {"LICENSE", "ports/THIRD_PARTY", *(file for file, _, _ in known.values())}, str(hashes))
    buildroot_steps(folder, known)


def files(*names):
    path = os.path.join(*names)
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def found(at):
    """What CMake has found where the tarballs should be."""
    path = os.path.join(at, "found")
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return f.read().split()


def buildroot_steps(folder, known):
    """Copied and configured as a package with a local site is: of its steps none downloads anything but by hooks."""
    for goal in ("weir-configure", "weir-source", "weir-legal-info"):
        at = os.path.join(work, goal)
        os.makedirs(os.path.join(at, "build"))
        tool = os.path.join(at, "cmake")
        with open(tool, "w") as f:          # CMake: what lies in SOURCES when it is called
            f.write('#!/bin/sh\nfor word in "$@"; do case $word in -DSOURCES=*) ls "${word#*=}" >"$(dirname "$0")/found" ;; esac; done\n')
        os.chmod(tool, 0o755)
        variables = {"BR2_CMAKE": tool, "HOST_DIR": "/host", "GNU_TARGET_NAME": "arm-linux", "WEIR_DL_DIR": f"{at}/dl", "WEIR_DIR": f"{at}/build",
                     "WEIR_REDIST_SOURCES_DIR": f"{at}/legal", "BR2_EXTERNAL_WEIR_PATH": folder, "TARGET_MAKE_ENV": ""}
        make("\n".join(f"{name}:={value}" for name, value in variables.items()) + BUILDROOT, folder, goal)
        wanted = sorted(file for file, _, _ in known.values())
        check(f"Buildroot: {goal} downloads what it names", files(at, "dl") == wanted, str(files(at, "dl")))
        if goal == "weir-configure":
            check("Buildroot: the libraries are built from it", found(at) == wanted, str(found(at)))
        if goal == "weir-legal-info":
            check("Buildroot: their sources are kept with the licences", files(at, "legal") == wanted, str(files(at, "legal")))


def yocto(known):
    recipe = read("ports/yocto/recipes-core/weir/weir_git.bb").replace("\\\n", "")
    fields = {name: value for name, value in re.findall(r'^([\w:${}\[\].-]+) *(?:\?|\+|:)?= *"([^"]*)"', recipe, re.M)}
    check("Yocto: version", fields["PV"].startswith(version()), fields["PV"])
    check("Yocto: the licences' checksums", fields["LIC_FILES_CHKSUM"].split() == [f"file://{name};md5={hashlib.md5(read(name).encode()).hexdigest()}"
                                                                                   for name in ("LICENSE", "ports/THIRD_PARTY")], fields["LIC_FILES_CHKSUM"])
    check("Yocto: its libraries", set(fields["DEPENDS"].split()) == {"cjson", "libmicrohttpd", "sqlite3", "zlib", "zstd"}, fields["DEPENDS"])
    check("Yocto: what CMake leaves to the system", set(fields["WEIR_SYSTEM_LIBRARIES"].split(";")) == set(SYSTEM))
    uris = {word.split(";")[0]: dict(part.split("=") for part in word.split(";")[1:]) for word in fields["SRC_URI"].split()}
    for library, (file, digest, url) in known.items():
        words = uris.get(url, {})
        check(f"Yocto: {library} is fetched as sources.txt says", words.get("name") == library and words.get("unpack") == "0" and
              words.get("downloadfilename", os.path.basename(url)) == file and fields.get(f"SRC_URI[{library}.sha256sum]") == digest, str(words))
    inherited = re.search(r"^inherit (.*)$", recipe, re.M).group(1).split()
    check("Yocto: classes", {"cmake", "systemd", "useradd", "update-rc.d"} <= set(inherited), str(inherited))
    for path in re.findall(r"\$\{S\}/(ports/\S+)", recipe):
        check(f"Yocto: {path} is there", os.path.exists(os.path.join(ROOT, path)))
    check("Yocto: each text ends", recipe.count('"') % 2 == 0)
    layer = read("ports/yocto/conf/layer.conf")
    check("Yocto: the layer has its fields", all(f"{name}_weir" in layer for name in ("BBFILE_PATTERN", "BBFILE_PRIORITY", "LAYERVERSION", "LAYERDEPENDS", "LAYERSERIES_COMPAT")))


def notices():
    """Each library that is linked has its notice, and each that is pinned has one or is known not to be linked."""
    script = os.path.join(ROOT, "ports/static/notices")

    def said(*words):
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    done = said(script, "--check")
    check("ports/THIRD_PARTY is what the tarballs say", done.returncode == 0, done.stdout)
    noticed = {line.split()[0] for line in said(script, "--archives").stdout.splitlines()}
    done = said("ninja", "-C", build, "-t", "query", "weir")
    linked = {os.path.basename(word) for word in done.stdout.split("outputs:")[0].split() if word.endswith(".a") and os.path.isabs(word)}
    check("the linker's input is known", {"libcurl.a", "libsqlite3.a", "libpaho-mqtt3a.a"} <= linked, done.stdout)
    check("what is linked has a notice", linked <= noticed, str(linked - noticed))
    check("what has a notice is linked", noticed <= linked, str(noticed - linked))
    # The same script beside a list with one library more, and beside one with another version.
    folder = os.path.join(work, "notices/ports/static")
    os.makedirs(folder)
    shutil.copy(script, folder)
    shutil.copy(os.path.join(ROOT, "ports/THIRD_PARTY"), os.path.dirname(folder))
    for what, text, word in (("a library without a notice", read("ports/static/sources.txt") + "newcomer 1.0 newcomer-1.0.tar.gz 00 https://example.org/\n", "no notice of newcomer"),
                             ("a notice of another version", read("ports/static/sources.txt").replace(" 8.14.1 ", " 8.14.2 "), "not the libraries of sources.txt")):
        with open(os.path.join(folder, "sources.txt"), "w") as f:
            f.write(text)
        done = said(os.path.join(folder, "notices"), "--check", os.path.join(ROOT, "build/deps/sources"))
        check(f"{what} is found", done.returncode != 0 and word in done.stdout, done.stdout)


def units():
    """Started again for ever, whatever the exit code: a file that comes later must not need a person."""
    for path in ("ports/debian/weir.service", "ports/debian/weir@.service"):
        said = dict(line.split("=", 1) for line in read(path).splitlines() if re.match(r"\w+=", line))
        check(f"{path}: started again for ever", said.get("Restart") == "always" and said.get("StartLimitIntervalSec") == "0", str(said))
        check(f"{path}: every 5 to 10 s", 5 <= int(said.get("RestartSec", "0")) <= 10, str(said))
        check(f"{path}: whatever its end", not {"RestartPreventExitStatus", "SuccessExitStatus", "StartLimitBurst"} & set(said), str(said))


def configurations():
    for path in ("ports/openwrt/weir/files/weir.json", "ports/buildroot/package/weir/weir.json", "ports/debian/weir.json"):
        done = subprocess.run([weir, "check", os.path.join(ROOT, path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(f"{path} has no mistakes", done.returncode == 0, done.stdout)


def install():
    """cmake --install with DESTDIR, as a packager calls it, from the tree that this test is of."""
    to = os.path.join(work, "installed")
    done = subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], env={**os.environ, "DESTDIR": to}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("cmake --install", done.returncode == 0, done.stdout)
    for path in ("usr/bin/weir", "usr/lib/systemd/system/weir.service", "usr/lib/systemd/system/weir@.service", "usr/share/man/man1/weir.1",
                 "usr/share/man/man5/weir.json.5", "usr/share/bash-completion/completions/weir", "usr/share/doc/weir/LICENSE", "usr/share/doc/weir/THIRD_PARTY", "usr/share/doc/weir/REFERENCE.md",
                 "usr/share/doc/weir/examples/weir.json"):
        check(f"/{path} is installed", os.path.exists(os.path.join(to, path)), done.stdout)
    wanted = 1 + os.path.exists(os.path.join(to, "usr"))
    check("nothing is beside /usr", len(os.listdir(to)) == wanted - 1, str(os.listdir(to)))


def sdk():
    """As an SDK does it: its libraries below a root of its own, to which the toolchain file restricts CMake; the rest from the pinned sources."""
    folder, prefix = os.path.join(build, "sdk"), os.path.join(ROOT, "build/prefix")
    shutil.rmtree(folder, ignore_errors=True)
    staging = os.path.join(folder, "staging/usr")
    for part in ("include", "lib"):
        os.makedirs(os.path.join(staging, part))
    for name in ("include/zlib.h", "include/zconf.h", "include/zstd.h", "include/zstd_errors.h", "include/cjson", "include/sqlite3.h", "include/microhttpd.h",
                 "lib/libz.a", "lib/libzstd.a", "lib/libcjson.a", "lib/libsqlite3.a", "lib/libmicrohttpd.a"):
        (shutil.copytree if name == "include/cjson" else shutil.copy)(os.path.join(prefix, name), os.path.join(staging, name))
    toolchain = os.path.join(folder, "toolchain.cmake")
    with open(toolchain, "w") as f:
        f.write(f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR {os.uname().machine})\nset(CMAKE_C_COMPILER cc)\nset(CMAKE_FIND_ROOT_PATH {folder}/staging)\n"
                "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)\nset(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)\nset(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)\n"
                "set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)\n")
    system = "-DWEIR_SYSTEM_LIBRARIES=" + ";".join(SYSTEM)

    def cmake(what, *words, **more):
        done = subprocess.run(["cmake", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        check(what, done.returncode == 0, done.stdout[-3000:])
        return done.stdout

    cmake("the libraries are configured", "-G", "Ninja", "-S", os.path.join(ROOT, "ports/static/deps"), "-B", f"{folder}/libraries", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
          "-DWEIR_HOST=ON", "-DWEIR_LTO=OFF", "-DWEIR_MODBUS=OFF", system, f"-DSOURCES={ROOT}/build/deps/sources", f"-DPREFIX={folder}/prefix")
    targets = cmake("their targets", "--build", f"{folder}/libraries", "--target", "help")
    check("what the system has is not built", not re.search(r"CMakeFiles/(zlib|zstd|cjson|sqlite|libmicrohttpd|libmodbus):", targets), targets)
    check("the rest is", all(f"CMakeFiles/{name}:" in targets for name in BUNDLED), targets)
    if os.environ.get("WEIR_LONG") == "1":
        cmake("the libraries are built", "--build", f"{folder}/libraries")
    said = cmake("weir is configured", "-G", "Ninja", "-S", ROOT, "-B", f"{folder}/weir", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DCMAKE_INSTALL_PREFIX=/usr",
                 "-DCMAKE_BUILD_TYPE=MinSizeRel", "-DWEIR_TESTS=OFF", "-DWEIR_UNITS=", f"-DWEIR_PREFIX={folder}/prefix", system)
    for name in SYSTEM:
        check(f"{name} is found below the SDK's root", re.search(f"weir_{name}: {re.escape(folder)}/staging/usr/lib/", said), said)
    if os.environ.get("WEIR_LONG") == "1":
        cmake("weir is built", "--build", f"{folder}/weir", "--target", "weir")
        cmake("weir is installed", "--install", f"{folder}/weir", env={**os.environ, "DESTDIR": f"{folder}/root"})
        check("it is the program alone, and its papers", sorted(os.listdir(f"{folder}/root/usr")) == ["bin", "share"], str(os.listdir(f"{folder}/root/usr")))
        done = subprocess.run(["python3", os.path.join(ROOT, "tests/boards/at_work.py"), f"{folder}/root/usr/bin/weir"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check("it is at work", done.returncode == 0, done.stdout[-3000:])
    # One that is too old is refused by name.
    with open(os.path.join(staging, "include/microhttpd.h")) as f:
        text = f.read()
    with open(os.path.join(staging, "include/microhttpd.h"), "w") as f:
        f.write(re.sub(r"(#define MHD_VERSION) 0x\w+", r"\1 0x00097500", text))
    done = subprocess.run(["cmake", "-S", ROOT, "-B", f"{folder}/weir"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("a library that is too old is refused", done.returncode != 0 and "microhttpd 0.9.78 or later" in " ".join(done.stdout.split()), done.stdout)
    shutil.rmtree(folder)


def main():
    subprocess.run([os.path.join(ROOT, "ports/static/packages"), "make"], check=True)
    known = sources()
    openwrt(known)
    buildroot(known)
    yocto(known)
    notices()
    units()
    configurations()
    install()
    sdk()
    if failures:
        sys.exit(f"{len(failures)} failed: " + "; ".join(failures))
    shutil.rmtree(work)
    print(json.dumps({"packages": "openwrt buildroot yocto", "bundled": sorted(known), "system": SYSTEM}))


main()
