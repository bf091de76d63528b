#!/usr/bin/env python3
"""Draws what the author of a pull request sees of a gate: the job's summary, the annotations, the tests of its JUnit file.

They are renderings by Chromium with a stylesheet like GitHub's and GitLab's, not pictures of those sites: the texts are
the gate's own files, byte for byte.

Usage: scripts/ci-pictures.py GATE-FOLDER [OUT]      (OUT: docs/pictures)

Needs chromium and, for the summary's symbol, a font of emoji (Debian's fonts-noto-color-emoji), and makes a Python environment in target/ for markdown-it-py.
"""

import html
import re
import subprocess
import sys
import tempfile
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "target" / "ci-pictures"
CONVERT = (
    "import sys; from markdown_it import MarkdownIt; "
    "print(MarkdownIt('commonmark', {'html': True}).enable('table').render(sys.stdin.read()))"
)
WIDTH = 920

STYLE = """
body { margin: 0; padding: 16px 24px; width: 872px; background: #fff; color: #1f2328;
  font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", Helvetica, Arial, sans-serif; }
h2 { font-size: 21px; margin: 8px 0 12px; padding-bottom: 6px; border-bottom: 1px solid #d1d9e0; }
p, ul { margin: 0 0 12px; } code { background: #eff1f3; border-radius: 6px; padding: 2px 5px; font-size: 85%; }
table { border-collapse: collapse; margin: 0 0 12px; font-size: 14px; }
th, td { border: 1px solid #d1d9e0; padding: 5px 12px; text-align: left; } th { font-weight: 600; }
tr:nth-child(2n) td { background: #f6f8fa; }
blockquote { margin: 0 0 12px; padding: 0 1em; color: #59636e; border-left: 4px solid #d1d9e0; }
summary { cursor: pointer; margin: 0 0 6px; }
.note { border: 1px solid #d1d9e0; border-left: 4px solid #0969da; border-radius: 6px; padding: 8px 14px; margin: 0 0 10px; }
.note.error { border-left-color: #cf222e; } .note.warning { border-left-color: #9a6700; }
.note b { display: block; } .note small { color: #59636e; } .note p { margin: 2px 0 0; white-space: pre-wrap; }
.failed { color: #cf222e; } .passed { color: #1a7f37; } .skipped { color: #59636e; }
td.status { white-space: nowrap; font-weight: 600; }
"""


def page(body):
    return f'<!doctype html><meta charset="utf-8"><title>gate</title><style>{STYLE}</style><body>{body}</body>'


def summary(folder):
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "markdown-it-py"], check=True)
    text = (folder / "gate.md").read_bytes()
    return subprocess.run([python, "-c", CONVERT], input=text, capture_output=True, check=True).stdout.decode()


def annotations(folder):
    notes = []
    for line in (folder / "annotations.txt").read_text().splitlines():
        found = re.fullmatch(r"::(error|warning|notice) ?(.*?)::(.*)", line)
        if not found:
            continue
        kind, keys, text = found.groups()
        unescape = lambda value: value.replace("%2C", ",").replace("%3A", ":").replace("%0A", "\n").replace("%25", "%")
        keys = {key: unescape(value) for key, _, value in (pair.partition("=") for pair in keys.split(","))}
        place = html.escape(keys.get("file", ""))
        title, text = html.escape(keys.get("title", "Tollgate")), html.escape(unescape(text))
        notes.append(f'<div class="note {kind}"><small>{kind} · {place}</small><b>{title}</b><p>{text}</p></div>')
    return f"<h2>Annotations</h2>{''.join(notes)}"


def tests(folder):
    rows = []
    for case in ElementTree.parse(folder / "junit.xml").iter("testcase"):
        status, said = "passed", ""
        for child, word in [("failure", "failed"), ("error", "error"), ("skipped", "skipped")]:
            found = case.find(child)
            if found is not None:
                status, said = word, found.get("message", "")
        colour = "failed" if status == "error" else status
        suite, name = (html.escape(case.get(key, "")) for key in ("classname", "name"))
        rows.append(f'<tr><td class="status {colour}">{status}</td><td>{suite}</td><td>{name}</td><td>{html.escape(said)}</td></tr>')
    return f"<h2>Tests</h2><table><tr><th>status</th><th>suite</th><th>name</th><th>message</th></tr>{''.join(rows)}</table>"


def chromium(work, *arguments):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--blink-settings=preferredColorScheme=1", f"--user-data-dir={work}/profile", *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


def draw(body, out):
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "page.html"
        tell = "<script>document.body.dataset.height = document.documentElement.offsetHeight</script>"
        file.write_text(page(body + tell))
        told = chromium(work, f"--window-size={WIDTH},600", "--dump-dom", f"file://{file}")
        height = int(re.search(r'data-height="(\d+)"', told).group(1))
        chromium(work, f"--window-size={WIDTH},{height}", f"--screenshot={out}", f"file://{file}")
    print(f"{out}: {WIDTH} × {height}, {out.stat().st_size} bytes")


def main():
    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / "gate.md").exists():
        sys.exit("usage: scripts/ci-pictures.py GATE-FOLDER [OUT]; the folder is one that `tollgate gate` wrote")
    folder = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    draw(summary(folder), out / "gate-summary.png")
    draw(annotations(folder), out / "gate-annotations.png")
    draw(tests(folder), out / "gate-tests.png")


if __name__ == "__main__":
    main()
