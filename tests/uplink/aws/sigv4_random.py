"""Signatures of random requests, as uplink/aws/sigv4.c makes them, against botocore's own signers. usage: sigv4_random.py SIGN_LINES"""
import os
import random
import subprocess
import sys
import urllib.parse
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "services"))
import services  # noqa: E402

services.need("botocore", "cloud")
import hashlib  # noqa: E402

import botocore.auth as auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402

COUNT = 20000 if os.environ.get("WEIR_LONG") else 2000
chance = random.Random(int(os.environ.get("WEIR_SEED", "1")))
LETTERS = "abcXYZ019-._~"
SPECIAL = LETTERS + " /=&+%*'():,;@!$?#[]\"<>\\^`{|}äß温"
EMPTY = hashlib.sha256(b"").hexdigest()
counts = {"sign": 0, "presign": 0, "s3": 0, "token": 0, "query": 0}


def word(letters, least=1, most=12):
    return "".join(chance.choice(letters) for _ in range(chance.randint(least, most)))


def encoded(text, safe="~"):
    return urllib.parse.quote(text.encode(), safe=safe)


def a_path(is_s3):
    segments = [word(SPECIAL.replace("/", "")) for _ in range(chance.randint(0, 4))]
    segments = [s for s in segments if s not in (".", "..")]
    path = "/" + "/".join(encoded(s) for s in segments)
    if is_s3 and chance.random() < 0.1:
        path += "//" + encoded(word(LETTERS))       # an empty segment is part of a key
    return path + ("/" if segments and chance.random() < 0.2 else "")


def a_query(way):
    """Pairs that may have the same name (botocore's presigned URLs have each name once), and names without a value."""
    if chance.random() < 0.4:
        return ""
    names = [word(SPECIAL, most=4) for _ in range(chance.randint(1, 4))] + ["prefix", "Action", "list-type", "X-Amy", "Zz", "a"]
    pairs = [(chance.choice(names), word(SPECIAL, 0, 8)) for _ in range(chance.randint(1, 8))]
    pairs = pairs if way == "sign" else list(dict(pairs).items())
    return "&".join(encoded(n) + ("=" + encoded(v) if v or chance.random() < 0.5 else "") for n, v in pairs)


def some_headers():
    headers = []
    for name in chance.sample(["Content-Type", "X-Amz-Target", "x-amz-meta-Device", "x-amz-acl", "Content-MD5", "if-none-match", "Range"],
                              chance.randint(0, 6)):
        value = word(LETTERS + " =/;,*", 0, 30)
        headers.append((name, value))
        if chance.random() < 0.1:
            headers.append((name, word(LETTERS)))
    return headers


def a_request():
    way, is_s3 = chance.choice(["sign", "presign"]), chance.random() < 0.4
    body = chance.randbytes(chance.randint(0, 400)) if way == "sign" and chance.random() < 0.8 else b""
    is_unsigned = is_s3 and (way == "presign" or chance.random() < 0.4)
    return {
        "way": way, "is_s3": is_s3, "time": chance.randint(0, 4102444800), "expires": chance.randint(1, 604800),
        "method": chance.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]),
        "host": word("abc-.", 3) + ".example.com" + chance.choice(["", ":8443"]),
        "path": a_path(is_s3), "query": a_query(way),
        "hash": "UNSIGNED-PAYLOAD" if is_unsigned else hashlib.sha256(body).hexdigest(), "body": body,
        "region": chance.choice(["us-east-1", "eu-central-1", "cn-north-1"]),
        "service": "s3" if is_s3 else chance.choice(["kinesis", "firehose", "glue", "sts", "kafka-cluster", "execute-api"]),
        "key": "AKID" + word("ABC123", 12), "secret": word(LETTERS + "/+=", 20, 60),
        "token": word(LETTERS + "/+=", 1, 900) if chance.random() < 0.5 else "",
        "headers": some_headers() if way == "sign" else [],
    }


def line_of(r):
    values = [r["way"], "1" if r["is_s3"] else "0", str(r["time"]), str(r["expires"]), r["method"], r["host"], r["path"], r["query"],
              r["hash"], r["region"], r["service"], r["key"], r["secret"], r["token"]]
    for name, value in r["headers"]:
        values += [name, value]
    return " ".join(v.encode().hex() for v in values)


def signer_of(r):
    """botocore's, told only what we are told: the body's hash."""
    credentials = Credentials(r["key"], r["secret"], r["token"] or None)
    base = {("sign", False): auth.SigV4Auth, ("sign", True): auth.S3SigV4Auth, ("presign", False): auth.SigV4QueryAuth,
            ("presign", True): auth.S3SigV4QueryAuth}[r["way"], r["is_s3"]]

    class Signer(base):
        def payload(self, request):
            return r["hash"]

    more = {} if r["way"] == "sign" else {"expires": r["expires"]}
    return Signer(credentials, r["service"], r["region"], **more)


def expected(r):
    auth.get_current_datetime = lambda: datetime.fromtimestamp(r["time"], timezone.utc)
    url = "https://" + r["host"] + r["path"] + ("?" + r["query"] if r["query"] else "")
    request = AWSRequest(r["method"], url, data=r["body"])
    for name, value in [("Host", r["host"]), *r["headers"]]:
        request.headers.add_header(name, value)
    signer_of(r).add_auth(request)
    if r["way"] == "sign":
        return request.headers["Authorization"]
    return urllib.parse.urlsplit(request.url).query


def same(r, ours, theirs):
    """Presigned: the same parameters in any order; botocore writes them as it likes."""
    if r["way"] == "sign":
        return ours == theirs
    pairs = [sorted(urllib.parse.parse_qsl(q, keep_blank_values=True)) for q in (ours, theirs)]
    return pairs[0] == pairs[1]


def texts():
    for _ in range(2000):
        text = word(SPECIAL, 0, 40)
        for way, safe in (("path", "/~"), ("query", "~")):
            yield f"{way.encode().hex()} {text.encode().hex()}", encoded(text, safe)


def main():
    requests = [a_request() for _ in range(COUNT)]
    encodings = list(texts())
    lines = [line_of(r) for r in requests] + [line for line, _ in encodings]
    ran = subprocess.run([sys.argv[1]], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    answers = ran.stdout.split("\n")[:-1]
    assert len(answers) == len(lines), (len(answers), len(lines))
    for r, ours in zip(requests, answers):
        theirs = expected(r)
        if not same(r, ours, theirs):
            raise SystemExit(f"differs:\n{r}\nours   {ours}\ntheirs {theirs}")
        counts[r["way"]] += 1
        counts["s3"] += r["is_s3"]
        counts["token"] += bool(r["token"])
        counts["query"] += bool(r["query"])
    for (line, theirs), ours in zip(encodings, answers[COUNT:]):
        assert ours == theirs, (line, ours, theirs)
    assert min(counts.values()) > COUNT / 10, counts
    print(f"{COUNT} requests as botocore signs them: {counts}; {len(encodings)} texts encoded alike")


main()
