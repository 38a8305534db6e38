"""The Class tab: the way in for students and for a teacher. A class has light pages of its own under `class/`.

The pages are in `urial/workshop/`.
"""

from __future__ import annotations

import gradio as gr

# Relative addresses: the page may be shown under a path of a proxy.
TEXT = """
<div class="class-doors">
  <section>
    <h2>Join a class</h2>
    <p>Type the code from the screen. No account; a nickname if you like.</p>
    <form action="class/" method="get" target="_blank">
      <label for="class-code">Code</label>
      <div><input id="class-code" name="code" maxlength="12" required autocomplete="off" autocapitalize="characters"
        spellcheck="false"><button>Join</button></div>
    </form>
  </section>
  <section>
    <h2>Teach a class</h2>
    <p>Thirty people predict which words tuning put there, vote on two answers without names, and see what they found
      against the true marks. Everything is recorded beforehand: no model runs, and nothing about a person is kept but a
      random number and a nickname.</p>
    <p><a href="class/host" target="_blank" rel="noopener">Open a class</a>, or come back to one of yours.</p>
    <p class="quiet">A class ends after a day. A plan for 45 minutes is in docs/teaching.md.</p>
  </section>
</div>
"""


def build_class() -> None:
    """The tab's components, inside an open Blocks."""
    gr.HTML(TEXT, elem_id="class-doors", apply_default_css=False)
