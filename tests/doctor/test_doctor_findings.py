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


def test_the_summary_counts_levels():
    assert summary_line([FINE, FINE, ODD, BAD]) == "2 ok, 1 warning, 1 problem"
    assert summary_line([]) == "0 ok, 0 warnings, 0 problems"
    assert has_problem([FINE, BAD]) and not has_problem([FINE, ODD])


def test_json_keeps_every_file_name():
    report = json.loads(json.dumps(findings_to_dict([FINE], [ODD, BAD])))
    assert report["counts"] == {"ok": 1, "warning": 1, "problem": 1}
    assert report["environment"] == [{"check": "cores", "level": "ok", "text": "2 cores", "advice": "", "items": []}]
    assert report["data"][0]["items"] == list(ODD.items)
