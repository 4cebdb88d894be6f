"""Checks that a campaign is complete: every planned sample counted once, in results.json and in the store.

usage: whole.py DATA-FOLDER RESULTS.json [--samples N] [--targets N] [--joined N] [--started N] [--lost N]
    the expected number of samples and targets; the minimum number of joins, controller starts and revoked shards,
    to verify that the fault took effect
"""

import argparse
import json
import sqlite3

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("results")
parser.add_argument("--samples", type=int)
parser.add_argument("--targets", type=int)
parser.add_argument("--joined", type=int, default=1)
parser.add_argument("--started", type=int, default=1)
parser.add_argument("--lost", type=int, default=0)
options = parser.parse_args()

results = json.load(open(options.results))
campaign = results["campaign"]
assert campaign["state"] == "complete" and campaign["missing_samples"] == 0, campaign
assert options.samples in (None, campaign["planned_samples"]), f"{campaign['planned_samples']} were planned"
database = sqlite3.connect(f"file:{options.folder}/fleetmark.db?mode=ro", uri=True)


def count(what):
    return database.execute(f"SELECT count(*) FROM {what}").fetchone()[0]


assert count("campaign") == 1, f"{count('campaign')} campaigns, expected one that was resumed"
rows = database.execute("SELECT cell, run, sample, counted FROM sample").fetchall()
counted = [row[:3] for row in rows if row[3] == 1]
assert len(counted) == len(set(counted)) == campaign["planned_samples"], f"{len(counted)} counted"
targets = {entry["target"] for entry in results["results"]}
assert options.targets in (None, len(targets)), targets
joined, lost = count("agent"), count("event WHERE kind = 'agent_lost'")
started = database.execute("SELECT starts FROM campaign").fetchone()[0]
felt = {"joined": (joined, options.joined), "started": (started, options.started), "lost": (lost, options.lost)}
assert all(is_so >= must for is_so, must in felt.values()), f"the fault was not felt: {felt}"
print(
    f"whole: {len(counted)} samples once, {len(rows) - len(counted)} late, {len(targets)} targets, agents joined {joined} times, "
    f"lost a shard {lost} times, {started} starts of the controller"
)
