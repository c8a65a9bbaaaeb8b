"""weir schema register, against AWS Glue's schema registry (moto, which checks signatures and rights): what it prints, what is there afterwards as AWS's SDK
sees it, and its exit codes. For schemas that go to Kafka and to Kinesis; neither is running.

usage: schema_register_glue_test.py WEIR"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "services"))
import services                     # noqa: E402
services.need("aws_schema_registry", "glue")
import boto3                        # noqa: E402
from program import check, finish, free_port, path_of, run, write  # noqa: E402

FIELDS = [{"name": "n", "type": "long"}, {"name": "unit", "type": "string", "default": ""}]


def record(fields):
    return {"type": "record", "name": "Meter", "namespace": "plant", "fields": fields}


def start(url, credentials, registry="plant"):
    glue = {"url": url, "region": "us-east-1", "registry": registry, "credentials": {"access_key_id": credentials[0], "secret_access_key": credentials[1]}}
    uplinks = {"cloud": {"type": "kafka", "brokers": ["127.0.0.1:9"], "topic": "plant.{stream}", "glue": glue},
               "packed": {"type": "kafka", "brokers": ["127.0.0.1:9"], "layout": "columns", "glue": {**glue, "schema_name": "record"}},
               "stream": {"type": "kinesis", "region": "us-east-1", "stream": "arn:aws:kinesis:us-east-1:123456789012:stream/k-{stream}",
                          "credentials": glue["credentials"], "glue": {"url": url, "registry": registry}}}
    write("weir.json", json.dumps({"buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB"}, "streams": {"meters": {"schema": "m.avsc"}},
                                   "drivers": {"in": {"type": "http", "listen": f"127.0.0.1:{free_port()}", "stream": "meters"}}, "uplinks": uplinks}))


def expect(code, words, *texts, out=()):
    r = run("schema", "register", "--config", path_of("weir.json"), *words)
    name = "register " + " ".join(words)
    check(f"{name}: exit code {code}", r.returncode == code, (r.returncode, r.stdout, r.stderr))
    for text in texts:
        check(f"{name}: complains {text!r}", text in r.stderr, r.stderr)
    for text in out:
        check(f"{name}: prints {text!r}", text in r.stdout, r.stdout)
    return r


def versions(client, name):
    try:
        return client.get_schema(SchemaId={"RegistryName": "plant", "SchemaName": name})["LatestSchemaVersion"]
    except client.exceptions.EntityNotFoundException:
        return 0


def id_of(client, name, version):
    return client.get_schema_version(SchemaId={"RegistryName": "plant", "SchemaName": name}, SchemaVersionNumber={"VersionNumber": version})["SchemaVersionId"]


def test_register(client):
    meters = ["--uplink", "cloud", "meters"]
    expect(0, ["--dry-run", *meters], out=["stream meters, uplink cloud: subject plant.meters: would be registered, as its first version\n"])
    check("nothing was registered", versions(client, "plant.meters") == 0)
    r = expect(0, meters)
    first = id_of(client, "plant.meters", 1)
    check("what was registered", r.stdout == f"stream meters, uplink cloud: subject plant.meters, version 1, id {first}: registered\n", r.stdout)
    expect(0, meters, out=[f"subject plant.meters, version 1, id {first}: it was there\n"])
    write("m.avsc", json.dumps(record([*FIELDS, {"name": "value", "type": ["null", "double"], "default": None}])))
    expect(0, ["--dry-run", *meters], out=["would be registered: it is compatible with the versions that are there"])
    check("nothing more was registered", versions(client, "plant.meters") == 1)
    answer = json.loads(expect(0, ["--json", *meters]).stdout)
    check("as JSON", answer == {"stream": "meters", "uplink": "cloud", "subject": "plant.meters", "result": "registered", "version": 2,
                                "id": id_of(client, "plant.meters", 2)}, answer)
    write("m.avsc", json.dumps(record([{"name": "n", "type": "string"}])))
    for words in (meters, ["--dry-run", *meters]):
        expect(1, words, "stream meters, uplink cloud: the schema is incompatible with version 2 of plant.meters in Glue: ")
    answer = json.loads(expect(1, ["--json", *meters]).stdout)
    check("incompatible, as JSON", answer["result"] == "incompatible" and "version 2" in answer["text"], answer)
    check("a try that fails leaves nothing behind", versions(client, "plant.meters") == 2)
    write("m.avsc", json.dumps(record(FIELDS)))


def test_all(client):
    r = expect(0, ["--json"])
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    got = [(line["uplink"], line["subject"], line["result"]) for line in lines]
    check("all streams of all uplinks", got == [
        ("cloud", "plant.meters", "there"), ("cloud", "plant.weir.events", "registered"),
        ("packed", "plant.Meter", "registered"), ("packed", "weir.Event", "registered"), ("packed", "weir.columns.Batch", "registered"),
        ("stream", "k-meters", "registered"), ("stream", "k-weir.events", "registered")], got)
    for line in lines:
        check(f"{line['subject']}: its id", line["id"] == id_of(client, line["subject"], line["version"]), line)


def test_refusals(moto):
    start(moto.url, moto.credentials("denied"))
    r = expect(1, ["--uplink", "cloud", "meters"], "the credentials are refused: check them, their rights")
    check("no secret is told", moto.credentials("denied")[1] not in r.stdout + r.stderr)
    key, secret = moto.credentials()
    start(moto.url, (key, secret[::-1]))
    expect(1, ["--uplink", "stream", "meters"], "the credentials are refused")
    start(moto.url, (key, secret), "nowhere")
    expect(3, ["meters"], "stream meters, uplink cloud: Glue's registry nowhere, schema plant.meters: there is no such registry: make it, or set glue.registry",
           "stream meters, uplink stream: Glue's registry nowhere, schema k-meters: there is no such registry")
    start(f"http://127.0.0.1:{free_port()}", (key, secret))
    expect(3, ["--uplink", "cloud"], "stream meters, uplink cloud: no answer from Glue at", "stream weir.events, uplink cloud: not asked about")


def main():
    moto = services.Fake("moto.sh", path_of("moto"))
    moto.start("auth")
    key, secret = moto.credentials()
    client = boto3.client("glue", region_name="us-east-1", endpoint_url=moto.url, aws_access_key_id=key, aws_secret_access_key=secret)
    try:
        write("m.avsc", json.dumps(record(FIELDS)))
        client.create_registry(RegistryName="plant")
        start(moto.url, (key, secret))
        test_register(client)
        test_all(client)
        test_refusals(moto)
    finally:
        moto.stop()
    finish()


main()
