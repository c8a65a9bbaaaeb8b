"""weir check --online against stand-ins of the clouds, and a service of its own: for each uplink over HTTP what is right gives no complaint, and a wrong name,
wrong credentials, missing rights and a service that is not there each give their line. Nothing is made, changed or stored by asking.

usage: online_clouds_test.py WEIR"""
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from email.utils import formatdate

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import services                     # noqa: E402
services.need("azure.storage.blob", "cloud")
import boto3                        # noqa: E402
from azure.storage import blob      # noqa: E402
from datetime import datetime, timedelta, timezone  # noqa: E402
from program import check, finish, path_of, run, write  # noqa: E402

AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NOWHERE = "http://127.0.0.1:1"
SCHEMA = {"type": "record", "name": "Typed", "fields": [{"name": "n", "type": "long"}, {"name": "t", "type": "string"}]}
OLDER = {"type": "record", "name": "Typed", "fields": [{"name": "n", "type": "string"}]}
BARE = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {"HOME": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}


def online(uplink, **environment):
    """(exit code, {(level, option, what): text}) of an uplink with one stream."""
    write("typed.avsc", json.dumps(SCHEMA))
    config = {"agent": {"id": "t"}, "buffer": {"path": path_of("never", "buffer.db"), "size_max": "64 MiB"}, "streams": {"good": {"schema": "typed.avsc"}},
              "drivers": {"lines": {"type": "tail", "paths": [path_of("*.log")], "stream": "good"}}, "uplinks": {"cloud": {"streams": ["good"], **uplink}}}
    r = run("check", "--online", "--json", write("online.json", json.dumps(config)), env={**BARE, **environment})
    try:
        findings = json.loads(r.stdout)["findings"]
    except ValueError:
        raise SystemExit(f"no document: {r.stdout} {r.stderr}")
    return r.returncode, {(f["level"], f["path"].removeprefix("$.uplinks.cloud").removeprefix("."), f["what"]): f["text"] for f in findings}


def expect(what, uplink, *wanted, code=1, only=("",), **environment):
    """These warnings and errors, and no other; of options that begin so. For exit code 0 these too: (level, option, what, text)."""
    got, found = online(uplink, **environment)
    bad = {key: text for key, text in found.items() if key[0] != "ok" and key[1].startswith(only)}
    for level, option, subject, text in wanted:
        key = (level, option, subject)
        bad.pop(key, None)
        check(f"{what}: {key}", text in found.get(key, ""), json.dumps([list(k) + [t] for k, t in found.items()], indent=1))
    check(f"{what}: nothing else", not bad, str(bad))
    check(f"{what}: exit code {code}", got == code, f"{got} {found}")
    check(f"{what}: no secret", not any(secret in str(found) for secret in ("SECRETTEST", "guess-7", AZURE_KEY, "sig=")), str(found))


class Aws:
    """moto, which checks signatures and rights."""

    def __init__(self):
        self.moto = services.Fake("moto.sh", path_of("moto"))
        self.moto.start("auth")
        self.key, self.denied = self.moto.credentials(), self.moto.credentials("denied")

    def client(self, service):
        return boto3.client(service, endpoint_url=self.moto.url, region_name="us-east-1", aws_access_key_id=self.key[0], aws_secret_access_key=self.key[1])

    def options(self, credentials=None, **more):
        key, secret = credentials or self.key
        return {"region": "us-east-1", "credentials": {"access_key_id": key, "secret_access_key": secret}, **more}

    def check_login(self, name, of, option, url, endpoint="endpoint", only=("",)):
        """`of` makes an uplink of the options that AWS's have in common."""
        below, host = of(self.options()), url.split("//")[1]
        prefix = "glue." if "glue" in below else ""
        login = f"login at {name}"
        expect(f"{name}: a wrong secret", of(self.options((self.key[0], "guess-7"))), ("error", prefix + "credentials", login, "check the secret key"), only=only)
        expect(f"{name}: a wrong key", of(self.options(("AKIANOBODY", "guess-7"))), ("error", prefix + "credentials", login, "check the key id"), only=only)
        keyless = self.options()
        del keyless["credentials"]
        expect(f"{name}: no credentials", of(keyless), ("error", prefix + "credentials", "credentials", "no credentials for AWS are found"), only=only)
        expect(f"{name}: those of the environment", of(keyless), code=1 if prefix else 0, only=only,
               AWS_ACCESS_KEY_ID=self.key[0], AWS_SECRET_ACCESS_KEY=self.key[1])
        expect(f"{name}: nobody there", of(self.options(**{endpoint: NOWHERE})), ("error", prefix + endpoint, NOWHERE, "check the address"), only=only)
        expect(f"{name}: no such name", of(self.options(**{endpoint: "https://nowhere.invalid"})),
               ("error", prefix + endpoint, "https://nowhere.invalid", "there is no host nowhere.invalid"), only=only)
        expect(f"{name}: a proxy that is not there", of(self.options(**{endpoint: "https://nowhere.invalid"})),
               ("error", prefix + endpoint, "https://nowhere.invalid", "127.0.0.1"), only=only, https_proxy=NOWHERE)
        expect(f"{name}: TLS where none is spoken", of(self.options(**{endpoint: "https://" + host})),
               ("error", prefix + endpoint, "https://" + host, "is TLS spoken on that port?"), only=only)

    def check_kinesis(self):
        client = self.client("kinesis")
        client.create_stream(StreamName="good", ShardCount=3)

        def uplink(options, **more):
            return {"type": "kinesis", "stream": "{stream}", "endpoint": self.moto.url, **options, **more}
        expect("kinesis", uplink(self.options()), ("ok", "stream", "stream good", "3 open shards"), ("ok", "endpoint", "clock", "it agrees"), code=0)
        expect("kinesis: no such stream", uplink(self.options(), stream="no-{stream}"), ("error", "stream", "stream no-good", "the region (us-east-1)"))
        expect("kinesis: no right", uplink(self.options(self.denied)), ("warning", "stream", "stream good", "allow kinesis:ListShards"), code=0)
        self.check_login("Kinesis", uplink, "stream", self.moto.url)
        at = client.get_shard_iterator(StreamName="good", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        check("kinesis: nothing was written, no stream made", not client.get_records(ShardIterator=at)["Records"] and client.list_streams()["StreamNames"] == ["good"])

    def check_firehose(self):
        client = self.client("firehose")
        client.create_delivery_stream(DeliveryStreamName="good", S3DestinationConfiguration={"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::b"})
        client.create_delivery_stream(DeliveryStreamName="fed", DeliveryStreamType="KinesisStreamAsSource", KinesisStreamSourceConfiguration={
            "KinesisStreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/good", "RoleARN": "arn:aws:iam::123456789012:role/r"},
            S3DestinationConfiguration={"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::b"})

        def uplink(options, **more):
            return {"type": "firehose", "delivery_stream": "{stream}", "endpoint": self.moto.url, **options, **more}
        stream = "delivery_stream"
        expect("firehose", uplink(self.options()), ("ok", stream, "delivery stream good", "ACTIVE"), code=0)
        expect("firehose: no such stream", uplink(self.options(), delivery_stream="no"), ("error", stream, "delivery stream no", "make it"))
        expect("firehose: fed by a stream", uplink(self.options(), delivery_stream="fed"), ("error", stream, "delivery stream fed", "KinesisStreamAsSource"))
        expect("firehose: no right to ask", uplink(self.options(self.denied)), ("warning", stream, "delivery stream good", "only this check needs"), code=0)
        self.check_login("Firehose", uplink, stream, self.moto.url)

    def check_glue(self):
        """Of a Kafka that is not there: only what the registry says is looked at."""
        client = self.client("glue")

        def uplink(options, **more):
            return {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": more.pop("topic", "{stream}"), "glue": {"url": self.moto.url, "registry": "plant", **options, **more}}
        only = ("glue",)
        expect("glue: no registry", uplink(self.options()), ("error", "glue.registry", "plant", "there is no such registry"), only=only)
        client.create_registry(RegistryName="plant")
        expect("glue: a new schema", uplink(self.options()), ("ok", "glue", "schema good", "made when the first event"), only=only)
        expect("glue: a new schema that is not to be made", uplink(self.options(), register=False), ("error", "glue", "schema good", "it is not registered"), only=only)
        for name, schema, compatibility in (("there", SCHEMA, "BACKWARD"), ("older", OLDER, "BACKWARD"), ("free", OLDER, "NONE")):
            client.create_schema(RegistryId={"RegistryName": "plant"}, SchemaName=name, DataFormat="AVRO", Compatibility=compatibility, SchemaDefinition=json.dumps(schema))
        # The registry finds the very text that the agent would register, which has no white space.
        client.create_schema(RegistryId={"RegistryName": "plant"}, SchemaName="good", DataFormat="AVRO", Compatibility="BACKWARD",
                             SchemaDefinition=json.dumps(SCHEMA, separators=(",", ":")))
        expect("glue: a schema that is there", uplink(self.options()), ("ok", "glue", "schema good", "it has the schema"), only=only)
        expect("glue: one that fits", uplink(self.options(), topic="there"), ("ok", "glue", "schema there", "compatible"), only=only)
        expect("glue: one that does not", uplink(self.options(), topic="older"), ("error", "glue", "schema older", "incompatible with version 1"), only=only)
        expect("glue: one without rules", uplink(self.options(), topic="free"), ("ok", "glue", "schema free", "Glue decides"), only=only)
        expect("glue: no right", uplink(self.options(self.denied)), ("error", "glue.credentials", "schema good", "they may not do GetSchemaByDefinition"), only=only)
        self.check_login("Glue", uplink, "glue", self.moto.url, endpoint="url", only=only)

        def kinesis(**more):
            return {"type": "kinesis", "stream": "{stream}", "endpoint": self.moto.url, **self.options(), "glue": {"url": self.moto.url, "registry": "plant", **more}}
        expect("glue beside kinesis", kinesis(), ("ok", "stream", "stream good", "3 open shards"), ("ok", "glue", "schema good", "it has the schema"), code=0)
        expect("glue beside kinesis: no registry", kinesis(registry="none"), ("error", "glue.registry", "none", "there is no such registry"))
        versions = {name: client.get_schema(SchemaId={"RegistryName": "plant", "SchemaName": name})["LatestSchemaVersion"]
                    for name in ("good", "there", "older", "free")}
        check("glue: nothing was registered", set(versions.values()) == {1}, str(versions))

    def check_s3(self):
        """versitygw checks signatures, moto rights."""
        self.client("s3").create_bucket(Bucket="bucket1")

        def uplink(options, **more):
            return {"type": "s3", "bucket": "bucket1", "endpoint": self.moto.url, **options, **more}
        expect("s3: no right", uplink(self.options(self.denied)), ("warning", "bucket", "bucket bucket1", "may not list the bucket: whether"), code=0)
        gate = services.Fake("versitygw.sh", path_of("s3"))
        gate.start()
        moto, self.moto, self.key = self.moto, gate, ("AKIDTEST", "SECRETTEST")
        self.client("s3").create_bucket(Bucket="bucket1")
        expect("s3", uplink(self.options()), ("ok", "bucket", "bucket bucket1", "it is there"), code=0)
        expect("s3: no such bucket", uplink(self.options(), bucket="bucket2"), ("error", "bucket", "bucket bucket2", "make it"))
        expect("s3: another region", uplink(self.options(), region="eu-west-1"), ("error", "region", "bucket bucket1", "set region"))
        self.check_login("S3", uplink, "bucket", gate.url)
        check("s3: nothing was put", not self.client("s3").list_objects_v2(Bucket="bucket1").get("Contents"))
        gate.stop()
        self.moto = moto


class Late(http.server.BaseHTTPRequestHandler):
    """STS and Kinesis, a day later than here: STS takes no signature of another day."""
    asked = []

    def answer(self, status, body):
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + 86400, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_late = self.headers["X-Amz-Date"][:8] != time.strftime("%Y%m%d", time.gmtime(time.time() + 86400))
        is_sts = body.startswith("Action=AssumeRole&")
        self.asked.append("late" if is_late else "sts" if is_sts else "kinesis")
        if not is_sts:
            self.answer(200, json.dumps({"Shards": [{"ShardId": "shardId-000000000000", "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2 ** 128 - 1)}}]}))
        elif is_late:
            self.answer(403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error></ErrorResponse>")
        else:
            self.answer(200, "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>guess-7</SecretAccessKey>"
                             "<SessionToken>t1</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>")

    def log_message(self, *_):
        pass


def serve(handler):
    """The URL of a server with this handler, which ends with the test."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def check_wrong_clock():
    """A role is taken all the same, as the agent does, and what is said is the clock."""
    url = serve(Late)
    write("config", "[profile pump]\nrole_arn=arn:aws:iam::123456789012:role/pump\nsource_profile=base\n"
                    "[profile base]\naws_access_key_id=AKIA1\naws_secret_access_key=guess-7\n", mode=0o600)
    expect("a role, and a wrong clock",
           {"type": "kinesis", "stream": "{stream}", "endpoint": url, "region": "us-east-1",
            "credentials": {"profile": "pump", "config_file": path_of("config"), "sts_url": url}},
           ("ok", "credentials", "credentials", "as arn:aws:iam::123456789012:role/pump"), ("ok", "stream", "stream good", "1 open shard"),
           ("error", "endpoint", "clock", "86400 s behind Kinesis's"))
    check("a role, and a wrong clock: asked twice, then Kinesis", Late.asked == ["late", "sts", "kinesis"], str(Late.asked))


def check_readable_logins():
    """Of a Kafka that is not there: what would be sent without TLS."""
    keys = {"access_key_id": "AKIA1", "secret_access_key": "guess-7"}
    oauth = {"url": NOWHERE, "client_id": "c", "client_secret": "guess-7"}
    for mechanism, more, subject in (("PLAIN", {"user": "u", "password": "guess-7"}, "password"), ("OAUTHBEARER", {"oauth": oauth}, "access token"),
                                     ("OAUTHBEARER", {"credentials": keys, "region": "us-east-1"}, "access token"),
                                     ("AWS_MSK_IAM", {"credentials": keys, "region": "us-east-1"}, "signed login"),
                                     ("SCRAM-SHA-256", {"user": "u", "password": "guess-7"}, None)):
        uplink = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t", "sasl": {"mechanism": mechanism, **more}}
        warned = [("warning", "sasl.mechanism", subject, f"{mechanism} sends it as it is, and without tls whoever is in between reads it")] if subject else []
        expect(f"{mechanism} without TLS", uplink, *warned, only=("sasl.mechanism",))
        expect(f"{mechanism} over TLS", {**uplink, "tls": {}}, only=("sasl.mechanism",))


def check_gcs():
    fake = services.Fake("fake-gcs.sh", path_of("gcs"))
    fake.start()
    body = json.dumps({"name": "bucket1"}).encode()
    urllib.request.urlopen(urllib.request.Request(fake.url + "/storage/v1/b?project=p", body, {"Content-Type": "application/json"})).close()
    uplink = {"type": "gcs", "bucket": "bucket1", "endpoint": fake.url, "anonymous": True}
    expect("gcs", uplink, ("ok", "bucket", "bucket bucket1", "nothing was asked about rights"), code=0)
    expect("gcs: no such bucket", {**uplink, "bucket": "bucket2"}, ("error", "bucket", "bucket bucket2", "make it"))
    expect("gcs: nobody there", {**uplink, "endpoint": NOWHERE}, ("error", "endpoint", NOWHERE, "check the address"))
    expect("gcs: no token", {"type": "gcs", "bucket": "bucket1"}, ("error", "credentials", "access token", "127.0.0.1:1"), GCE_METADATA_HOST="127.0.0.1:1")
    fake.stop()


def check_azure():
    fake = services.Fake("azurite.sh", path_of("azure"))
    fake.start()
    at = f"{fake.url}/devstoreaccount1"
    container = blob.BlobServiceClient(at, AZURE_KEY, api_version="2021-08-06").create_container("container1")

    def sas(days=1, **rights):
        return blob.generate_container_sas("devstoreaccount1", "container1", AZURE_KEY, permission=blob.ContainerSasPermissions(**rights),
                                           expiry=datetime.now(timezone.utc) + timedelta(days=days))
    by_sas = {"type": "azure_blob", "account": "devstoreaccount1", "container": "container1", "endpoint": at}
    uplink = {**by_sas, "key": AZURE_KEY}
    box, login = "container container1", "login at Azure"
    expect("azure", uplink, ("ok", "container", box, "the key may write in it"), code=0)
    expect("azure: no such container", {**uplink, "container": "container2"}, ("error", "container", "container container2", "make it"))
    expect("azure: a wrong key", {**uplink, "key": "AAAA" + AZURE_KEY[4:]}, ("error", "key", login, "look at key or sas"))
    expect("azure: by sas", {**by_sas, "sas": sas(create=True, write=True)}, ("ok", "container", box, "the sas may write in it"), code=0)
    expect("azure: a sas that may not write", {**by_sas, "sas": sas(read=True)}, ("error", "sas", login, "the sas needs the rights c and w"))
    expect("azure: a sas that may create, and need not write", {**by_sas, "sas": sas(create=True), "create_only": True},
           ("warning", "container", box, "the sas is good"), code=0)
    expect("azure: a sas that has ended", {**by_sas, "sas": sas(days=-1, create=True, write=True)}, ("error", "sas", login, "look at key or sas"))
    expect("azure: nobody there", {**uplink, "endpoint": NOWHERE}, ("error", "endpoint", NOWHERE, "check the address"))
    check("azure: nothing was put", not list(container.list_blobs()))
    fake.stop()


class Receiver(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_OPTIONS(self):
        self.asked.append(self.path)
        is_known = self.headers["Authorization"] == "Bearer token1"
        self.send_response(401 if not is_known else 404 if self.path != "/in/good" else 204)
        self.send_header("Allow", "POST, OPTIONS")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.asked.append("POST")

    def log_message(self, *_):
        pass


def check_http():
    certificates = path_of("certs")
    services.service("certs.sh", certificates)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(certificates, "server.pem"), os.path.join(certificates, "server.key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None       # handshakes that end early
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"https://127.0.0.1:{server.server_address[1]}"
    url = at + "/in/good"
    uplink = {"type": "http", "url": at + "/in/{stream}", "token": "token1", "tls": {"ca": os.path.join(certificates, "ca.pem")}}
    expect("http", uplink, ("ok", "url", url, "allows POST, OPTIONS"), ("ok", "tls", "certificate of the service", "verified"), code=0)
    expect("http: a wrong token", {**uplink, "token": "guess-7"}, ("error", "token", url, "look at token"))
    expect("http: a wrong path", {**uplink, "url": at + "/{stream}"}, ("warning", "url", at + "/good", "look at url"), code=0)
    expect("http: another method", {**uplink, "method": "PUT"}, ("warning", "method", url, "not PUT"), code=0)
    expect("http: a wrong CA", {**uplink, "tls": {"ca": os.path.join(certificates, "other-ca.pem")}}, ("error", "tls", at, "set tls.ca"))
    expect("http: no verification", {**uplink, "tls": {"insecure": True}}, ("warning", "tls.insecure", "certificate of the service", "not verified"), code=0)
    expect("http: nobody there", {"type": "http", "url": NOWHERE + "/in"}, ("error", "url", NOWHERE, "check the address"))
    check("http: nothing was posted", "POST" not in Receiver.asked)
    server.shutdown()


def main():
    aws = Aws()
    try:
        aws.check_kinesis()
        aws.check_firehose()
        aws.check_glue()
        aws.check_s3()
    finally:
        aws.moto.stop()
    check_wrong_clock()
    check_readable_logins()
    check_gcs()
    check_azure()
    check_http()
    finish()


main()
