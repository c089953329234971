"""The style of the board: light and dark, phone and paper.

Contrast of text is at least 4.5 to 1 (WCAG 2.2, 1.4.3) in both; tests/unit/render/test_board_style.py computes it from the values below.
On paper everything is dark on white, what scrolls is wrapped instead, and the borders that carry a meaning stay.
"""

from __future__ import annotations

LIGHT = {
    "page": "#fbfaf8",
    "sheet": "#ffffff",
    "ink": "#1d2126",
    "dim": "#59616b",
    "line": "#dcdad5",
    "met": "#1d6a41",
    "drifted": "#a32219",
    "waived": "#61479b",
    "unknown": "#855300",
    "drifted-wash": "#fcefed",
    "unknown-wash": "#fbf3e2",
    "fill": "#5f7c9a",
    "track": "#eceae5",
    "link": "#1a4f8a",
}
DARK = {
    "page": "#14171a",
    "sheet": "#1b1f24",
    "ink": "#e6e9ec",
    "dim": "#a0a9b2",
    "line": "#333a42",
    "met": "#7fcc9c",
    "drifted": "#ff948a",
    "waived": "#c4adf2",
    "unknown": "#e9b95c",
    "drifted-wash": "#33201f",
    "unknown-wash": "#302818",
    "fill": "#6d8db0",
    "track": "#2a3037",
    "link": "#8fbdf0",
}

_RULES = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
code { font: .86em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; unicode-bidi: isolate; }
b, span, i { unicode-bidi: isolate; }
i { font-style: normal; }
p, ul, ol, dl, dd, h1, h2, h3, h4 { margin: 0; }
ul, ol { padding: 0; list-style: none; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { font-size: 2rem; line-height: 1.15; font-weight: 650; letter-spacing: -.015em; }
h2 { font-size: 1.2rem; font-weight: 650; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; font-weight: 650; margin: 1.75rem 0 .5rem; }
h4 { font-size: .95rem; font-weight: 600; }
.dim { color: var(--dim); font-size: .87rem; }
.lead { color: var(--dim); max-width: 54rem; }
.none { color: var(--dim); padding: .5rem 0; }
.nowrap { white-space: nowrap; }
.legend { margin: .75rem 0; max-width: 60rem; }
.top h1 { margin-bottom: .4rem; }
.top > .lead { font-size: 1.05rem; color: var(--ink); }
.top dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { color: var(--dim); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin-top: 1rem; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); margin: 1.25rem 0; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 6px; max-width: 46rem; }
.tiles li { padding: .7rem 1rem; border-left: 1px solid var(--line); }
.tiles li:first-child { border-left: 0; }
.tiles b { display: block; font-size: 1.9rem; line-height: 1.1; font-weight: 600; }
.tiles span { font-size: .8rem; font-weight: 600; letter-spacing: .02em; }
.tiles .met span { color: var(--met); } .tiles .drifted span { color: var(--drifted); }
.tiles .waived span { color: var(--waived); } .tiles .unknown span { color: var(--unknown); }

.badge { display: inline-block; padding: 0 .4em; border: 1px solid transparent; border-radius: 3px;
  font-size: .78rem; line-height: 1.55; font-weight: 650; letter-spacing: .02em; white-space: nowrap; }
.badge.met { color: var(--met); padding: 0; font-weight: 550; }
.badge.drifted { color: var(--drifted); border: 1.5px solid var(--drifted); background: var(--drifted-wash); }
.badge.unknown { color: var(--unknown); border: 1.5px dashed var(--unknown); background: var(--unknown-wash); }
.badge.waived { color: var(--waived); border: 1.5px dotted var(--waived); }

details > summary { cursor: pointer; }
.host { background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; margin-top: .75rem;
  content-visibility: auto; contain-intrinsic-size: auto 3rem; }
.host > summary { padding: .6rem 1rem; }
.host:not([open]) { margin-top: .4rem; }
.host:not([open]) > summary { padding: .35rem 1rem; }
.host > summary h3 { display: inline; margin: 0 .5rem 0 .1rem; font-size: 1.02rem; }
.host > summary > .dim { margin-left: .5rem; }
.tally .badge { margin-right: .15rem; }
.inside { padding: .25rem 1rem 1rem; }
.inside > h4 { margin: 1rem 0 .25rem; }
.doubt { border: 1.5px dashed var(--unknown); border-radius: 4px; padding: .5rem .75rem; margin: .25rem 0 .5rem; background: var(--unknown-wash); }
.disks { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: .9rem; align-items: start; }
.disk { border: 1.5px solid var(--dim); border-radius: 10px 10px 6px 6px; background: var(--page); }
.disk.absent { border-style: dashed; }
.disk > header { padding: .55rem .85rem; border-bottom: 1px solid var(--line); }
.disk h4 { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .6rem; }
.disk .name { font: 600 1.02rem/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.disk .size { font-weight: 500; }
.mark { font-size: .78rem; font-weight: 600; border: 1px solid var(--dim); border-radius: 3px; padding: 0 .4em; }
.mount { padding: .55rem .85rem; border-bottom: 1px solid var(--line); }
.mount:last-child { border-bottom: 0; }
.mount p { font-size: .9rem; }
.disk > .none { padding: .55rem .85rem; }
.bar { display: block; width: 100%; height: 12px; margin: .25rem 0; }
.track { fill: var(--track); } .fill { fill: var(--fill); } .fill.over { fill: var(--drifted); } .tick { fill: var(--ink); }
.residents li, .awaited li { padding: .4rem .85rem .45rem; border-left: 4px solid transparent; font-size: .92rem; }
.residents li + li { border-top: 1px solid var(--line); }
.residents code, .awaited code { display: block; }
.residents .what .words { color: var(--dim); font-size: .87rem; }
.residents .belongs, .residents .note { display: block; }
.residents .belongs code { display: inline; }
.residents .met i { color: var(--met); }
.residents .drifted { border-left: 4px double var(--drifted); background: var(--drifted-wash); }
.residents .drifted .words, .residents .drifted i { color: var(--drifted); font-weight: 650; }
.residents .unknown { border-left: 4px dashed var(--unknown); background: var(--unknown-wash); }
.residents .unknown .words, .residents .unknown i { color: var(--unknown); font-weight: 650; }
.residents .waived { border-left: 4px dotted var(--waived); }
.awaited { padding: .5rem .85rem .7rem; }
.awaited li { border: 1.5px dashed var(--dim); border-radius: 4px; padding: .3rem .6rem; }
.awaited li + li { margin-top: .35rem; }

.scroll { overflow-x: auto; margin: .5rem 0; border: 1px solid var(--line); border-radius: 6px; background: var(--sheet); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; overflow-wrap: normal; }
caption { text-align: left; color: var(--dim); padding: .5rem .75rem; font-size: .87rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem; border-top: 1px solid var(--line); font-weight: 400; }
thead th { font-weight: 600; white-space: nowrap; border-bottom: 1.5px solid var(--dim); }
th > code, td > code, td > time { white-space: nowrap; }
.matrix td { white-space: nowrap; }
.matrix thead th { white-space: normal; overflow-wrap: anywhere; min-width: 5.5rem; }
.receipts td, .verified td { white-space: nowrap; }
.matrix tbody th { min-width: 8rem; } .gates tbody th { min-width: 12rem; }
.matrix a { text-decoration: none; color: inherit; }
.matrix a:hover .badge { text-decoration: underline; }
.gates td:last-child, .met td:last-child, .promotions td:last-child { min-width: 16rem; }
.rest { margin: .5rem 0; }
.rest > summary { padding: .4rem 0; color: var(--dim); }
.rest > p code { margin-right: .75rem; }
.findings li { border-left: 4px solid var(--line); padding: .3rem 0 .3rem .85rem; margin: .7rem 0;
  display: grid; grid-template-columns: minmax(0, 20rem) minmax(0, 1fr); gap: 0 1.5rem;
  content-visibility: auto; contain-intrinsic-size: auto 3.2rem; }
.findings .drifted { border-left: 4px double var(--drifted); }
.findings .unknown { border-left: 4px dashed var(--unknown); }
.findings .waived { border-left: 4px dotted var(--waived); }
.findings .reason { grid-column: 2; grid-row: 1 / span 2; max-width: 46rem; }
.findings li:target { outline: 2px solid var(--link); outline-offset: 2px; }
.alarm { border: 2px solid var(--drifted); border-left-width: 6px; border-left-style: double; border-radius: 4px;
  padding: .6rem .9rem; background: var(--drifted-wash); }
.open-runs li { border-left: 4px double var(--drifted); padding: .25rem .85rem; margin: .5rem 0; }
.wave { background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; margin-top: .75rem; }
.wave h3 { margin: 0; }
.wave dl { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: .5rem 0; }
.spark { display: block; max-width: none; }
.run.met { fill: var(--met); } .run.waived { fill: var(--waived); } .run.drifted { fill: var(--drifted); }
.run.unknown { fill: none; stroke: var(--unknown); stroke-dasharray: 2 1.5; }
footer { margin-top: 3rem; padding-top: .75rem; border-top: 1px solid var(--line); color: var(--dim); font-size: .87rem; }

@media (max-width: 40rem) {
  body { padding: 1rem .75rem 2rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles li:nth-child(odd) { border-left: 0; }
  .tiles li:nth-child(n+3) { border-top: 1px solid var(--line); }
  .top dl { grid-template-columns: 1fr; }
  .findings li { display: block; }
  .host > summary, .inside { padding-left: .75rem; padding-right: .75rem; }
  .host > summary > .dim { display: block; margin-left: .1rem; }
}
"""

_PAPER = """
@page { size: A4; margin: 14mm 12mm; }
@media print {
  html { font-size: 12px; }
  body { padding: 0 1px; max-width: none; font-size: 9pt; }
  nav { display: none; }
  a { color: inherit; text-decoration: none; }
  h2 { break-after: avoid; margin-top: 1.5rem; }
  h3, h4, caption, thead { break-after: avoid; }
  .mount, .residents li, .awaited li, .findings li, tr, .tiles, .wave dl { break-inside: avoid; }
  .host, .findings li { content-visibility: visible; }
  .disks { grid-template-columns: 1fr 1fr; }
  .scroll { overflow: visible; border: 0; }
  table { font-size: 7.5pt; overflow-wrap: anywhere; }
  th, td { padding: .2rem .3rem; }
  thead th, .matrix td, th > code, td > code, td > time { white-space: normal; }
  .receipts td, .verified td { white-space: normal; }
  .gates td:last-child, .met td:last-child, .promotions td:last-child, .matrix th, .gates tbody th { min-width: 0 !important; }
  .matrix.wide table { font-size: 6pt; }
  .matrix.wide tbody th { min-width: 16mm !important; }
  .matrix.wide th, .matrix.wide td { padding: .15rem .12rem; }
  .matrix .badge { font-size: inherit; padding: 0 .15em; white-space: normal; overflow-wrap: normal; letter-spacing: 0; }
  .track, .fill, .tick, .run { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .track { stroke: var(--dim); stroke-width: .4; }
}
"""


def _values(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


# No wash on paper: what a background says is said by border, shape and word as well.
PAPER = LIGHT | {"page": "#ffffff", "drifted-wash": "#ffffff", "unknown-wash": "#ffffff", "dim": "#444a52"}
STYLE = (
    f":root {{ color-scheme: light dark; {_values(LIGHT)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_values(DARK)} }} }}\n{_RULES}{_PAPER}"
    f"@media print {{ :root {{ color-scheme: light; {_values(PAPER)} }} }}\n"
)
