"""The dashboard in a real browser: over a real `run` on a real mongod, and over made-up figures where those are wanted
that no test can bring about."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys
from tests.support import canned_instance as canned
from tests.support.browser import Browser, telling
from tests.support.load import Load
from tests.support.scrape import ask
from tests.support.servers import Server
from tests.support.tailrace_process import Run, hour_file, until

MARKUP = "<script>window.ran=1</script><img src=x onerror=window.ran=1>"


class Scene:
    """One mongod, one `run` on it that has read what a node wrote, and where its page is."""

    def __init__(self, root: Path, server: Server, run: Run) -> None:
        self.root, self.server = root, server
        self.url = str(run.wait_for("serving")["url"])

    def append(self, data: bytes) -> None:
        with hour_file(self.root, "20250311/23").open("ab") as file:
            file.write(data)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(ask(self.url, "/status").body)
        return status


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("dashboard")
    server = Server(folder / "mongod")
    server.start()
    try:
        with Load(folder / "data", 3.0) as load:
            hour_file(folder / "data", "20250310/21")
            flags = ("--root", str(folder / "data"), "--stream", "node_trades", "--database", "dashboard")
            quick = ("--poll-interval", "50ms", "--write-timeout", "1s", "--retry-max-delay", "200ms")
            with Run(
                *(*flags, *quick, "--mongodb-uri", server.uri, "--state-dir", str(folder / "state")),
                *("--shutdown-grace", "1s", "--http", "127.0.0.1:0"),
            ) as run:
                scene = Scene(folder / "data", server, run)
                written = load.written()
                total = written.good + sum(written.bad.values())
                until(lambda: settled(scene.status()) == total, what="all that was written is settled")
                yield scene
                run.stop()
    finally:
        server.kill()


def settled(status: dict[str, Any]) -> int:
    return sum(int(source["entries"]["settled"]) for source in status["sources"])


def code(browser: Browser) -> str:
    """The verdict, in the word that the page keeps for machines."""
    return str(browser.js("return document.getElementById('verdict').dataset.code ?? ''"))


def shows(browser: Browser, *codes: str, timeout: float = 12) -> None:
    until(lambda: code(browser) in codes, timeout, f"a verdict of {codes}")


CALM = ("live", "remarks", "rejects", "quiet")
"""Verdicts on a `run` that stores what is written; the made-up node writes bad lines, leaves hours out,
and has ended."""


# -- over a real run -------------------------------------------------------------------------------------------------


def test_it_asks_nobody_else_and_has_no_complaint(browser: Browser, scene: Scene) -> None:
    """Every request goes to where the page came from, for the page, the figures and their past; the console is empty,
    and the policy that holds the browser to it is in force."""
    browser.look()
    browser.open(scene.url)
    shows(browser, *CALM)
    time.sleep(2.5)
    asked = browser.requests()
    assert {urlsplit(url).path for url in asked if not url.startswith("data:")} == {"/", "/status", "/history"}
    assert all(url.startswith((f"{scene.url}/", "data:,")) for url in asked), asked
    assert sum(url.endswith("/status") for url in asked) >= 3
    assert sum(url.endswith("/history") for url in asked) == 1
    entries = browser.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {url for url in entries if not url.startswith(f"{scene.url}/")} <= {"data:,"}
    assert browser.complaints() == []

    browser.js("fetch('http://127.0.0.1:1/').catch(() => {})")
    until(lambda: any("Content Security Policy" in each for each in browser.complaints()), 5, "the policy's refusal")


def test_it_shows_the_figures_of_status(browser: Browser, scene: Scene) -> None:
    """Every total on the page is that of `/status`, to the last digit, and so is each hour's state."""
    browser.look()
    browser.open(scene.url)
    shows(browser, *CALM)
    (source,) = scene.status()["sources"]
    entries, lines = source["entries"], source["lines"]
    assert entries["inserted"] > 5000
    assert entries["rejected"] > 0
    expected = {
        **{name: entries[name] for name in ("settled", "inserted", "duplicates", "rejected")},
        **{f"rejects-{reason}": number for reason, number in entries["rejects"].items() if number},
        **{f"duplicates-{cause}": number for cause, number in entries["duplicate_causes"].items()},
        "lines-read": lines["read"],
        "lines-settled": lines["settled"],
        "lines-in-flight": lines["in_flight"],
        "unaccounted": source["unaccounted"],
    }
    until(lambda: {name: browser.figure(name) for name in expected} == expected, 5, f"{expected} on the page")
    assert expected["unaccounted"] == 0
    assert source["source"] in browser.text("#source-title")
    assert source["collection"] in browser.text("#source-title")
    cells = browser.js(
        "return [...document.querySelectorAll('[data-hour]')].map((cell) => [+cell.dataset.hour, cell.dataset.state])"
    )
    known = {each["hour"]: each["state"] for each in source["hours"]}
    assert len(known) >= 2
    assert {hour: state for hour, state in cells if hour in known} == known
    label = browser.js("return document.querySelector('#chart-rate svg').getAttribute('aria-label')")
    assert label.startswith("Entries stored each second, last 5 minutes: now ")


def test_a_reject_appears_with_its_reason(browser: Browser, scene: Scene) -> None:
    """A line that is not JSON is on the page within seconds: in the table with its reason, in the chart, in words."""
    browser.look()
    browser.open(scene.url)
    shows(browser, *CALM)
    until(lambda: browser.figure("rejected") > 0, 5, "figures on the page")
    before = max(0, browser.figure("rejects-json"))
    scene.append(b"this is no JSON\n")
    until(lambda: browser.figure("rejects-json") == before + 1, 10, "one more reject in the table")
    shows(browser, "rejects")
    assert "kept aside in the last 5 minutes" in browser.text("#headline")
    assert "not JSON" in browser.text("#account")
    assert "json 1" in browser.text("#chart-rejects .keys")


def test_a_frozen_mongodb_is_said_and_its_return(browser: Browser, scene: Scene) -> None:
    """Within seconds in words, in the title, and beside MongoDB; and green again by itself, without a reload."""
    browser.look()
    browser.open(scene.url)
    shows(browser, *CALM)
    browser.js("window.same = true")
    with scene.server.frozen():
        scene.append(b"neither is this\n")
        shows(browser, "trouble", timeout=20)
        headline = browser.text("#headline")
        assert headline.startswith("MongoDB has stored nothing for ")
        assert headline.endswith("nothing is lost.")
        assert browser.js("return document.title").startswith("▲ tailrace")
        assert "Trouble for" in browser.text("#mongodb")
        assert browser.text("#details li") in " ".join(browser.text("#mongodb").split())
    shows(browser, *CALM, timeout=20)
    until(lambda: "Takes what is written" in browser.text("#mongodb"), 5, "MongoDB is well again")
    assert browser.js("return window.same") is True
    assert browser.complaints() == []


# -- over made-up figures --------------------------------------------------------------------------------------------


def several() -> dict[str, Any]:
    """Three sources in three states, hours in all states, six problems, a member that is away."""
    hours = canned.hours(h1="reading", h2="waiting", h5="missing", h8="unreadable", h60="gone")
    first = {**canned.source(), "hours": hours}
    behind = {**canned.source(), "source": "node_fills", "live": False, "lag": {"bytes": 1_200_000_000, "seconds": 90}}
    third = {**canned.source(), "source": "other"}
    problem = {"level": "error", "event": "e", "source": "other", "count": 7}
    problems = [{**problem, "at": canned.NOW - 60 * n, "sentence": f"Problem {n}."} for n in range(6)]
    return {**canned.status(), "sources": [first, behind, third], "problems": problems}


def hostile() -> dict[str, Any]:
    """Markup wherever a text of the node's, the system's or the server's can be, and words without a space."""
    text, status = MARKUP + "w" * 200, canned.status()
    source: dict[str, Any] = canned.source()
    source.update(source=text, collection=text, stream=text, root=text, file=text)
    source["entries"]["rejects"] = {text: 4, "utf8": 2}
    source["entries"]["duplicate_causes"] = {text: 17}
    source["retries"] = {text: 1}
    source["quiet"] = text
    for each in source["hours"]:
        each["path"] = text
    status.update(version=text, host=text, codec=text, ready=False, why=[{"code": text, "sentence": text}])
    status["server"].update(version=text, topology=text, ok=False, verdict="operator", sentence=text, trouble_s=9e7)
    status["server"]["members"] = [{"address": text, "kind": text, "rtt_ms": 1e12, "error": text}]
    said = {"changed": [text], "left": [text], "problems": [text]}
    status["reload"]["last"] = {"at": 8e15, "outcome": text, **said}
    status["problems"] = [{"at": -8e15, "level": text, "event": text, "source": text, "sentence": text, "count": 9e15}]
    status["sources"] = [source, {**canned.source(), "source": "__proto__", "hours": None}]
    return status


def test_what_the_server_says_is_text(browser: Browser) -> None:
    """Markup in paths, names, reasons and sentences is read as it is written, and no script of it runs."""
    browser.look()
    with telling(hostile()) as made:
        browser.open(made.url)
        shows(browser, "refuses")
        browser.js("document.querySelector('[data-hour]').click()")
        places = ("#identity", "#details", "#tabs", "#source-title", "#source-file", "#hour-line", "#account")
        for place in (*places, "#mongodb", "#reload", "#problem-list"):
            assert MARKUP in browser.text(place), place
        assert browser.js("return document.querySelectorAll('body script, img').length") == 1  # the page's own script
        assert browser.js("return window.ran ?? null") is None
        assert browser.complaints() == []


FOCUSABLE = """
return [...document.querySelectorAll("a[href], button, summary, [tabindex='0']")]
  .filter((node) => node.tabIndex >= 0 && node.checkVisibility()).length
"""
FOCUS = "const node = document.activeElement; return [node.tagName, node.id, node.textContent.slice(0, 40)].join(' ')"
OUTLINE = "const s = getComputedStyle(document.activeElement); return s.outlineStyle + parseFloat(s.outlineWidth)"


def test_every_control_is_reached_and_used_by_keyboard(browser: Browser) -> None:
    """Tab reaches each, with a visible outline, and keeps its place while the figures change; arrows choose among
    sources and hours, Enter and Space press."""
    browser.look()
    with telling(several()) as made:
        browser.open(made.url)
        shows(browser, "catching-up")
        wanted = browser.js(FOCUSABLE)
        assert wanted >= 11  # skip link, theme, older problems, sources, range twice, hours, four links
        reached = []
        for _ in range(wanted):
            browser.press(Keys.TAB)
            reached.append(browser.js(FOCUS))
            assert browser.js(OUTLINE) == "solid3", reached[-1]
        assert len(set(reached)) == wanted, reached
        assert reached[0].startswith("A  Skip to")

        def walk_to(start: str) -> None:
            browser.js("document.activeElement.blur()")
            for _ in range(wanted + 1):
                browser.press(Keys.TAB)
                if browser.js(FOCUS).startswith(start):
                    return
            raise AssertionError(f"Tab does not reach {start}: {reached}")

        walk_to("BUTTON tab-")
        browser.press(Keys.ARROW_RIGHT)
        assert "node_fills" in browser.text("#source-title")
        assert browser.js(FOCUS).startswith("BUTTON tab-1")
        browser.press(Keys.END)
        assert browser.text("#source-title").startswith("other")
        browser.press(Keys.HOME)
        assert browser.js("return document.querySelectorAll('[role=tab][aria-selected=true]').length") == 1

        walk_to("SPAN hour-")
        browser.press(Keys.ARROW_LEFT)
        assert "catching up" in browser.text("#hour-line")
        made.status = {**several(), "now": canned.NOW + 1, "uptime_s": 9001.0, "host": "elsewhere"}
        made.status["sources"][0]["hours"][-1]["lines"] = 10  # the cells are drawn anew
        browser.press(*[Keys.ARROW_LEFT] * 4)
        until(lambda: "elsewhere" in browser.text("#identity"), 5, "the next figures")
        assert "no file for this hour" in browser.text("#hour-line")
        assert browser.js("return document.activeElement.dataset.state") == "missing"

        walk_to("BUTTON  1 hour")
        browser.press(Keys.SPACE)
        assert "last hour" in browser.js("return document.querySelector('#chart-rate svg').getAttribute('aria-label')")
        walk_to("SUMMARY")
        assert browser.text("summary") == "2 older problems"
        browser.press(Keys.ENTER)
        assert browser.js("return document.querySelector('details').open") is True
        walk_to("BUTTON theme")
        theme = browser.js("return document.documentElement.dataset.theme")
        browser.press(Keys.ENTER)
        assert browser.js("return document.documentElement.dataset.theme") != theme
        walk_to("A  Skip")
        browser.press(Keys.ENTER)
        assert browser.js("return document.activeElement.id") == "main"


BEYOND = """
return [...document.querySelectorAll("main *, header *")].filter((node) => node.checkVisibility()
  && !node.closest(".hidden-text") && node.getBoundingClientRect().right > 360.5).map((node) => node.outerHTML)
"""


@pytest.mark.parametrize("made_up", [several, hostile])
def test_a_phone_is_wide_enough(browser: Browser, made_up: Any) -> None:
    """At 360 px nothing has to be moved sideways, and every button is high enough for a finger."""
    browser.look(width=360, height=740)
    with telling(made_up()) as made:
        browser.open(made.url)
        shows(browser, "catching-up", "refuses")
        assert browser.js("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
        assert browser.js(BEYOND) == []
        low = "return Math.min(...[...document.querySelectorAll('button')].map((each) => each.offsetHeight || 99))"
        assert browser.js(low) >= 32


CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92
  : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (node) => { for (; node; node = node.parentElement) {
  const c = parse(getComputedStyle(node).backgroundColor);
  if (c.length < 4 || c[3] > 0.99) return c; if (c[3] > 0) throw new Error("half transparent: " + node.outerHTML); }
  return [255, 255, 255]; };
const found = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!own || !node.checkVisibility() || node.closest("script, style, noscript, .hidden-text")) continue;
  const style = getComputedStyle(node), ink = parse(node instanceof SVGElement ? style.fill : style.color);
  if (style.opacity !== "1") throw new Error("not opaque: " + node.outerHTML);
  const [a, b] = [light(ink), light(behind(node))].sort((x, y) => y - x);
  found.push([Math.round((a + 0.05) / (b + 0.05) * 100) / 100, node.tagName + "." + node.getAttribute("class"),
    node.textContent.trim().slice(0, 30)]);
}
return found.sort((x, y) => x[0] - y[0]);
"""


def test_it_is_legible_in_both_schemes(browser: Browser) -> None:
    """Light and dark follow the system, differ, and every text on the page has a contrast of 4.5 to 1 at least; also
    while the figures are greyed. What somebody chose is kept for the next visit."""
    grounds = set()
    with telling(several()) as made:
        for scheme in ("light", "dark"):
            browser.look(scheme=scheme)
            made.status = several()
            browser.open(made.url)
            refused = {**hostile(), "sources": several()["sources"]}
            for status, verdict in ((several(), "catching-up"), (refused, "refuses"), (None, "gone")):
                made.status = status
                shows(browser, verdict)
                texts = browser.js(CONTRAST)
                assert len(texts) > 150
                assert texts[0][0] >= 4.5, (scheme, texts[:5])
            grounds.add(browser.js("return getComputedStyle(document.body).backgroundColor"))
        assert len(grounds) == 2
        made.status = several()
        browser.open(made.url)
        browser.js("document.getElementById('theme').click()")
        browser.js("document.getElementById('theme').click()")
        assert browser.text("#theme") == "Theme: light"
        browser.js("location.reload()")
        until(lambda: browser.text("#theme") == "Theme: light", 5, "the choice is kept")
        assert browser.js("return getComputedStyle(document.body).colorScheme") == "light"


def test_when_tailrace_goes_away(browser: Browser) -> None:
    """The page says so and how old its figures are, keeps them greyed, and recovers by itself."""
    browser.look()
    with telling(canned.status()) as made:
        browser.open(made.url)
        shows(browser, "live")
        made.status = None
        shows(browser, "gone")
        # It asks again after 1, 2, 4 s: only a clock of the page's own comes by 3.
        until(lambda: "the figures below are 3 s old" in browser.text("#headline"), 8, "their age")
        assert browser.figure("inserted") == 1_234_530
        assert "grayscale" in browser.js("return getComputedStyle(document.getElementById('main')).filter")
        assert browser.js("return document.title") == "✕ tailrace does not answer"
        made.status = {**canned.status(), "now": canned.NOW + 9}
        shows(browser, "live", timeout=15)
        assert browser.js("return getComputedStyle(document.getElementById('main')).filter") == "none"


def test_a_node_that_writes_nothing_is_not_called_live(browser: Browser) -> None:
    """Neither where no hour file has come yet nor where none comes any more; one of two that is quiet is named."""
    browser.look()
    nothing = {**canned.source(), "newest_hour": 0, "hours": [], "quiet": "There is no hour file yet."}
    with telling({**canned.status(), "sources": [nothing]}) as made:
        browser.open(made.url)
        shows(browser, "quiet")
        assert browser.text("#headline") == "Waiting: there is no hour file yet."
        assert "There is no hour file yet." in browser.text("#details")
        ended = {**canned.source(), "quiet": "Nothing was written for 9 h."}
        made.status = {**canned.status(), "sources": [ended]}
        until(lambda: "writes nothing new" in browser.text("#headline"), 5, "the other headline")
        assert "Nothing was written for 9 h." in browser.text("#details")
        assert browser.js("return document.title") == "▲ tailrace nothing new"
        made.status = {**canned.status(), "sources": [{**canned.source(), "source": "other"}, ended]}
        shows(browser, "remarks")
        assert "node_trades: Nothing was written for 9 h." in browser.text("#details")


def test_blocks_that_streaming_leaves_out_are_no_problem(browser: Browser) -> None:
    """Those without events have no line there: shown as they are, and the source is live."""
    browser.look()
    streaming = {**canned.source(), "stream": "node_trades_streaming", "missing_blocks": 17}
    with telling({**canned.status(), "sources": [streaming]}) as made:
        browser.open(made.url)
        shows(browser, "live")
        assert "those without events have none" in browser.text("#account")
        made.status = {**canned.status(), "sources": [{**streaming, "stream": "node_trades_by_block"}]}
        shows(browser, "remarks")
        assert "17 block numbers are missing" in browser.text("#details")


def test_it_asks_seldom_while_nobody_looks(browser: Browser) -> None:
    """Hidden, it does not go on asking every second; seen again, it asks at once."""
    browser.look()
    with telling(canned.status()) as made:
        browser.open(made.url)
        shows(browser, "live")
        browser.js("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        time.sleep(1.5)  # the question that was due already
        browser.requests()
        time.sleep(2.5)
        assert browser.requests() == []
        browser.js("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        until(lambda: len(browser.requests()) > 0, 2, "a question at once")


def test_a_start_and_a_hanging_loop_are_said(browser: Browser) -> None:
    """No source yet, none any more, and hours that are not known: each a sentence, no error of the page."""
    browser.look()
    starting = {"sources": [], "ready": False, "why": [{"code": "starting", "sentence": "Start-up is not over."}]}
    unseen = {**canned.status()["server"], "version": "", "topology": "", "members": []}
    with telling({**canned.status(), **starting, "server": unseen}) as made:
        browser.open(made.url)
        shows(browser, "starting")
        assert browser.text("#headline") == "Starting: nothing is read yet."
        assert browser.text("#mongodb").startswith("… Not reached yet.")
        why = [{"code": "no_source", "sentence": "No source is followed: a reload removed all that were."}]
        made.status = {**canned.status(), "sources": [], "ready": False, "why": why}
        shows(browser, "none")
        assert browser.text("#headline") == "No source is followed: nothing is stored."
        assert "a reload removed all that were" in browser.text("#details")
        assert browser.js("return document.getElementById('verdict').className") == "verdict bad"
        why = [{"code": "loop_hangs", "sentence": "The event loop has not turned for 12 s."}]
        source = {**canned.source(), "hours": None}
        made.status = {**canned.status(), "ready": False, "why": why, "figures_age_s": 12.0, "sources": [source]}
        shows(browser, "hangs")
        assert browser.text("#headline") == "tailrace hangs: nothing has moved for 12 s."
        assert "not known at this moment" in browser.text("#hours")
        assert browser.complaints() == []
