"""What is filled in when an event is sent: its time, its identity, and where its time comes from.

usage: time_input_test.py WEIR"""
import glob
import json
import re
import time

from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, write

write("stamped.avsc", json.dumps({"type": "record", "name": "Stamped", "fields": [
    {"name": "trust", "type": "string"}, {"name": "n", "type": "long"}, {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}))
port = free_port()
config = configuration(port, routes=[{"stream": "stamped", "set": {"at": "{time}", "id": "{id}", "trust": "{time_trust}"}}])
config["streams"] = {"stamped": {"schema": "stamped.avsc", "time": "when"}}
before_us = int(time.time() * 1e6)
agent = Agent(config).start()
status, answer = agent.post("/x", '{"n": 1}\n{"n": 2, "when": "2038-01-19T03:14:08.5Z"}\n{"n": 3, "at": 5, "id": "mine"}\n',
                            {"Content-Type": "application/x-ndjson"})
check("all are stored", status == 200 and answer["stored"] == 3, str(answer))
check("all are delivered", wait_until(lambda: agent.status()["delivered"] >= 3), json.dumps(agent.status()))
check("it stops in order", agent.stop() == 0, agent.log()[-500:])
after_us = int(time.time() * 1e6)
rows = [json.loads(line) for f in glob.glob(path_of("out", "stamped", "**", "*.avro"), recursive=True)
        for line in run("avro", "cat", f).stdout.splitlines()]
rows.sort(key=lambda row: row["n"])
check("three rows", len(rows) == 3, json.dumps(rows))
check("the clock's time", before_us <= rows[0]["at"] <= after_us and rows[0]["trust"] == "clock", json.dumps(rows[0]))
check("the payload's time, beyond 32 bits", rows[1]["at"] == 2147483648500000 and rows[1]["trust"] == "payload", json.dumps(rows[1]))
check("the payload does not forge them", before_us <= rows[2]["at"] <= after_us and rows[2]["id"] != "mine", json.dumps(rows[2]))
ids = [re.fullmatch(r"t/([0-9a-f]{8})/stamped/(\d+)", row["id"]) for row in rows]
check("identities", all(ids) and [int(m[2]) for m in ids] == [1, 2, 3] and len({m[1] for m in ids}) == 1, json.dumps(rows))
finish()
