#!/usr/bin/env python3
"""Runs the pandas and DuckDB examples of the page of the committed example.

    tests/independent/example.py

Each file must have the rows and the schema version given in results.json, and nulls for unmeasured values.
"""

import hashlib
import json
from pathlib import Path

import duckdb
import pandas
import pyarrow.parquet as parquet

folder = Path(__file__).resolve().parents[2] / "docs" / "example"
results = json.loads((folder / "results.json").read_text())
assert results["schema_version"] == 1

page = (folder / "README.md").read_text()
lines = page.split("```python\n")[1].split("```")[0].strip().splitlines()
names = {"duckdb": duckdb, "pandas": pandas}
for line in lines:
    line = line.replace("docs/example", str(folder))
    if line.startswith("import"):
        continue
    found = eval(line, names)  # the page is part of this repository
    rows = len(found) if isinstance(found, pandas.DataFrame) else len(found.fetchall())
    assert rows > 0, line
    print(f"{rows} rows: {line[:100]}")

for file in (results["campaign"]["samples_file"], results["campaign"]["telemetry_file"]):
    path = folder / file["name"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"], path
    table, frame = parquet.read_table(path), pandas.read_parquet(path)
    counted = duckdb.sql(f"select count(*) from '{path}'").fetchall()[0][0]
    assert table.num_rows == len(frame) == counted == file["rows"], path
    print(f"{counted} rows, {len(frame.columns)} columns: {file['name']}")

cells = pandas.read_parquet(folder / "results.cells.parquet")
assert len(cells) == sum(len(entry["cells"]) for entry in results["results"])
assert cells["good_samples_per_s"].isna().all(), "no objective was set"
