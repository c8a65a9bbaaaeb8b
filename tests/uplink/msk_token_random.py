"""Access tokens for Amazon MSK over OAUTHBEARER, as uplink/kafka/sasl_aws.c makes them, against those of AWS's own package
aws-msk-iam-sasl-signer-python, for random credentials, regions and times: byte by byte, but for the place that a session token has in
the query, where the order of parameters means nothing. usage: msk_token_random.py MSK_TOKEN VERSION"""
import base64
import os
import random
import subprocess
import sys
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "services"))
import services  # noqa: E402

services.need("aws_msk_iam_sasl_signer", "glue")
import botocore.auth as auth  # noqa: E402
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider as signer  # noqa: E402
from botocore.credentials import CredentialProvider, Credentials  # noqa: E402

COUNT = 10000 if os.environ.get("WEIR_LONG") else 500
chance = random.Random(int(os.environ.get("WEIR_SEED", "1")))
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+="


class Given(CredentialProvider):
    def __init__(self, credentials):
        self.credentials = credentials

    def load(self):
        return self.credentials


def word(least, most):
    return "".join(chance.choice(LETTERS) for _ in range(chance.randint(least, most)))


def expected(time, region, key, secret, token):
    auth.get_current_datetime = lambda: datetime.fromtimestamp(time, timezone.utc)
    made, ends_ms = signer.generate_auth_token_from_credentials_provider(region, Given(Credentials(key, secret, token or None)))
    assert ends_ms == (time + 900) * 1000, ends_ms
    return made


def taken_apart(token):
    place, query = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split("?")
    return place, sorted(query.split("&"))


def main():
    setattr(signer, "__get_user_agent__", lambda: f"weir/{sys.argv[2]}")
    cases = [(chance.randint(946684800, 4102444800), chance.choice(["us-east-1", "eu-central-1", "ap-southeast-2", "us-gov-west-1"]),
              "AKIA" + word(12, 16).replace("/", "A").replace("+", "B").replace("=", "C"), word(20, 60), word(1, 2000) if chance.random() < 0.7 else "")
             for _ in range(COUNT)]
    lines = "".join(" ".join(map(str, (*case[:4], case[4] or "-"))) + "\n" for case in cases)
    ran = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True, check=True)
    answers = ran.stdout.splitlines()
    assert len(answers) == COUNT, (len(answers), ran.stderr)
    for case, ours in zip(cases, answers):
        theirs = expected(*case)
        if ours != theirs if not case[4] else taken_apart(ours) != taken_apart(theirs):
            raise SystemExit(f"differs:\n{case}\nours   {ours}\ntheirs {theirs}")
    with_token = sum(bool(case[4]) for case in cases)
    assert COUNT / 4 < with_token < COUNT, with_token
    print(f"{COUNT} tokens are those of AWS's signer, {with_token} with a session token; the longest has {max(map(len, answers))} characters")


main()
