"""The wear of the flash: counted across restarts, shown by status and `weir buffer wear`, with the agent running and stopped.

usage: wear_test.py WEIR"""
import datetime
import json

from program import Agent, check, configuration, finish, free_port, run

config = configuration(free_port())
config["buffer"]["medium"] = {"size": "8 GB", "cycles": 500}
agent = Agent(config).start()
for i in range(30):
    agent.post("/a", '{"v": 1}')
wear = agent.status()["wear"]
today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
check("30 commits at least, of 30 events at least", wear["today"]["commits"] >= 30 and wear["today"]["events"] >= 30, json.dumps(wear))
check("each wrote a block at least, and was synced", wear["today"]["bytes"] >= 30 * 4096 and wear["today"]["syncs"] >= 30, json.dumps(wear))
check("the day has its name", [d["day"] for d in wear["days"]][-1:] == [today], json.dumps(wear))
check("a life is foretold", wear["life_years"] > 0 and wear["stretch"] == 1, json.dumps(wear))


def shown(*words):
    r = run("buffer", "wear", *words)
    check("it answers", r.returncode == 0, r.stderr)
    return r.stdout


where = ("--buffer", agent.buffer)
told = json.loads(shown("--json", *where))
intervals = told["intervals"]
check("six intervals, each longer one cheaper", [i["interval_ms"] for i in intervals] == [250, 1000, 5000, 10000, 30000, 60000] and
      all(a["bytes"] >= b["bytes"] and a["life_years"] <= b["life_years"] for a, b in zip(intervals, intervals[1:])), json.dumps(told))
check("of today so far", told["day"]["days"] == 0 and told["day"]["events"] >= 30, json.dumps(told))
table = shown(*where)
check("a table for people", "today so far" in table and "0.25 s" in table and "LIFE, YEARS" in table, table)
check("it stops in order", agent.stop() == 0, agent.log()[-500:])
stopped = json.loads(shown("--json", *where))
check("the file knows it", stopped["measured"]["total"]["events"] >= 30 and stopped["measured"]["days"][0]["day"] == today, json.dumps(stopped))
check("no medium, no life", stopped["intervals"][0]["life_years"] is None and "buffer.medium" in shown(*where), json.dumps(stopped))
agent.start()
again = agent.status()["wear"]
check("it goes on from there", again["total"]["bytes"] >= stopped["measured"]["total"]["bytes"] and again["commits"] < 30, json.dumps(again))
check("it stops in order again", agent.stop() == 0, agent.log()[-500:])
check("no buffer", run("buffer", "wear", "--buffer", "/nowhere/b.db").returncode == 2)
check("no such word", run("buffer", "wear", "--jsn").returncode == 2)
finish()
