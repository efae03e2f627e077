import pytest


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", ["run", "comparison"])
def test_pages_open_without_complaints_and_fit_a_phone(page, dark, pages, browser):
    browser.open(getattr(pages, page), width=390, height=844, dark=dark)
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") == 390
    too_wide = browser.run(
        "Array.from(document.querySelectorAll('body *'))"
        ".filter((e) => !e.closest('.scroll, nav, .skip') && e.getBoundingClientRect().right > innerWidth + 0.5)"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert too_wide == []
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 26)" if dark else "rgb(252, 252, 251)")


def visible(browser, selector):
    return browser.run(f"Array.from(document.querySelectorAll('{selector}')).filter((e) => !e.hidden).length")


def test_rank_lists_are_filtered(pages, browser):
    browser.open(pages.run)
    total = browser.run("document.querySelectorAll('#queries > li').length")
    random = browser.run("document.querySelectorAll('#queries > li[data-kind=random]').length")
    assert 0 < visible(browser, "#queries > li") == random < total
    browser.run("document.querySelector('[name=query-kind][value=\"\"]').click()")
    assert visible(browser, "#queries > li") == total
    for camera in "012":
        browser.run(
            "{ const select = document.querySelector('[data-filters=queries] select'); "
            f"select.value = '{camera}'; select.dispatchEvent(new Event('change', {{ bubbles: true }})); }}"
        )
        expected = browser.run(f"document.querySelectorAll('#queries > li[data-camera=\"{camera}\"]').length")
        assert visible(browser, "#queries > li") == expected
    browser.run("document.querySelector('[data-filters=queries] [type=checkbox]').click()")
    wrong = browser.run("document.querySelectorAll('#queries > li[data-camera=\"2\"][data-first=wrong]').length")
    assert visible(browser, "#queries > li") == wrong
    assert browser.run("document.querySelector('[data-filters=queries] .count').textContent") == f"{wrong} of {total}"


def test_contact_sheets_are_filtered(pages, browser):
    browser.open(pages.run)
    for kind in ("largest", "mixed", "split"):
        browser.run(f"document.querySelector('[name=sheet-kind][value={kind}]').click()")
        expected = browser.run(f"document.querySelectorAll('#sheets > [data-kind={kind}]').length")
        assert visible(browser, "#sheets > *") == expected > 0


def test_tables_sort_by_every_column_with_dashes_below(pages, browser):
    browser.open(pages.run)
    column = (
        "Array.from(document.querySelectorAll('#epochs tbody tr')).map((row) => row.cells[%d].dataset.value)"
        ".map((value) => value === '' ? null : Number(value))"
    )
    for index in range(3):
        for is_descending in (True, False):
            browser.run(f"document.querySelectorAll('#epochs thead button')[{index}].click()")
            values = browser.run(column % index)
            known = [value for value in values if value is not None]
            assert known == sorted(known, reverse=is_descending)
            assert values == known + [None] * (len(values) - len(known))
            head = browser.run(f"document.querySelectorAll('#epochs thead th')[{index}].ariaSort")
            assert head == ("descending" if is_descending else "ascending")


def test_arrow_keys_read_a_chart(pages, browser):
    browser.open(pages.run)
    browser.run("document.querySelector('.chart svg').focus()")
    for key in ("ArrowRight", "ArrowRight"):
        browser.press(key)
    assert browser.run("document.querySelector('.chart .where').textContent") == "epoch 2"
    assert browser.run("document.querySelector('.chart output').textContent") == "12"
    browser.run("document.activeElement.blur()")
    assert browser.run("document.querySelector('.chart output').textContent") == "14"


def test_the_map_shows_an_image_and_those_of_its_cluster(pages, browser):
    browser.open(pages.run)
    browser.run("document.querySelector('#points').focus()")
    browser.press("ArrowRight")
    assert "Cluster 0" in browser.run("document.querySelector('#detail').textContent")
    assert browser.run("document.querySelector('#detail img').naturalWidth") > 0
    same = browser.run("document.querySelectorAll('#points .same').length")
    assert browser.run("document.querySelectorAll('#detail .shots img').length") == min(12, same - 1)
    browser.run("document.querySelector('#map-outliers').click()")
    points = browser.run("JSON.parse(document.querySelector('#map-data').textContent).map((point) => point.cluster)")
    shown = browser.run("document.querySelectorAll('#points circle:not([display])').length")
    assert shown == points.count(-1) > 0


def box_of(browser, script):
    """Left, top, width and height of an element on the screen, once the map is in its middle."""
    return browser.run(
        "(() => { document.querySelector('#points').scrollIntoView({ block: 'center', behavior: 'instant' }); "
        f"const box = {script}.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; }})()"
    )


def at(browser, index):
    """Where a point of the map is on the screen."""
    x, y, width, height = box_of(browser, f"document.querySelectorAll('#points circle')[{index}]")
    return {"x": x + width / 2, "y": y + height / 2}


def drag(browser, *places):
    """Press the left button at the first place, move over the others, and let go at the last."""
    mouse = {"button": "left", "clickCount": 1}
    browser.call("Input.dispatchMouseEvent", type="mousePressed", **mouse, **places[0])
    for place in places[1:]:
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", buttons=1, **mouse, **place)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", **mouse, **places[-1])


MAP = "document.querySelector('#points')"
VIEW = "document.querySelector('#points').getAttribute('viewBox').split(' ').map(Number)"
POINTS = "JSON.parse(document.querySelector('#map-data').textContent)"


def test_the_map_zooms_by_wheel_buttons_and_keys_and_moves(pages, browser):
    browser.open(pages.run)
    whole, place = browser.run(VIEW), at(browser, 5)
    browser.call("Input.dispatchMouseEvent", type="mouseWheel", deltaX=0, deltaY=-100, **place)
    x, y, width, height = browser.run(VIEW)
    assert width == pytest.approx(whole[2] / 1.44) and height == pytest.approx(whole[3] / 1.44)
    assert at(browser, 5) == pytest.approx(place, abs=1)  # what is below the pointer stays there
    assert float(browser.run("document.querySelector('#points circle').getAttribute('r')")) == pytest.approx(4.5 / 1.44)
    left, top, *size = box_of(browser, MAP)
    start = {"x": left + size[0] / 2, "y": top + size[1] / 2}
    towards = [1 if x > (whole[2] - width) / 2 else -1, 1 if y > (whole[3] - height) / 2 else -1]  # where there is room
    drag(
        browser, start, *({"x": start["x"] + far * towards[0], "y": start["y"] + far * towards[1]} for far in (30, 60))
    )
    moved = browser.run(VIEW)
    scale = width / size[0]
    assert moved == pytest.approx([x - 60 * towards[0] * scale, y - 60 * towards[1] * scale, width, height])
    browser.run("document.querySelector('[data-zoom=\"0\"]').click()")
    assert browser.run(VIEW) == whole
    browser.run("document.querySelector('#points').focus()")
    browser.press("+")
    assert browser.run(VIEW)[2] == pytest.approx(whole[2] / 1.5)
    browser.press("0")
    browser.press("-")  # no farther than the whole
    assert browser.run(VIEW) == whole
    assert browser.complaints == []


def test_two_fingers_zoom(pages, browser):
    browser.open(pages.run)
    browser.run("document.querySelector('#points').scrollIntoView({ block: 'center', behavior: 'instant' })")
    whole = browser.run(VIEW)
    browser.run(
        "(() => { const svg = document.querySelector('#points'), box = svg.getBoundingClientRect(); "
        "svg.setPointerCapture = () => {}; "
        "const send = (kind, id, x) => svg.dispatchEvent(new PointerEvent(kind, { pointerId: id, "
        "pointerType: 'touch', clientX: box.left + x, clientY: box.top + 200 })); "
        "send('pointerdown', 1, 200); send('pointerdown', 2, 300); send('pointermove', 2, 400); "
        "send('pointerup', 1, 200); send('pointerup', 2, 400); })()"
    )
    assert browser.run(VIEW)[2] == pytest.approx(whole[2] / 2)
    assert browser.run("document.querySelector('#points').classList.contains('held')")  # a finger no longer scrolls


def test_a_line_around_points_shows_their_images(pages, browser):
    browser.open(pages.run)
    browser.run("document.querySelector('[name=map-drag][value=choose]').click()")
    box = box_of(browser, MAP)
    left, top, width, height = box[0] + 2, box[1] + 2, box[2] - 4, box[3] - 4
    # the left half without its lower half: a corner that is turned inwards
    corners = [(0, 0), (0.5, 0), (0.5, 0.5), (0.2, 0.5), (0.2, 1), (0, 1)]
    drag(browser, *({"x": left + x * width, "y": top + y * height} for x, y in corners))
    points = browser.run(POINTS)
    scale = box[2] / 720

    def is_inside(point):
        x, y = (point["x"] * scale - 2) / width, (point["y"] * scale - 2) / height
        return (x < 0.5 and y < 0.5) or x < 0.2

    chosen = [point for point in points if is_inside(point)]
    assert 0 < len(chosen) < len(points)
    assert browser.run("document.querySelectorAll('#points .picked').length") == len(chosen)
    paths = browser.run("Array.from(document.querySelectorAll('#chosen img')).map((image) => image.dataset.path)")
    assert sorted(paths) == sorted(point["path"] for point in chosen if point["picture"])
    said = browser.run("document.querySelector('#chosen output').textContent")
    clusters = {point["cluster"] for point in chosen} - {-1}
    assert said == f"{len(chosen)} images, {len(clusters)} clusters, {len({p['camera'] for p in chosen})} cameras"
    browser.run("document.querySelector('#chosen button').click()")
    assert browser.run("document.querySelector('#chosen').hidden")
    assert browser.complaints == []


def test_a_click_keeps_a_point_until_it_is_let_go(pages, browser):
    browser.open(pages.run)
    place = at(browser, 3)
    drag(browser, place, place)
    text = browser.run("document.querySelector('#detail').textContent")
    assert "Locked" in text
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **at(browser, 9))
    assert browser.run("document.querySelector('#detail').textContent") == text
    browser.run("document.querySelector('#points').focus()")
    browser.press("Escape")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **at(browser, 9))
    assert browser.run("document.querySelector('#detail').textContent") not in (text, "")


def test_the_keyboard_chooses_and_enlarges_points(pages, browser):
    browser.open(pages.run)
    browser.run("document.querySelector('#points').focus()")
    for key in ("ArrowRight", " ", "ArrowRight", " ", "Enter"):
        browser.press(key)
    assert browser.run("document.querySelectorAll('#chosen img').length") == 2
    path = browser.run("document.querySelector('#chosen').querySelectorAll('img')[1].dataset.path")
    assert (
        browser.run("document.querySelector('#large').open && document.querySelector('#large code').textContent")
        == path
    )
    assert browser.run("document.querySelector('#large img').getBoundingClientRect().height") > 300
    closed = "document.querySelector('#large').addEventListener('close', done)"
    # the event comes later than the call, and gives the focus to the picture
    browser.run(f"new Promise((done) => {{ {closed}; document.querySelector('#large').close(); }}).then(() => true)")
    browser.run("document.querySelector('#points').focus()")
    browser.press(" ")
    assert browser.run("document.querySelectorAll('#chosen img').length") == 1


def test_pictures_open_large_with_their_paths_and_the_keyboard_goes_through_them(pages, browser):
    browser.open(pages.run)
    row = "#sheets .shots"
    paths = browser.run(
        f"Array.from(document.querySelector('{row}').querySelectorAll('img')).map((image) => image.dataset.path)"
    )
    stops = browser.run(
        f"Array.from(document.querySelector('{row}').querySelectorAll('img')).map((image) => image.tabIndex)"
    )
    assert stops == [0] + [-1] * (len(paths) - 1) and len(paths) > 1
    browser.run(f"document.querySelector('{row} img').focus()")
    large = "document.querySelector('#large code').textContent"
    browser.press("ArrowRight")
    browser.press("Enter")
    assert browser.run(large) == paths[1] and browser.run("document.querySelector('#large').open")
    browser.press("ArrowRight")
    assert browser.run(large) == paths[2 % len(paths)]
    browser.run("document.querySelector('[data-by=\"-1\"]').click()")
    assert browser.run(large) == paths[1]
    browser.run("document.querySelector('#large button:last-child').click()")
    assert not browser.run("document.querySelector('#large').open")
    assert browser.run("document.activeElement.dataset.path") == paths[1]
    browser.run("document.querySelector('.query img').click()")
    assert browser.run(large) == browser.run("document.querySelector('.query img').dataset.path")
    assert browser.complaints == []


def test_the_theme_button_wins_over_the_system(pages, browser):
    browser.open(pages.run, dark=True)
    browser.run("document.querySelector('#theme').click()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 251)"
    browser.run("document.querySelector('#theme').click()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    browser.run("localStorage.clear()")


def test_paper_is_white(pages, browser):
    browser.open(pages.run, dark=True)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[scheme])
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.querySelector('.filters')).display") == "none"


def test_a_script_of_someone_else_does_not_run(pages, browser, tmp_path):
    page = tmp_path / "changed.html"
    text = pages.run.read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", "<script>window.ran = true</script></main>"), encoding="utf-8")
    browser.open(page)
    assert browser.run("window.ran === undefined")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)
