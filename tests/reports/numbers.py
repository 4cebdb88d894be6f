"""Checks every number in an HTML page, a PDF's text or a Markdown report against results.json.

    numbers.py results.json report.html report.md report.txt

Numbers in fixed sentences are listed below. The table of all cells is checked cell by cell; every other number must match
some figure in results.json, with the report's rounding.
"""

import json
import math
import re
import sys
from html.parser import HTMLParser

NUMBER = re.compile(r"(?<![\w.,])[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
# A line of ticks, or a page number.
AXIS = re.compile(r"[\s\d.,%+−×–-]+|\s*\d+ of \d+\s*")
# What a tick of an axis below one may look like, such as 0.00040: figures are shown with three significant digits.
TICK = re.compile(r"0\.0*[1-9]\d?")
# Numbers of fixed sentences and of chart axes.
PROSE = {"0", "1", "2", "3", "5", "8", "10", "46", "50", "90", "93", "95", "99", "99.9", "100", "256", "473", "1,000"}


def commas(text):
    sign, rest = (text[0], text[1:]) if text[:1] == "-" else ("", text)
    whole, _, fraction = rest.partition(".")
    grouped = f"{int(whole):,}" if whole else ""
    return sign + grouped + ("." + fraction if fraction else "")


def significant(value, digits):
    if value == 0 or not math.isfinite(value):
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    decimals = min(max(digits - 1 - magnitude, 0), 12)
    return f"{value:.{decimals}f}"


def shown(value):
    return commas(significant(value, 3))


def percent(share):
    value = share * 100
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.995 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds):
    """The numbers of a duration as the report words it: `45 s`, `2 min 5 s`, `3 h 20 min`."""
    whole = int(math.floor(max(seconds, 0) + 0.5))
    return {str(part) for part in (whole, whole // 60, whole % 60, whole // 3600, whole % 3600 // 60)}


def walk(value, found):
    if isinstance(value, dict):
        for key, one in value.items():
            walk(one, found)
            if key.endswith("_s") and isinstance(one, (int, float)):
                found.update(duration(one))
    elif isinstance(value, list):
        for one in value:
            walk(one, found)
    elif isinstance(value, str):
        for text in NUMBER.findall(value):
            found.add(text.lstrip("+"))
        for text in re.findall(r"\d+(?:[.,]\d+)*", value):
            found.add(text)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        forms = {shown(value), commas(significant(value, 4)), shown(value * 100), percent(abs(value)), percent(abs(value - 1)), percent(abs(value) / 100)}
        forms |= {shown(value / 1024), repr(value), commas(str(value)) if isinstance(value, int) else shown(value)}
        forms |= {f"{value:g}"}
        found |= forms


class Text(HTMLParser):
    """The text of a page, without styles, scripts, axis labels and quoted texts."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.words, self.skip, self.tables, self.table, self.row, self.place = [], [], {}, None, None, None
        self.ids = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        names = (attributes.get("class") or "").split()
        if tag in ("style", "script", "pre", "head") or (tag == "text" and "ink-muted" in names):
            self.skip.append(tag)
        if tag == "div" and "table" in names:
            self.table = self.tables.setdefault(attributes.get("id"), [])
        if tag == "tr" and self.table is not None:
            self.row = []
            self.table.append(self.row)
        if tag in ("td", "th") and self.row is not None:
            self.place = []
            self.row.append(self.place)
        # Separates a number from the following heading or block.
        if tag in ("td", "th", "p", "li", "dd", "dt", "text", "title", "span", "strong", "summary", "h1", "h2", "h3", "div", "section", "figure", "figcaption"):
            self.words.append(" ")

    def handle_endtag(self, tag):
        if self.skip and self.skip[-1] == tag:
            self.skip.pop()
        if tag in ("td", "th"):
            self.place = None
        if tag == "table":
            self.table = self.row = None

    def handle_data(self, data):
        if self.skip:
            return
        self.words.append(data)
        if self.place is not None:
            self.place.append(data)


def unknown(text, known):
    numbers = (number.replace("−", "-").lstrip("+") for number in NUMBER.findall(text))
    return sorted({number for number in numbers if number not in known and number.lstrip("-") not in known})


def ticks(text):
    """Numbers below one that stand for ticks: two others like them are at equal steps, counting zero as one."""
    found = {number for number in NUMBER.findall(text) if TICK.fullmatch(number)}
    values = {round(float(number), 12) for number in found} | {0.0}
    at = lambda value: round(value, 12) in values
    is_tick = lambda a: any(
        b != a and (at(2 * a - b) or at(2 * b - a) or at((a + b) / 2)) for b in values
    )
    return {number for number in found if is_tick(float(number))}


def with_interval(estimate):
    if estimate is None or estimate["value"] is None:
        return "–"
    low, high = estimate["ci_low"], estimate["ci_high"]
    text = shown(estimate["value"])
    if low is not None and high is not None:
        return f"{text} {shown(low)} to {shown(high)}"
    return f"{text} at least {shown(low)}" if low is not None else text


def per_million(cell):
    """The cost of a million requests, which reports add to costs below 0.01 USD per 1,000."""
    cost = cell["cost"]["usd_per_1000_requests"]
    if cost["value"] is None or cost["value"] >= 0.01:
        return dict.fromkeys(("value", "ci_low", "ci_high"))
    return {key: cost[key] and cost[key] * 1000 for key in ("value", "ci_low", "ci_high")}


def check_cells(rows, results):
    """Checks every field of the table of all cells."""
    headings = ["".join(place).strip() for place in rows[0]]
    expected = {
        "Cost per 1,000 USD": lambda cell: cell["cost"]["usd_per_1000_requests"],
        "Cost per million USD": per_million,
        "Throughput samples/s": lambda cell: cell["estimates"]["throughput"]["per_host"],
        "Latency p50 ms": lambda cell: cell["estimates"]["latency_ms"]["p50"],
        "Latency p95 ms": lambda cell: cell["estimates"]["latency_ms"]["p95"],
        "Latency p99 ms": lambda cell: cell["estimates"]["latency_ms"]["p99"],
        "Cost per million tokens USD": lambda cell: cell["cost"]["usd_per_million_output_tokens"],
        "ROUGE-L F1": lambda cell: cell["quality"] and cell["quality"]["rougeL"],
    }
    # Columns without a figure are left out, but no report is without these.
    for heading in ("Batch", "Validity", "Cost per 1,000 USD", "Throughput samples/s"):
        assert heading in headings, f"no column {heading!r} among {headings}"
    checked = 0
    cells = [cell for entry in results["results"] for cell in entry["cells"]]
    assert len(cells) == len(rows) - 1, f"{len(rows) - 1} rows for {len(cells)} cells"
    for row, cell in zip(rows[1:], cells):
        places = [" ".join("".join(place).split()) for place in row]
        assert places[headings.index("Batch")] == str(cell["batch_size"]), (places, cell["batch_size"])
        assert places[headings.index("Validity")] == cell["validity"]["status"], places
        for heading in expected.keys() & set(headings):
            found = places[headings.index(heading)]
            wanted = with_interval(expected[heading](cell))
            assert found == wanted, f"{cell['cell']}, {heading}: {found!r} is not {wanted!r}"
            checked += 1
    return checked


def main(results_file, *reports):
    with open(results_file, encoding="utf-8") as file:
        results = json.load(file)
    known = set(PROSE)
    walk(results, known)
    known.add(commas(str(sum(len(entry["cells"]) for entry in results["results"]))))
    # The report itself computes the counts of cells by status and the deviations between runs.
    for status in ("VALID", "DEGRADED", "INVALID"):
        cells = [cell for entry in results["results"] for cell in entry["cells"]]
        known.add(str(sum(cell["validity"]["status"] == status for cell in cells)))
    for entry in results["results"]:
        for cell in entry["cells"]:
            known |= {shown(cost) for cost in per_million(cell).values() if cost is not None}
            estimates = cell["estimates"]
            by_run = [run["throughput"] for run in estimates["runs"] if run["throughput"] is not None]
            if estimates["throughput"]["std"] is not None:
                known.add(shown(estimates["throughput"]["std"] / (sum(by_run) / len(by_run)) * 100))
            # The share of the time between batches, which is stated where it isn't negligible.
            by_wall, inside = estimates["wall_samples_per_s"], estimates["throughput"]["per_host"]["value"]
            if by_wall is not None and inside:
                known.add(shown((1 - by_wall / inside) * 100))
    # So does it count cells and pairs: ties, cells with the same reason, pairs without a significant difference.
    countable = sum(len(entry["cells"]) for entry in results["results"]) + len(results["comparisons"])
    known |= {str(count) for count in range(countable + 1)}
    failed = False
    for report in reports:
        with open(report, encoding="utf-8") as file:
            text = file.read()
        checked, whole = 0, text
        if report.endswith(".html"):
            page = Text()
            page.feed(text)
            text = "".join(page.words)
            checked = check_cells(page.tables["cells-table"], results)
        # Characters that would act where they are shown are escaped.
        text = re.sub(r"\\u\{[0-9a-f]+\}", " ", text)
        if report.endswith(".md"):
            text = re.sub(r"&#\d+;", " ", text)
        if report.endswith(".txt"):
            # In a PDF's text, lines break within intervals, and the ticks of chart axes are on separate lines, or on one
            # with the words of a neighboring chart.
            text = "\n".join(line for line in text.splitlines() if not AXIS.fullmatch(line))
        wrong = unknown(text, known)
        if report.endswith(".txt"):
            on_axes = ticks(whole)
            wrong = [number for number in wrong if number not in on_axes]
        total = len(NUMBER.findall(text))
        for number in wrong[:8]:
            at = re.search(r"(?<![\w.,])" + re.escape(number) + r"(?![\w])", text)
            if at:
                print("  unknown:", " ".join(text[max(0, at.start() - 70):at.end() + 50].split()))
        print(f"{report}: {total} numbers, {checked} of them place by place, {len(wrong)} unknown")
        if wrong:
            print("  not in results.json:", ", ".join(wrong[:40]))
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
