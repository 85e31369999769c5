"""The page in a real browser, on a tiny run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmgraph.cli.main import main
from mmgraph.serve.app import make_app
from mmgraph.serve.index import Sources
from mmgraph.testing.datasets import make_dataset

from .conftest import Workspace

CHROMIUM = Path("/usr/bin/chromium")
sync_api = pytest.importorskip("playwright.sync_api")
uvicorn = pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")

ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = '<img src=x onerror="window.hacked=1"> & <script>window.hacked=2</script>'
KEY = "open sesame"


@pytest.fixture(scope="module")
def folder(workspace: Workspace) -> Path:
    """The toy graph of the run, with a hostile text."""
    made = workspace.folder / "hostile"
    make_dataset(made)
    nodes = pd.read_parquet(made / "nodes.parquet")
    nodes.loc[nodes["text"].notna().idxmax(), ["text", "title"]] = HOSTILE
    nodes.to_parquet(made / "nodes.parquet")
    assert main(["encode", "--graph", str(made)]) == 0
    return made


@contextmanager
def serving(sources: Sources, key: str | None = None) -> Iterator[str]:
    """Address of a server in a thread of this process."""
    app = make_app(sources, api_key=key, reload_seconds=0)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    give_up = time.monotonic() + 20
    while not server.started and time.monotonic() < give_up:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def address(workspace: Workspace, folder: Path) -> Iterator[str]:
    with serving(Sources(workspace.run, folder, None)) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield opened
        opened.close()


@contextmanager
def visit(browser: Any, url: str, *, expected: str = "", **context: Any) -> Iterator[Any]:
    """A page whose console must stay free of errors, but for those that contain `expected`."""
    opened = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
    opened.set_default_timeout(8000)
    page = opened.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#text")
    yield page
    opened.close()
    assert [problem for problem in problems if not expected or expected not in problem] == []


def ids_of(page: Any) -> list[str]:
    page.wait_for_selector(".card .score")
    return page.eval_on_selector_all(".card", "cards => cards.map(card => card.dataset.id)")


def colours_of_map(page: Any) -> int:
    page.wait_for_selector("#map[data-ready]")
    page.wait_for_timeout(100)
    return page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas.points");
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return new Set(new Uint32Array(pixels.buffer)).size;
        }"""
    )


def wait_for_hash(page: Any, part: str) -> None:
    page.wait_for_function("part => location.hash.includes(part)", arg=part)


def test_text_search_is_in_the_address_and_back_undoes_it(browser: Any, address: str) -> None:
    with visit(browser, address) as page:
        page.fill("#text", "red circle")
        page.keyboard.press("Enter")
        found = ids_of(page)
        assert len(found) == 12
        assert page.url.endswith("#q=red+circle")
        scores = [float(text.split()[-1]) for text in page.locator(".card .score").all_inner_texts()]
        assert scores == sorted(scores, reverse=True)
        page.go_back()
        page.wait_for_selector("text=Start anywhere")
        page.go_forward()
        page.wait_for_selector("h2:has-text('red circle')")
        assert ids_of(page) == found
    with visit(browser, f"{address}#q=red+circle&k=24") as page:  # a shared link gives the same, and more
        assert page.input_value("#text") == "red circle"
        assert ids_of(page)[:12] == found


def test_search_by_id_and_similar(browser: Any, address: str) -> None:
    with visit(browser, address) as page:
        start = page.get_attribute(".card", "data-id")
        page.select_option("#by", "id")
        page.fill("#text", start)
        page.click("button[type=submit]")
        found = ids_of(page)
        assert start not in found
        page.locator(".card").first.get_by_text("Similar").click()
        wait_for_hash(page, f"id={found[0]}")
        page.wait_for_function(
            "id => document.querySelector('.card .score') && document.querySelector('.card').dataset.id !== id",
            arg=found[0],
        )
        assert page.input_value("#text") == found[0]


def test_errors_of_the_server_are_shown(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#id=nobody", expected="404") as page:
        page.wait_for_selector("[role=alert]:has-text('nobody')")


def test_picture_search(browser: Any, address: str, folder: Path) -> None:
    picture = next((folder / "images").iterdir())
    with visit(browser, address) as page:
        page.set_input_files("#image", picture)
        page.wait_for_selector(".chip.picture img")
        found = ids_of(page)
        assert len(found) == 12
        assert "image=" in page.url
        page.reload()  # the picture is not part of the address
        page.wait_for_selector("#results [role=alert]:has-text('Choose it again')")
        dropped = page.evaluate_handle(
            """async () => {
              const canvas = new OffscreenCanvas(8, 8);
              canvas.getContext("2d").fillRect(0, 0, 8, 8);
              const transfer = new DataTransfer();
              transfer.items.add(new File([await canvas.convertToBlob()], "dropped.png", { type: "image/png" }));
              return transfer;
            }"""
        )
        page.dispatch_event("body", "drop", {"dataTransfer": dropped})
        page.wait_for_selector(".chip.picture:has-text('dropped.png')")
        assert len(ids_of(page)) == 12
        page.click("[aria-label='Remove the picture']")
        assert page.locator(".chip.picture").is_hidden()
        page.set_input_files("#image", files=[{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}])
        page.wait_for_selector("#form-problem:has-text('Expected a picture')")


def test_like_this_but(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#q=red+circle") as page:
        first = ids_of(page)[0]
        page.locator(".card").first.get_by_text("Like this, but").click()
        assert page.evaluate("document.activeElement.id") == "text"
        page.keyboard.type("blue")
        page.keyboard.press("Enter")
        wait_for_hash(page, f"like={first}")
        page.wait_for_selector("h2:has-text('but')")
        assert first not in ids_of(page)


def test_basket_recommends_with_reasons(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#q=red+circle") as page:
        chosen = ids_of(page)[:2]
        for place in range(2):
            page.locator(".card .keep").nth(place).click()
        assert page.locator("#basket li").count() == 2
        page.click("#recommend")
        page.wait_for_selector(".because .chip")
        assert not set(chosen) & set(ids_of(page))
        assert page.locator(".card .because").count() > 0
        page.click("#empty")
        assert page.locator("#basket").is_hidden()


def test_map_is_drawn_and_lasso_lists_nodes(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#q=red+circle") as page:
        ids_of(page)
        assert colours_of_map(page) > 10
        box = page.locator("#map-canvas").bounding_box()
        left, top, right, bottom = box["x"] + 4, box["y"] + 4, box["x"] + box["width"] - 4, box["y"] + box["height"] - 4
        page.keyboard.down("Shift")
        page.mouse.move(left, top)
        page.mouse.down()
        for place in ((right, top), (right, bottom), (left, bottom)):
            page.mouse.move(*place, steps=4)
        page.mouse.up()
        page.keyboard.up("Shift")
        page.wait_for_selector("#selection:has-text('60 nodes selected')")
        page.locator("#selection .names button").first.click()
        page.wait_for_selector("#network h2")


def test_neighbours_are_drawn_and_walked(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#q=red+circle") as page:
        first = ids_of(page)[0]
        page.locator(".card .name").first.click()
        page.wait_for_selector("svg.ego")
        listed = page.locator(".relation button")
        assert page.locator("svg.ego .spot").count() > 1
        assert page.locator("svg.ego .edge").count() >= listed.count() > 0
        listed.first.click()
        page.wait_for_function("id => !location.hash.includes('node=' + id)", arg=first)
        page.go_back()
        wait_for_hash(page, f"node={first}")


def test_keyboard_alone(browser: Any, address: str) -> None:
    with visit(browser, address) as page:
        page.locator("body").press("/")
        page.keyboard.type("red circle")
        page.keyboard.press("Enter")
        ids_of(page)
        for _ in range(40):  # as far as the first result
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "name":
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_selector("svg.ego")
        assert page.evaluate("document.activeElement.tagName") == "H2"
        page.locator("button[data-view=map]").press("Enter")
        page.locator("#map-canvas").wait_for()


def test_map_by_keyboard(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#q=red&view=map") as page:
        colours_of_map(page)
        page.locator("#map-canvas").focus()
        drawn = page.evaluate("document.querySelector('canvas.points').toDataURL()")
        page.keyboard.press("-")
        page.keyboard.press("-")  # nodes lie close together now, so one is near the middle
        page.wait_for_function("drawn => document.querySelector('canvas.points').toDataURL() !== drawn", arg=drawn)
        page.keyboard.press("0")
        for key in ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowRight"]:
            page.keyboard.press(key)
            if page.locator(".hover").is_visible():
                break
        page.keyboard.press("Enter")
        page.wait_for_selector("#network h2")
        assert "node=" in page.url


def test_hostile_text_stays_text(browser: Any, address: str) -> None:
    with visit(browser, f"{address}#q=red&k=48") as page:
        ids_of(page)
        card = page.locator(".card", has_text="onerror")
        assert card.locator(".name").inner_text() == HOSTILE
        card.locator(".keep").click()
        card.locator(".name").click()
        page.wait_for_selector("svg.ego")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[onerror], [src=x]").count() == 0


def test_fits_a_small_phone(browser: Any, address: str) -> None:
    small = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "color_scheme": "dark"}
    with visit(browser, f"{address}#q=red", **small) as page:
        first = ids_of(page)[0]
        page.locator("summary").first.click()
        for view, shown in (("", ".card"), ("map", "#map-canvas"), ("network", "svg.ego")):
            page.evaluate("hash => { location.hash = hash; }", f"q=red&node={first}&view={view}")
            page.locator(shown).first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, view


def test_key_is_asked_for(browser: Any, workspace: Workspace, folder: Path) -> None:
    with serving(Sources(workspace.run, folder, None), KEY) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{url}#q=red")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        ids_of(page)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.card img')].some(image => image.naturalWidth > 0)"
        )
        context.close()


def test_embeddings_alone_are_searched_by_id(browser: Any, workspace: Workspace) -> None:
    with serving(Sources(None, None, workspace.store)) as url, visit(browser, url) as page:
        assert page.locator("#by option").all_inner_texts() == ["Id"]
        assert page.locator("#choose").count() == 0
        page.locator(".card").first.get_by_text("Similar").click()
        assert len(ids_of(page)) == 12
        page.locator(".card .name").first.click()
        page.wait_for_selector("text=This node has no neighbours")
