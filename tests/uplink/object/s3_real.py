"""An upload in parts to a real store (versitygw), over connections that are cut: the object is whole, no upload is left over, and each part that
was confirmed was sent once.

usage: s3_real.py S3_SEND"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

PART = 8 << 20
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "services"))
from cutter import Cutter       # noqa: E402
from services import PATIENCE, free_ports, service      # noqa: E402

try:
    import boto3
except ImportError:
    python = service("readers.sh", "cloud", stdout=-1, text=True).stdout.strip()
    os.execv(python, [python, *sys.argv])


def main():
    keys = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SECRETTEST", "AWS_REGION": "us-east-1"}
    with tempfile.TemporaryDirectory(prefix="weir-s3.") as directory:
        port = free_ports(1)
        service("versitygw.sh", "start", directory, str(port))
        try:
            cutter = Cutter(("127.0.0.1", port), seed=int(os.environ.get("WEIR_SEED") or 7))
            client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                                  aws_access_key_id="AKIDTEST", aws_secret_access_key="SECRETTEST")
            client.create_bucket(Bucket="bucket1")
            cutter.cut(at=5 << 20, where="up", count=3)
            sent = subprocess.run([sys.argv[1], f"http://127.0.0.1:{cutter.port}"], env={**os.environ, **keys}, timeout=PATIENCE,
                                  capture_output=True, text=True)
            if sent.returncode != 0:
                sys.exit(sent.stdout + sent.stderr)
            tries, size, md5 = re.search(r"sent tries=(\d+) size=(\d+) md5=(\w+)", sent.stdout).groups()
            names = [item["Key"] for item in client.list_objects_v2(Bucket="bucket1")["Contents"]]
            body = client.get_object(Bucket="bucket1", Key=names[0])["Body"].read()
            left = client.list_multipart_uploads(Bucket="bucket1").get("Uploads", [])
            seen = cutter.status()
            up, cuts = seen["bytes"]["up"], len(seen["events"])
            print(f"s3 parts: tries={tries} size={size} bytes_up={up} cuts={cuts} connections={seen['connections']} left={len(left)}")
            assert names == ["meters a/pump 7-0badcafe-000000000001-000000000040.avro"]
            assert len(body) == int(size) and hashlib.md5(body).hexdigest() == md5
            assert not left
            assert cuts >= 2, "too few were cut"
            assert up < int(size) + (cuts + 1) * PART, "a part that was there was sent again"
        finally:
            service("versitygw.sh", "stop", directory)


main()
