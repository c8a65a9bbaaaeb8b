"""A build with few parts, and without the HTTP client: it has what it is to have, and whoever asks it for something else is told that this build has
it not, rather than what else may be wrong.

usage: parts_test.py [FOLDER]     where it is built (build/few)"""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from checks import check, failures      # noqa: E402

FEW = ("DRIVER_HTTP", "UPLINK_KAFKA", "COMMAND_SCHEMA")
folder = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(ROOT, "build/few")
weir = os.path.join(folder, "weir")
work = tempfile.mkdtemp(prefix="weir-parts.")


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def built():
    options = subprocess.run([os.path.join(ROOT, "ports/static/few"), *FEW], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    code, said = run("cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Debug", "-DWEIR_WERROR=OFF", "-DWEIR_TESTS=OFF", *options)
    check("it is configured", code == 0, said)
    code, said = run("ninja", "-C", folder, "weir")
    if not check("it is built", code == 0, said[-4000:]):
        sys.exit(1)
    # Of a library that the linker looks at it takes what is asked for: Paho's archive is among them, and nothing of it in the program.
    names = {words[-1] for words in (line.split() for line in run("nm", weir)[1].splitlines()) if words}
    there = {prefix for prefix in ("sqlite3_", "mbedtls_", "curl_", "nghttp2_", "MQTTAsync_") if any(name.startswith(prefix) for name in names)}
    check("libraries that no part needs are not linked", there == {"sqlite3_", "mbedtls_"}, str(there))
    # Uplinks over HTTP want it.
    code, said = run("cmake", "-S", ROOT, "-B", os.path.join(work, "refused"), "-G", "Ninja", "-DWEIR_TESTS=OFF", *options, "-DWEIR_UPLINK_S3=ON")
    check("an uplink over HTTP without the client is refused", code != 0 and "WEIR_UPLINK_S3 needs WEIR_HTTP_CLIENT" in said, said)


def commands():
    for words in (["schema", "register"], ["schema", "register", "--config", "/nowhere.json", "--dry-run"]):
        code, said = run(weir, *words)
        check(f"{' '.join(words)}: without the client, as bad usage", code == 2 and said == "weir schema register: needs the HTTP client, and this build was made without it\n",
              f"{code} {said}")
    for word in ("buffer", "aside", "avro", "columns", "plan"):
        code, said = run(weir, word, "--help")
        check(f"{word} is not in it", code == 2 and said == f'weir: this build was made without the command "{word}"\n', f"{code} {said}")
    code, said = run(weir, "--help")
    check("its help names what it has", code == 0 and "weir schema check" in said and "weir plan" not in said and "weir buffer" not in said, said)
    code, said = run(weir, "config", "reference")
    check("its reference too", code == 0 and "kafka" in said and "mqtt" not in said.lower(), said[:2000])


def configuration(kafka=None, drivers=None, uplinks=None):
    path = os.path.join(work, "weir.json")
    with open(path, "w") as f:
        json.dump({"agent": {"id": "few"}, "buffer": {"path": os.path.join(work, "buffer.db")}, "streams": {"events": {}},
                   "drivers": drivers or {"post": {"type": "http", "listen": "127.0.0.1:0", "stream": "events"}},
                   "uplinks": uplinks or {"up": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "events", **(kafka or {})}}}, f)
    return path


def configurations():
    code, said = run(weir, "check", configuration())
    check("what it has all parts for has no mistakes", code == 0, said)
    glue = {"region": "eu-west-1"}
    for what, kafka, text in (
            ("a registry", {"registry": {"url": "http://127.0.0.1:1"}}, "`registry` needs the HTTP client, and this build was made without it"),
            ("glue", {"glue": glue}, "`glue` needs the HTTP client, and this build was made without it"),
            ("framing by a registry", {"framing": "registry"}, 'framing: "registry" needs the HTTP client, and this build was made without it'),
            ("tokens", {"tls": {}, "sasl": {"mechanism": "OAUTHBEARER", "oauth": {"url": "https://127.0.0.1:1/token", "client_id": "a", "client_secret": "b"}}},
             "this login needs the HTTP client, and this build was made without it"),
            ("IAM's login", {"tls": {}, "sasl": {"mechanism": "AWS_MSK_IAM"}}, "this login needs the HTTP client, and this build was made without it")):
        code, said = run(weir, "check", configuration(kafka))
        check(f"{what}: the build is named", code == 1 and text in said, f"{code} {said}")
    code, said = run(weir, "check", configuration(drivers={"in": {"type": "mqtt", "broker": "127.0.0.1", "topics": ["#"], "stream": "events"}}))
    check("a driver that it has not", code == 1 and 'this weir was built without "mqtt"; it has http: install a build with it' in said, f"{code} {said}")
    code, said = run(weir, "check", configuration(uplinks={"up": {"type": "s3", "bucket": "b", "region": "eu-west-1"}}))
    check("an uplink that it has not", code == 1 and 'this weir was built without "s3"; it has kafka: install a build with it' in said, f"{code} {said}")


def online():
    """Nobody is there; what is said about the clock must not send anybody for a registry."""
    code, said = run(weir, "check", "--online", configuration())
    clock = [line for line in said.splitlines() if "clock" in line and "brokers don't say theirs" in line]
    check("the clock's line", code == 1 and len(clock) == 1 and "registry" not in clock[0], f"{code} {said}")


built()
commands()
configurations()
online()
if failures:
    sys.exit(f"{len(failures)} failed: " + "; ".join(failures))
subprocess.run(["rm", "-rf", work], check=True)
print(json.dumps({"parts": FEW, "bytes": os.path.getsize(weir)}))
