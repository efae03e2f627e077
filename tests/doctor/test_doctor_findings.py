import json

from ppreid.doctor.findings import findings_to_dict, format_findings, has_problem, ok, problem, summary_line, warning

FINE = ok("cores", "2 cores")
ODD = warning("names", "4 names", "rename them", ["a.jpg", "b\nc.jpg", "d\udcff.jpg", "e.jpg"])
BAD = problem("images", "1 of 9\nis broken", "repair it", ["x.jpg"])


def test_a_finding_is_shown_with_its_advice_and_the_first_files():
    assert format_findings([FINE, ODD, BAD]).splitlines() == [
        "  ok       2 cores",
        "  warning  4 names",
        "           -> rename them",
        "              a.jpg",
        "              b\\nc.jpg",
        "              d\\udcff.jpg",
        "              ... (1 more)",
        "  problem  1 of 9",
        "           is broken",
        "           -> repair it",
        "              x.jpg",
    ]


def test_a_line_that_nobody_reads_to_its_end_is_cut_on_the_console_and_whole_in_the_file():
    equal = " = ".join(f"crops/{number:05d}.jpg" for number in range(20_000))
    finding = warning("duplicates", "1 images\n" + equal, equal, [equal] * 5)
    lines = format_findings([finding]).splitlines()
    assert max(map(len, lines)) < 500
    assert sum("... (359,997 letters)" in line for line in lines) == 1  # the text; advice and items are indented
    assert sum(" letters)" in line for line in lines) == 5
    assert findings_to_dict([], [finding])["data"][0]["items"][0] == equal


def test_the_summary_counts_levels():
    assert summary_line([FINE, FINE, ODD, BAD]) == "2 ok, 1 warning, 1 problem"
    assert summary_line([]) == "0 ok, 0 warnings, 0 problems"
    assert has_problem([FINE, BAD]) and not has_problem([FINE, ODD])


def test_json_keeps_every_file_name():
    report = json.loads(json.dumps(findings_to_dict([FINE], [ODD, BAD])))
    assert report["counts"] == {"ok": 1, "warning": 1, "problem": 1}
    assert report["environment"] == [{"check": "cores", "level": "ok", "text": "2 cores", "advice": "", "items": []}]
    assert report["data"][0]["items"] == list(ODD.items)
