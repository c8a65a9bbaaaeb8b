"""Credentials from real files, commands and servers, and the signatures made with them, as moto checks them. usage: ... AWS_CALL"""
import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "services"))
import services  # noqa: E402

WHO = ("sts", "Content-Type: application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15")
STREAMS = ("kinesis", "Content-Type: application/x-amz-json-1.1\nX-Amz-Target: Kinesis_20131202.ListStreams", "{}")
NO_MACHINE = {"AWS_EC2_METADATA_DISABLED": "true"}


def call(url, what, *options, **environment):
    """The lines of aws_call; in an environment of its own."""
    service, headers, body = what
    path = {name: os.environ[name] for name in ("PATH", "ASAN_OPTIONS", "TMPDIR") if name in os.environ}
    ran = subprocess.run([sys.argv[1], *options, url, service, headers, body], capture_output=True, text=True,
                         env=path | environment, timeout=services.PATIENCE)
    if ran.returncode not in (0, 1):
        raise SystemExit(f"aws_call ended with {ran.returncode}: {ran.stderr}")
    return ran.stdout.split("\n", 2)


def good(lines, origin, says):
    if lines[0] != origin or lines[1] != "200" or says not in lines[2]:
        raise SystemExit(f"from {origin}: {lines}")
    print("as it should be:", origin)


def bad(lines, says):
    if says not in " ".join(lines):
        raise SystemExit(f"not {says!r}: {lines}")
    print("refused, as it should be:", says)


def write(path, text, mode=0o600):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


class Giver(http.server.BaseHTTPRequestHandler):
    """Answers by self.server.answers: "METHOD path" to a function of the headers."""
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        how = self.server.answers.get(f"{self.command} {self.path}")
        status, body = how(self.headers) if how else (404, "")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_PUT = answer

    def log_message(self, *_):
        pass


def giver(answers, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Giver)
    server.answers = answers
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def machine(key, secret):
    """A machine's metadata service, second version only."""
    roles = "GET /latest/meta-data/iam/security-credentials/"
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    answer = json.dumps({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Token": "", "Expiration": end})

    def with_token(body):
        return lambda headers: (200, body) if headers["X-aws-ec2-metadata-token"] == "T0KEN==" else (401, "")

    return {"PUT /latest/api/token": lambda headers: (200, "T0KEN==") if headers["X-aws-ec2-metadata-token-ttl-seconds"] else (400, ""),
            roles: with_token("pump"), roles + "pump": with_token(answer)}


def fixed(moto, directory):
    key, secret = moto.credentials()
    by_hand = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    good(call(moto.url + "/", WHO, **by_hand), "the environment", "user/weir")
    good(call(moto.url + "/", STREAMS, **by_hand), "the environment", "StreamNames")
    good(call(moto.url + "/", WHO, HOME=directory, **by_hand), "the environment", "user/weir")
    bad(call(moto.url + "/", STREAMS, **by_hand | {"AWS_SECRET_ACCESS_KEY": secret[::-1]}), "SignatureDoesNotMatch")
    other, its = moto.credentials("denied")
    bad(call(moto.url + "/", STREAMS, AWS_ACCESS_KEY_ID=other, AWS_SECRET_ACCESS_KEY=its), "AccessDenied")


def files(moto, directory):
    key, secret = moto.credentials()
    credentials = write(os.path.join(directory, "credentials"),
                        f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    good(call(moto.url + "/", WHO, AWS_SHARED_CREDENTIALS_FILE=credentials), "profile default of AWS's shared files", "user/weir")
    answer = json.dumps({"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret})
    secrets = write(os.path.join(directory, "it's secret"), answer)
    config = write(os.path.join(directory, "config"), f"""[profile pump]
credential_process = cat "{secrets}"
[profile slow]
credential_process = echo; exit 3
[profile wrong]
credential_process = echo '{{"Version":1}}'
""")
    good(call(moto.url + "/", WHO, "profile=pump", AWS_CONFIG_FILE=config), "profile pump of AWS's shared files", "user/weir")
    bad(call(moto.url + "/", WHO, "profile=slow", AWS_CONFIG_FILE=config), "credential_process of profile slow: it ended with status 3")
    bad(call(moto.url + "/", WHO, "profile=wrong", AWS_CONFIG_FILE=config), "credential_process of profile wrong gives no credentials")
    os.chmod(credentials, 0o640 if os.getuid() else 0o604)
    bad(call(moto.url + "/", WHO, AWS_SHARED_CREDENTIALS_FILE=credentials), "lets others at it")


def endpoints(moto, directory):
    key, secret = moto.credentials()
    metadata = giver(machine(key, secret))
    good(call(moto.url + "/", WHO, AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://{metadata}/"),
         "the machine's metadata service", "user/weir")
    # It does not go over the user's link: then the call itself fails.
    lines = call(moto.url + "/", WHO, "link=bind", AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://{metadata}")
    assert lines[:2] == ["the machine's metadata service", "0"], lines
    # A proxy in the environment is none for it.
    good(call(moto.url + "/", WHO, AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://{metadata}", http_proxy="http://127.0.0.1:9"),
         "the machine's metadata service", "user/weir")
    answer = json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, "Token": "", "Expiration": "2100-01-01T00:00:00Z"})
    container = giver({"GET /c": lambda headers: (200, answer) if headers["Authorization"] == "t" else (403, "")})
    good(call(moto.url + "/", WHO, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://{container}/c", AWS_CONTAINER_AUTHORIZATION_TOKEN="t"),
         "the container's endpoint", "user/weir")
    bad(call(moto.url + "/", WHO, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://{container}/c"), "answers 403")


def iot(moto, directory):
    """By mutual TLS: the client's certificate is asked for."""
    key, secret = moto.credentials()
    tls = os.path.join(directory, "tls")
    services.service("certs.sh", tls)
    for name in ("client.key", "other-ca.key"):
        os.chmod(os.path.join(tls, name), 0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(tls, "server.pem"), os.path.join(tls, "server.key"))
    context.load_verify_locations(os.path.join(tls, "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    answer = json.dumps({"credentials": {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": "", "expiration":
                                         "2100-01-01T00:00:00Z"}})
    path = "GET /role-aliases/pumps/credentials"
    address = giver({path: lambda headers: (200, answer) if headers["x-amzn-iot-thingname"] == "pump-7" else
                     (403, '{"message":"Access Denied"}')}, context)
    port = address.rpartition(":")[2]

    def with_certificate(name, thing):
        return call(moto.url + "/", WHO, f"endpoint=localhost:{port}", "alias=pumps", f"thing={thing}", f"ca={tls}/ca.pem",
                    f"certificate={tls}/{name}.pem", f"key={tls}/{name}.key")

    good(with_certificate("client", "pump-7"), "AWS IoT, role alias pumps", "user/weir")
    bad(with_certificate("client", "pump-8"), "refuses (403, Access Denied)")
    bad(with_certificate("other-ca", "pump-7"), "no answer from AWS IoT's credentials provider")


def roles(moto, directory):
    """Roles that the shared files lead to, with the signatures and rights that they need; AWS's own SDK, by the same files, is who weir is."""
    key, secret = moto.credentials()
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]})
    all_ = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    for name in ("hall", "pump"):
        iam(moto, "CreateRole", RoleName=name, AssumeRolePolicyDocument=trust)
        iam(moto, "PutRolePolicy", RoleName=name, PolicyName="all", PolicyDocument=all_)
    role = "arn:aws:iam::123456789012:role/"
    answer = write(os.path.join(directory, "answer"), json.dumps({"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret}))
    config = write(os.path.join(directory, "roles"), f"""[profile keys]
aws_access_key_id = {key}
aws_secret_access_key = {secret}
[profile command]
credential_process = cat {answer}
[profile hall]
role_arn = {role}hall
source_profile = keys
role_session_name = h1
[profile pump]
role_arn = {role}pump
source_profile = hall
external_id = plant/7+x
duration_seconds = 900
role_session_name = p1
[profile by-command]
role_arn = {role}pump
source_profile = command
role_session_name = c1
[profile by-environment]
role_arn = {role}pump
credential_source = Environment
role_session_name = e1
[profile by-machine]
role_arn = {role}pump
credential_source = Ec2InstanceMetadata
role_session_name = m1
[profile by-container]
role_arn = {role}pump
credential_source = EcsContainer
role_session_name = k1
[profile forged]
aws_access_key_id = {key}
aws_secret_access_key = {secret[::-1]}
[profile by-forged]
role_arn = {role}pump
source_profile = forged
""")
    metadata = giver(machine(key, secret))
    container = giver({"GET /c": lambda headers: (200, json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, "Token": "", "Expiration":
                                                                   "2100-01-01T00:00:00Z"}))})
    environment = {"AWS_CONFIG_FILE": config, "AWS_ENDPOINT_URL_STS": moto.url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
                   "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{metadata}/", "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{container}/c"}
    for profile, who in {"hall": "hall/h1", "pump": "pump/p1", "by-command": "pump/c1", "by-environment": "pump/e1", "by-machine": "pump/m1",
                         "by-container": "pump/k1"}.items():
        name = who.split("/")[0]
        good(call(moto.url + "/", WHO, f"profile={profile}", **environment), f"profile {profile} of AWS's shared files, as {role}{name}", f"assumed-role/{who}")
        its = sdk(moto, profile, environment)
        if not its.endswith(f":assumed-role/{who}"):
            raise SystemExit(f"AWS's SDK is {its} by profile {profile}")
    bad(call(moto.url + "/", WHO, "profile=by-forged", **environment), "by profile by-forged refuses (403, SignatureDoesNotMatch")


def iam(moto, action, **parameters):
    key, secret = moto.credentials()
    data = [x for name, value in {"Action": action, "Version": "2010-05-08", **parameters}.items() for x in ("--data-urlencode", f"{name}={value}")]
    subprocess.run(["curl", "-sf", "-o", "/dev/null", "--aws-sigv4", "aws:amz:us-east-1:iam", "-u", f"{key}:{secret}", moto.url + "/", *data], check=True)


def sdk(moto, profile, environment):
    """Who AWS's own SDK is by a profile."""
    python = services.service("readers.sh", "glue", stdout=subprocess.PIPE, text=True).stdout.strip()
    text = ("import boto3, sys; print(boto3.Session(profile_name=sys.argv[1], region_name='us-east-1')"
            ".client('sts', endpoint_url=sys.argv[2]).get_caller_identity()['Arn'])")
    return subprocess.run([python, "-c", text, profile, moto.url], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.strip()


def web_identity(directory):
    """moto that does not check signatures gives credentials to any token, and takes them."""
    moto = services.Fake("moto.sh", os.path.join(directory, "sts"))
    moto.start()
    token = write(os.path.join(directory, "jwt"), "eyJhbGciOiJSUzI1NiJ9.e30.c2ln\n")
    role = "arn:aws:iam::123456789012:role/pump"
    lines = call(moto.url + "/", WHO, AWS_ROLE_ARN=role, AWS_WEB_IDENTITY_TOKEN_FILE=token, AWS_ENDPOINT_URL_STS=moto.url)
    good(lines, f"the web identity, as {role}", "role/pump/weir")
    moto.stop()


def main():
    with tempfile.TemporaryDirectory() as directory:
        moto = services.Fake("moto.sh", os.path.join(directory, "moto"))
        moto.start("auth")
        try:
            for test in (fixed, files, endpoints, iot, roles):
                test(moto, directory)
        finally:
            moto.stop()
        web_identity(directory)


main()
