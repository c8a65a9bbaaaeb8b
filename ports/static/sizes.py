#!/usr/bin/env python3
"""What each library and each folder of ours costs in the static binary, from the linker's map.

usage: ports/static/sizes.py MAP [--by library|file|folder]

The bytes are those of the sections that are in the file, before equal strings are merged: the sum is a little over the file's size.
"""
import collections, os, re, sys

LIBRARIES = [("libcurl", "curl"), ("nghttp2", "nghttp2"), ("libmbed", "mbedtls"), ("libeverest", "mbedtls"), ("libp256m", "mbedtls"),
             ("libsqlite3", "sqlite"), ("libzstd", "zstd"), ("libz.a", "zlib"), ("libcjson", "cjson"), ("libpaho", "paho"),
             ("libmodbus", "libmodbus"), ("libmicrohttpd", "libmicrohttpd"), ("libgcc", "libgcc"), ("libc.a", "musl"), ("crt", "musl")]
LOADED = re.compile(r"^\.(text|rodata|data|init|fini|ARM|eh_frame|got|tdata|gcc_except|relr|rela|rel)")
LINE = re.compile(r"^ (\S+)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$")


def owner(where, by):
    """The library, or for our own code the folder, or the object file."""
    if by == "file":
        return re.sub(r"^.*/(?=[^/]*\.a\()", "", where)
    ours = re.search(r"CMakeFiles/weir\.dir/|libweir_(\w+)\.a", where)
    if not ours:
        return next((name for key, name in LIBRARIES if key in where), "other")
    folder = re.match(r"(?:\./)?((?:\w+/)*)(?:libweir|CMakeFiles)", where)
    name = folder[1].rstrip("/") if folder else "agent"
    return f"weir {name}" if by == "folder" else "weir"


def read(path, by="folder"):
    total, name, started = collections.Counter(), "", False
    for line in open(path, errors="replace"):
        started = started or line.startswith("Linker script and memory map")
        if not started:
            continue
        if re.match(r"^ \S+\s*$", line):  # a long name of a section stands on a line of its own
            name = line.strip()
            continue
        found = LINE.match(line)
        section, name = (found and found[1]) or name, ""
        if found and section and int(found[2], 16) and LOADED.match(section):
            total[owner(found[4], by)] += int(found[3], 16)
    return total


if __name__ == "__main__":
    by = sys.argv[sys.argv.index("--by") + 1] if "--by" in sys.argv else "folder"
    sizes = read(sys.argv[1], by)
    for name, size in sizes.most_common():
        if size:
            print(f"{name:40} {size:9}")
    print(f"{'sum':40} {sum(sizes.values()):9}")
