"""Cards and index as a browser shows them, headless: no errors, pictures, contrast, sorting."""

import html
import json
import re
import shutil
import subprocess

import pytest
import run_folder
from run_folder import CONFIG, HOSTILE, estimate

from vdp.cards import index, write

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom",
)  # fmt: skip
LIGHT, DARK = 1, 0  # of Chromium's preferredColorScheme
LOOK = """
const channels = text => text.match(/[\\d.]+/g).map(Number);
const luminance = color => {
  const [r, g, b] = color.map(c => c / 255).map(c =>
    c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const color = channels(getComputedStyle(at).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color.slice(0, 3);
  }
  return [255, 255, 255];
};
const look = () => {
  let contrast = 21;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const one = luminance(channels(style.color).slice(0, 3)), other = luminance(ground(element));
    contrast = Math.min(contrast, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05));
  }
  return { contrast, ground: ground(document.body) };
};
const said = {};
"""
SAY = """
said.widths = [document.documentElement.scrollWidth, innerWidth];
said.pictures = [...document.images].map(image => image.naturalWidth);
parent.postMessage(JSON.stringify(said), "*");
"""
FRAME = """<!doctype html>
<meta name="color-scheme" content="light dark">
<pre id="probe"></pre>
<script>
addEventListener("message", event => {
  document.getElementById("probe").textContent = event.data;
});
</script>
<iframe src="PAGE" style="width: 400px; height: 900px; border: 0"></iframe>
"""  # a window of its own is never narrower than 500 pixels

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


def shown(page, script, tmp_path, scheme):
    """What a script finds out about a page, once it is loaded; it fills the object `said`."""
    probed = page.with_name(f"probed-{page.name}")
    program = f"<script>addEventListener('load', () => {{{LOOK}{script}{SAY}}});</script></body>"
    probed.write_text(page.read_text().replace("</body>", program))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.replace("PAGE", probed.name))
    command = [CHROMIUM, *FLAGS, f"--blink-settings=preferredColorScheme={scheme}",
               f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, re.S)
    assert found, done.stdout[-500:] + done.stderr
    said = json.loads(html.unescape(found[1]))
    assert said["widths"][0] <= said["widths"][1] <= 400, "the page scrolls sideways on a phone"
    assert said["pictures"]
    assert min(said["pictures"]) > 0
    return said


def test_a_card_on_a_phone(tmp_path):
    config = {**CONFIG, "data": {**CONFIG["data"], "name": HOSTILE}, "command": "vdp " + 90 * "x"}
    folder = run_folder.write(tmp_path / "run", config=config)
    card, _ = write.card(folder)
    said = shown(card, """
said.light = look();
const button = document.getElementById("theme");
said.offers = button.textContent;
button.click();
said.dark = look();
const plot = document.querySelector(".plot"), box = plot.getBoundingClientRect();
const at = share => plot.dispatchEvent(new PointerEvent("pointermove",
  { clientX: box.left + share * box.width, clientY: box.top + 5 }));
at(0.55);
said.readout = plot.parentElement.querySelector("output").textContent;
plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
said.next = plot.parentElement.querySelector("output").textContent;
""", tmp_path, LIGHT)  # fmt: skip
    assert len(said["pictures"]) == 4, "samples, two steps, and a plot that nobody knows"
    assert said["light"]["contrast"] >= 4.5
    assert said["dark"]["contrast"] >= 4.5
    assert min(said["light"]["ground"]) > 200
    assert max(said["dark"]["ground"]) < 50
    assert said["offers"] == "Dark"
    assert said["readout"] == "training 2.6 at step 20, validation 2.75 at step 20"
    assert said["next"] == "training 2.4 at step 30, validation 2.75 at step 20"


def test_the_index_sorts_and_filters(tmp_path):
    numbers = {"a": -9.5, "b": -100.25, "c": -20.0}
    for name, nats in numbers.items():
        evaluated = run_folder.result(estimators={"elbo": estimate(nats, "T=inf")})
        run_folder.write(tmp_path / "runs" / f"{name} & more", evaluated=evaluated)
    run_folder.write(tmp_path / "runs" / "0 broken", evaluated="{")
    index.write(tmp_path / "runs")
    said = shown(tmp_path / "runs" / index.INDEX, """
said.dark = look();
const names = () => [...document.querySelectorAll("#runs tbody tr")].filter(row => !row.hidden)
  .map(row => row.cells[1].firstChild.textContent.trim()[0]);
const head = [...document.querySelectorAll("#runs th button")]
  .find(button => button.textContent === "estimate");
said.first = names();
head.click();
said.up = names();
head.click();
said.down = names();
said.sort = head.parentElement.ariaSort;
const input = document.getElementById("filter");
input.value = "MORE c";
input.dispatchEvent(new Event("input"));
said.filtered = names();
said.shown = document.getElementById("shown").textContent;
said.links = [...document.querySelectorAll("#runs a")].map(a => a.getAttribute("href")).sort();
""", tmp_path, DARK)  # fmt: skip
    assert said["dark"]["contrast"] >= 4.5
    assert max(said["dark"]["ground"]) < 50, "dark where the system is"
    assert said["first"] == ["0", "a", "b", "c"]
    assert said["up"] == ["b", "c", "a", "0"]
    assert said["down"] == ["a", "c", "b", "0"]
    assert said["sort"] == "descending"
    assert said["filtered"] == ["c"]
    assert said["shown"] == "1 of 4"
    assert said["links"] == [f"{name}%20%26%20more/card.html" for name in "abc"]
