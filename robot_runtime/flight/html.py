"""What the pages about flights, calibrations and studies share: their style, and the pieces that make them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { --ink:#1c2430; --soft:#5d6b7c; --paper:#ffffff; --card:#f6f8fa; --edge:#dde3ea; --good:#1a7f4b; --bad:#b3261e;
  --c0:#0072b2; --c1:#d55e00; --c2:#009e73; --c3:#b5559a; --c4:#b58900; --c5:#3aa0d8; --c6:#7d5fb2; --c7:#7a8794; }
@media (prefers-color-scheme: dark) { :root { --ink:#e3e8ee; --soft:#96a3b3; --paper:#12161c; --card:#1a2029;
  --edge:#2c3542; --good:#4cc38a; --bad:#ff7b72; --c0:#4da3e0; --c1:#f08a4b; --c2:#35c299; --c3:#d98cc4; --c4:#e0b53c;
  --c5:#7cc7ee; --c6:#ab94dc; --c7:#a3adb8; } }
:root { color-scheme:light dark }
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--paper); margin:0 auto; max-width:1420px;
  padding:1.5rem; }
h1 { font-size:1.5rem; margin:0 } h2 { font-size:1.1rem; margin:2rem 0 .6rem }
h3 { font-size:.95rem; margin:1rem 0 .3rem }
.verdict { border-left:6px solid var(--soft); background:var(--card); padding:.8rem 1rem; margin:1rem 0 }
.verdict.good { border-color:var(--good) } .verdict.bad { border-color:var(--bad) }
.verdict b { font-size:1.15rem } .soft { color:var(--soft) } span.bad,p.bad { color:var(--bad) }
.facts { display:flex; flex-wrap:wrap; gap:.4rem 2rem; margin:.5rem 0; font-variant-numeric:tabular-nums }
.grid { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(400px,100%),1fr)); gap:.8rem }
svg { width:100%; height:auto; background:var(--card); border:1px solid var(--edge); border-radius:6px }
svg.wide { max-width:900px } svg text { font:10px system-ui,sans-serif; fill:var(--soft) }
svg .title { font-size:11px; font-weight:600; fill:var(--ink) } svg .note { font-weight:400; fill:var(--soft) }
svg .tick { font-size:9px } svg .grid { stroke:var(--edge); stroke-width:.6 }
svg .over { paint-order:stroke; stroke:var(--card); stroke-width:3px }
svg .line { fill:none; stroke-width:1.2; stroke-linejoin:round } svg .bar { fill:var(--c0) }
svg .limit { stroke:var(--bad); stroke-width:.8; stroke-dasharray:4 3 } svg .beyond { fill:var(--bad); opacity:.1 }
svg .mark { stroke:var(--soft); stroke-width:.6; stroke-dasharray:2 3 } svg .one { stroke:var(--soft); stroke-width:.8 }
.dot { fill:var(--paper); stroke-width:1.6 }
.measured { stroke:var(--c0) } .commanded { stroke:var(--c1) } .wanted { stroke:var(--c7); stroke-dasharray:3 2 }
.c0 { stroke:var(--c0) } .c1 { stroke:var(--c1) } .c2 { stroke:var(--c2) } .c3 { stroke:var(--c3) }
.c4 { stroke:var(--c4) } .c5 { stroke:var(--c5) } .c6 { stroke:var(--c6) } .c7 { stroke:var(--c7) }
.scroll { overflow-x:auto } .grid + .scroll { margin-top:.6rem }
table { border-collapse:collapse; font-size:.87rem; font-variant-numeric:tabular-nums }
td,th { text-align:left; padding:.18rem .9rem .18rem 0; border-bottom:1px solid var(--edge); vertical-align:top }
td pre { margin:0; white-space:pre-wrap; word-break:break-word; max-width:60rem; font-size:.8rem }
img { max-width:100%; border-radius:6px } details summary { cursor:pointer; color:var(--soft) }
"""


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """The whole page: no scripts, nothing loaded from anywhere. `style`: what it has beyond the shared one."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    head += f"<style>{STYLE}{style}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"


def section(title: str, content: str) -> str:
    """A part of it under its own heading."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def grid(charts: Iterable[str]) -> str:
    """Charts, as many side by side as there is room for."""
    return f"<div class='grid'>{''.join(charts)}</div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain texts in rows."""
    head = "".join(f"<th>{escape(h)}</th>" for h in heads) if any(heads) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table>{f'<tr>{head}</tr>' if head else ''}{body}</table></div>"


def moving(clip: bytes | str, told: str) -> str:
    """An animated PNG, or in words why there is none; `told`: what it shows."""
    if isinstance(clip, str):
        return f"<p class='soft'>{escape(clip)}</p>"
    return f"<img alt='{escape(told)}' src='data:image/png;base64,{base64.b64encode(clip).decode()}'>"
