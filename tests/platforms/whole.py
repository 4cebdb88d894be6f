"""Checks that a campaign is whole: every planned sample counted once, in results.json and in the store.

usage: whole.py DATA-FOLDER RESULTS.json [--targets N]
"""

import argparse
import json
import sqlite3

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("results")
parser.add_argument("--targets", type=int)
options = parser.parse_args()

results = json.load(open(options.results))
campaign = results["campaign"]
assert campaign["state"] == "complete" and campaign["missing_samples"] == 0, campaign
database = sqlite3.connect(f"file:{options.folder}/fleetmark.db?mode=ro", uri=True)
campaigns = database.execute("SELECT count(*) FROM campaign").fetchone()[0]
assert campaigns == 1, f"{campaigns} campaigns, not one that was gone on with"
rows = database.execute("SELECT cell, run, sample, counted FROM sample").fetchall()
counted = [row[:3] for row in rows if row[3] == 1]
assert len(counted) == len(set(counted)) == campaign["planned_samples"], f"{len(counted)} counted"
targets = {entry["target"] for entry in results["results"]}
assert options.targets in (None, len(targets)), targets
agents = database.execute("SELECT count(*) FROM agent").fetchone()[0]
print(f"whole: {len(counted)} samples once, {len(rows) - len(counted)} late, {len(targets)} targets, joined {agents} times")
