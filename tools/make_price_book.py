#!/usr/bin/env python3
"""Turns a CSV of prices into a price book.

    tools/make_price_book.py prices.csv > deploy/prices/aws.toml

Columns: provider, service, region, instance_type, usd_per_hour, source, source_date. A row without a region
or a date is left out and named on stderr. Every dated row is kept: the reader takes the newest, so that the
book shows what a price was before. A source that does not state its region is marked region_assumed.
"""

import csv
import re
import sys
from collections import defaultdict

# What the CSV calls a service -> what is bought, under which system, how.
SERVICES = {
    "ec2-ondemand-linux": ("ec2", "linux", "on-demand"),
    "sagemaker-hosting": ("sagemaker-hosting", "linux", "on-demand"),
    "sagemaker-async": ("sagemaker-async", "linux", "on-demand"),
    "sagemaker-batch-transform": ("sagemaker-batch-transform", "linux", "on-demand"),
}


def main(path):
    lists = defaultdict(dict)
    for row in csv.DictReader(open(path, newline="")):
        target, price = row["instance_type"], row["usd_per_hour"]
        known = SERVICES.get(row["service"])
        if known is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", row["source_date"]) or row["region"] == "unstated":
            print(f"left out: {target} ({row['service']}, {row['region']}, {row['source_date']})", file=sys.stderr)
            continue
        assumed = "region not stated" in row["source"]
        key = (row["provider"], *known, row["region"], assumed, row["source"], row["source_date"])
        if lists[key].setdefault(target, price) != price:
            sys.exit(f"{target}: {price} and {lists[key][target]} from one source on one day")

    print("# US dollars per hour of one instance. Not current prices: each list says who read them, and when.")
    print("# Made by tools/make_price_book.py.")
    print("version = 1")
    for key in sorted(lists, key=lambda key: (key[1], key[4], key[7], key[6])):
        provider, service, system, purchase, region, assumed, source, date = key
        print(f"\n[[list]]\nprovider = \"{provider}\"\nservice = \"{service}\"\nregion = \"{region}\"")
        if assumed:
            print("region_assumed = true")
        print(f"operating_system = \"{system}\"\npurchase = \"{purchase}\"\ncurrency = \"USD\"")
        print(f"source = \"{source}\"\ndate = {date}\n\n[list.usd_per_hour]")
        for target, price in sorted(lists[key].items()):
            print(f"\"{target}\" = {price}")


main(*sys.argv[1:])
