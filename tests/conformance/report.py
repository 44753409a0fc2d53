"""What the harness measured, for people: a line for each cell, the table and the plot."""

import html

WEATHERS = {"steady": "steady", "failing": "every second refresh fails", "outage": "STS down for 40 % of each lifetime"}
# Of Okabe and Ito, for every kind of eye; its vermilion is for what was refused.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d1f")
REFUSED = "#d62700"
LANES = {"steady": "default", "outage": "default, STS down", "file": "file"}
LABEL, WIDTH, LANE, GAP, TOP = 300, 700, 11, 9, 34

TEXT = """\
# Which client notices fresh credentials

Written by `scripts/conformance`: each client ran as one long-lived process behind fedboot for {seconds:g} seconds, on
credentials that live {lifetime} seconds, against an S3 and an STS that check each request's signature, session token and
expiry. How: [tests/conformance](../tests/conformance/README.md).

- **yes**: the running client switched to fresh keys, again and again. **each call**: it is a new process each time.
- **new process**: the running client stays with its first keys and fails once they expire; a new one would find fresh keys.
- **never**: a new one finds the expired keys as well. **no keys**: the client finds none in what is delivered.
- **with failures**: it switches, but some requests fail on the way. **after refusals**: it switches once a request has been
  refused, and repeats that one by itself; the program notices nothing.
- **refused**: nothing that it signs is accepted. **no exchange**: it never exchanged the token at the STS of this test. It
  does not know such files, or no setting tells it of an STS without TLS, and then it may work elsewhere.

With the default no request of any client may fail, whatever the weather; no other cell may change unnoticed.

{summary}

![which key each request was signed with](clients.svg)

A dot is a request, its colour the key that it was signed with, red if it was refused; a tick below says when that key
expires. Three lanes for each client: the default, the default while STS is down for 40 % of each lifetime, and a file with
static keys that is rewritten at each refresh.

## The default in three weathers

Requests, how many failed, how often the client asked fedboot for credentials, and how long before the expiry of those it had
(median). Windows of five and fifteen minutes are longer than the whole lifetime here: such clients ask at each request.
fedboot refreshes at about half the lifetime.

{weathers}

## The other deliveries

{others}
"""


def line(result):
    if result["verdict"] == "broken":
        return "broken"
    return (
        f"{verdict(result)}; {result['requests']} requests, {result['failed']} failed, {result['refused']} refused; "
        f"{asked(result)}"
    )


def verdict(result):
    """What expected.json holds. A client that is stuck fails of course."""
    word = result["verdict"]
    if word in ("yes", "each call"):
        if result["failed"]:
            return f"{word}, with failures"
        if result["refused"]:
            return f"{word}, after refusals"
    return word


def asked(result):
    if not result["answers"]:
        return "nothing to ask"
    how = f"asked {result['answers']} times"
    if result["early"] is None:
        return how
    return f"{how}, {abs(result['early']):g} s {'early' if result['early'] >= 0 else 'late'}"


def figures(result):
    text = f"{result['requests']} requests, {result['failed']} failed"
    if result["failed"] and result["codes"]:
        text += f" ({max(result['codes'], key=result['codes'].get)})"
    if result["refused"] and not result["failed"]:
        text += f", {result['refused']} refused and repeated"
    return f"{text}; {asked(result)}"


def write(cells, directory, *, lifetime):
    rows, seconds = {}, max(cell.seconds for cell in cells)
    for cell in cells:
        rows.setdefault(cell.client, {})[cell.column] = cell.result
    rows = sorted(rows.values(), key=lambda row: (row["steady"]["client"].lower(), row["steady"]["version"]))
    others = [column for column in rows[0] if column not in WEATHERS]
    text = TEXT.format(
        lifetime=lifetime,
        seconds=seconds,
        summary=table(rows, {"steady": "default", **{name: f"`{name}`" for name in others}}, verdict),
        weathers=table(rows, WEATHERS, figures),
        others=table(rows, {name: f"`{name}`" for name in others}, lambda one: f"**{verdict(one)}**; {figures(one)}"),
    )
    (directory / "clients.md").write_text(text)
    (directory / "clients.svg").write_text(plot(rows, seconds))


def name(row):
    return f"{row['steady']['client']} {row['steady']['version']}"


def table(rows, columns, show):
    lines = [["client", *columns.values()], ["---"] * (len(columns) + 1)]
    lines += [[name(row), *(show(row[column]) for column in columns)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(rows, seconds):
    height = TOP + len(rows) * (len(LANES) * LANE + GAP)
    box = f'viewBox="0 0 {LABEL + WIDTH + 20} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="10">',
        f'<rect width="100%" height="{height}" fill="#fff"/>',
    ]
    for second in range(0, int(seconds) + 1, 10):
        x = across(second, seconds)
        parts.append(f'<path d="M{x} {TOP - 8}V{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{TOP - 14}" text-anchor="middle">{second} s</text>')
    for index, row in enumerate(rows):
        y = TOP + index * (len(LANES) * LANE + GAP)
        parts.append(f'<text x="4" y="{y + 9}" font-weight="bold">{html.escape(name(row))}</text>')
        for column, label in LANES.items():
            parts.append(
                f'<text x="{LABEL - 8}" y="{y + 7}" text-anchor="end" font-size="8" fill="#555">{label}</text>'
            )
            parts += lane(row[column], y + 4, seconds)
            y += LANE
    return "\n".join([*parts, "</svg>\n"])


def across(second, seconds):
    return LABEL + round(max(0.0, min(second, seconds)) * WIDTH / seconds)


def lane(result, y, seconds):
    """A path for each key's dots, one for the refused ones; a tick where a used key ends."""
    dots = {}
    if not result["timeline"]:
        yield f'<text x="{LABEL + 4}" y="{y + 3}" font-size="8" fill="#555">no request came</text>'
    for at, key, code in result["timeline"]:
        dots.setdefault(None if code else key, set()).add(across(at, seconds))
    for key, places in sorted(dots.items(), key=lambda item: (item[0] is None, item[0] or 0)):
        colour = REFUSED if key is None else COLOURS[key % len(COLOURS)]
        path = "".join(f"M{x} {y}h0" for x in sorted(places))
        yield f'<path d="{path}" stroke="{colour}" stroke-width="4.4" stroke-linecap="round"/>'
        if key is not None and (end := result["expiries"][key]) <= seconds:
            yield f'<path d="M{across(end, seconds)} {y + 2}v4" stroke="{colour}" stroke-width="1.5"/>'
