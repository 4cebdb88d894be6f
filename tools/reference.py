"""Generates the book's reference from the programs, and checks docs/matrix.md, controller/matrix/src/matrix.schema.json, docs/watching.md and links.

usage: reference.py PROGRAMS BOOK-SOURCES
"""

import json
import pathlib
import re
import subprocess
import sys

programs, book = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
repository = pathlib.Path(__file__).parent.parent


def said(*command):
    return subprocess.run(command, capture_output=True, text=True)


# Commands: the --help of every command and subcommand.
def commands(program, words=()):
    text = said(programs / program, *words, "--help").stdout
    yield " ".join((program, *words)), text
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    for name in re.findall(r"^  ([a-z][a-z-]*)", listed[1], re.M) if listed else []:
        if name != "help":
            yield from commands(program, (*words, name))


page = ["# Commands\n", "The output of `--help` for this version.\n"]
for program in ("controller", "agent"):
    for name, text in commands(program):
        page.append(f"## {name}\n\n```text\n{text.rstrip()}\n```\n")
(book / "reference/commands.md").write_text("\n".join(page))

# Results: the JSON Schema as tables.
schema = json.loads((repository / "docs/results.schema.json").read_text())


def type_of(field):
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for many in ("anyOf", "oneOf"):
        if many in field:
            return " or ".join(dict.fromkeys(type_of(one) for one in field[many]))
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    kind = field.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    if "items" in field and isinstance(field["items"], dict):
        return f"list of {type_of(field['items'])}" + (" or null" if "null" in kind else "")
    if isinstance(field.get("additionalProperties"), dict):
        return f"object of {type_of(field['additionalProperties'])}"
    return kind


def table(name, one):
    rows = [f"## {name}\n"]
    if one.get("description"):
        rows.append(one["description"] + "\n")
    if one.get("properties"):
        rows += ["| field | type | meaning |", "| --- | --- | --- |"]
        for field, of in one["properties"].items():
            what = " ".join(of.get("description", "").split()).replace("|", "\\|")
            rows.append(f"| `{field}` | {type_of(of)} | {what} |")
        rows.append("")
    else:
        rows.append(type_of(one) + "\n")
    return "\n".join(rows)


page = ["# results.json\n", "Generated from the [JSON Schema](../results.schema.json).\n", table("Top level", schema)]
page += [table(name, one) for name, one in sorted(schema.get("$defs", schema.get("definitions", {})).items())]
(book / "reference/results.md").write_text("\n".join(page))

# Metrics, from their registration in the code.
page = ["# Metrics\n", "In the Prometheus text format, on the port given by `--metrics`; `fleetmark_serve_*` on that of `agent serve`.\n", "| metric | meaning |", "| --- | --- |"]
registered = set()
for program in ("controller", "agent"):
    source = "\n".join(path.read_text() for path in sorted((repository / program).rglob("*.rs")))
    for name, what in dict(re.findall(r'"(fleetmark_[a-z_]+)",\s*"([^"]+)"', source)).items():
        page.append(f"| `{name}` | {what} |")
        registered.add(name)
(book / "reference/metrics.md").write_text("\n".join(page) + "\n")

pages = "".join((repository / "docs" / name).read_text() for name in ("watching.md", "serving.md"))
described = set(re.findall(r"fleetmark_[a-z_]+", pages))
if registered != described:
    sys.exit(f"docs/watching.md, docs/serving.md: missing metrics {sorted(registered - described)}, unknown metrics {sorted(described - registered)}")

# The matrix: for an unknown key, the controller lists the known ones.
UNKNOWN = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"
sections = {"": ""}
known = {}
for _ in range(4):
    text = "".join(f"[{header}]\n{UNKNOWN} = 1\n" if header else f"{UNKNOWN} = 1\n" for header in sections.values())
    asked = book / "unknown.toml"
    asked.write_text(text)
    complaints = said(programs / "controller", "plan", asked).stderr
    asked.unlink()
    known = {}
    for path, names in re.findall(rf"line \d+: (?:(.+)\.)?{UNKNOWN}: unknown key; known here: (.*)", complaints):
        known[re.sub(r"\[0\]", "[]", path)] = names.split(", ")
    # Finds out by trial which of these are sections; a value in place of a section is an error.
    for path, names in known.items():
        for name in names:
            whole = f"{path}.{name}" if path else name
            plain = whole.replace("[]", "")
            for key, header in ((whole, plain), (f"{whole}[]", f"[{plain}]")):
                if whole in sections or f"{whole}[]" in sections:
                    continue
                asked.write_text(text + f"[{header}]\n{UNKNOWN} = 1\n")
                indexed = key.replace("[]", "[0]")
                if f"{indexed}.{UNKNOWN}: unknown key" in said(programs / "controller", "plan", asked).stderr:
                    sections[key] = header
                asked.unlink()
taken = {f"{path}.{name}" if path else name for path, names in known.items() for name in names}
taken = {key for key in taken if key not in known and f"{key}[]" not in known}
documented = set(re.findall(r"`([a-z0-9_.\[\]]+)`", "\n".join(
    line.split("|")[1] for line in (repository / "docs/matrix.md").read_text().splitlines() if line.startswith("| `"))))
# The JSON Schema of the matrix has the same keys.
def keys_of(schema, path=""):
    schema = next((one for one in schema.get("anyOf", []) if one.get("type") == "object"), schema)
    if schema.get("type") == "array" and "properties" in schema["items"]:
        return keys_of(schema["items"], f"{path}[]")
    if "properties" not in schema:
        return {path}
    return {key for name, of in schema["properties"].items() for key in keys_of(of, f"{path}.{name}" if path else name)}


schema_keys = keys_of(json.loads((repository / "controller/matrix/src/matrix.schema.json").read_text()))
unlisted, unknown = sorted(taken - schema_keys), sorted(schema_keys - taken)
if unlisted or unknown:
    sys.exit(f"controller/matrix/src/matrix.schema.json: missing keys {unlisted}, unknown keys {unknown}")
# Each message channel is documented as a single key.
channels = {f"notify.{name}" for name in ("email", "slack", "teams", "webhook")}
taken = {next((channel for channel in channels if key.startswith(channel)), key) for key in taken}
assert len(taken) > 30, f"the controller listed only {sorted(taken)}"
missing, gone = sorted(taken - documented), sorted(documented - taken - channels)
if missing or gone:
    sys.exit(f"docs/matrix.md: missing keys {missing}, unknown keys {gone}")

# Links between pages.
broken = []
for page in [*repository.glob("docs/**/*.md"), *repository.glob("deploy/**/*.md"), repository / "README.md"]:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        # platforms/ and reference/ exist only in the book.
        if "://" in link or re.match(r"(platforms|reference)/", link):
            continue
        if not (page.parent / link).exists():
            broken.append(f"{page.relative_to(repository)}: {link}")
if broken:
    sys.exit("broken links:\n" + "\n".join(broken))
# Every page must be in the table of contents.
named = (repository / "docs/SUMMARY.md").read_text()
pages = [page.name for page in repository.glob("docs/*.md")] + [f"platforms/{page.parent.name}.md" for page in repository.glob("deploy/*/README.md")]
unnamed = [page for page in pages if f"({page})" not in named and page != "SUMMARY.md"]
if unnamed:
    sys.exit(f"docs/SUMMARY.md: missing pages {', '.join(unnamed)}")

print(f"{len(taken)} matrix keys and {len(registered)} metrics, all documented; no broken links")
