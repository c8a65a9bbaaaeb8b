"""A module for tests: Kinesis, as far as one shard needs it, behind TLS with HTTP/2 or HTTP/1.1. It answers as AWS does, headers included, and keeps nothing."""
import base64
import json
import os
import time

import front

NUMBER, SHARD = "49654237829470232387294582938749238472938472938472938474", "shardId-000000000000"


def text(value):
    data = value.encode()
    return (bytes([0x60 | len(data)]) if len(data) < 24 else bytes([0x78, len(data)])) + data


def stored(target, kind, count):
    """Type and body of an answer about so many records; CBOR as Java writes it."""
    if target.endswith("ListShards"):
        return "json", json.dumps({"Shards": [{"ShardId": SHARD, "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2 ** 128 - 1)},
                                              "SequenceNumberRange": {"StartingSequenceNumber": "1"}}]}).encode()
    if "cbor" in kind:
        one = b"\xbf" + text("SequenceNumber") + text(NUMBER) + text("ShardId") + text(SHARD) + b"\xff"
        return "cbor", b"\xbf" + text("FailedRecordCount") + b"\x00" + text("Records") + b"\x9f" + one * count + b"\xff\xff"
    return "json", json.dumps({"FailedRecordCount": 0, "Records": [{"SequenceNumber": NUMBER, "ShardId": SHARD}] * count}, separators=(",", ":")).encode()


class Kinesis(front.Front):
    def carried(self, connection):
        """Called before a put is answered."""

    def answer(self, headers, body, connection):
        kind, body = stored(headers["x-amz-target"], headers["content-type"], body.count(b"PartitionKey"))
        if headers["x-amz-target"].endswith("PutRecords"):
            self.carried(connection)
        return 200, [("x-amzn-RequestId", f"e9d2b5c8-4f0a-4c3e-9d51-{time.monotonic_ns() % 10 ** 12:012}"),
                     ("x-amz-id-2", base64.b64encode(os.urandom(57)).decode()), ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
                     ("Content-Type", f"application/x-amz-{kind}-1.1"), ("Content-Length", str(len(body)))], body
