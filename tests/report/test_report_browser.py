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
