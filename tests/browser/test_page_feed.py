"""How batches reach the page, with a server that answers when the test lets it: the feed's script in Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from urial.ui.page import ASSETS

pytestmark = pytest.mark.browser

# What a run's steps were, where the server's answer to "what came since?" arrives after the batches of the feed.
LATE_ANSWER = """
async ({ before, answer, after }) => {
  %s
  let reply = null;
  const feeds = createFeeds(() => new Promise((resolve) => (reply = resolve)));
  const heard = [];
  const batch = (seq) => JSON.stringify({ run: "r", seq, do: [["step", seq]] });
  feeds.open("r", (name, argument) => heard.push(argument.message ? name : argument));
  before.forEach((seq) => feeds.receive(batch(seq)));
  feeds.catchUp();
  while (!reply) await new Promise((resolve) => setTimeout(resolve, 20));
  after.forEach((seq) => feeds.receive(batch(seq)));
  reply({ ...answer, batches: (answer.batches || []).map(batch) });
  await new Promise((resolve) => setTimeout(resolve, 20));
  return heard;
}
"""


@pytest.mark.parametrize(
    ("before", "answer", "after", "heard"),
    [
        ([], {"known": False}, [0, 1], [0, 1]),  # it began while the answer was on its way
        ([], {"known": False}, [], []),  # it waits for a place
        ([0], {"known": False}, [1], [0, 1, "refuse"]),  # the server has forgotten it
        ([0], {"known": True, "running": False}, [], [0, "refuse"]),  # it ended in silence
        ([0], {"known": True, "running": True, "batches": [1, 2]}, [2], [0, 1, 2]),
        ([0], {"known": True, "running": True, "batches": [1]}, [1, 2], [0, 1, 2]),
    ],
)
def test_a_late_answer_loses_nothing(
    chromium: Browser, before: list[int], answer: dict, after: list[int], heard: list
) -> None:
    page = chromium.new_page()
    script = LATE_ANSWER % (ASSETS / "feed.js").read_text(encoding="utf-8")
    assert page.evaluate(script, {"before": before, "answer": answer, "after": after}) == heard
    page.close()
