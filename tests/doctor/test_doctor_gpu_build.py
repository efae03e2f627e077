"""The build of paddle against the cards, which are made up: the doctor must be right where no GPU is at hand."""

import pytest

from ppreid.doctor.gpu_build import check_gpu_build


def check(*capabilities, compute=lambda number: 2.0, version="2.6.2", cuda="11.8"):
    return check_gpu_build([("card", item) for item in capabilities], version=version, cuda=cuda, compute=compute)


@pytest.mark.parametrize(
    ("capability", "level"),
    [
        ((6, 0), "problem"),  # Pascal of data centres: code for 6.1 does not run on it
        ((6, 1), "ok"),
        ((7, 0), "ok"),
        ((8, 0), "ok"),
        ((8, 6), "ok"),
        ((8, 9), "ok"),  # Ada runs code for 8.6
        ((9, 0), "problem"),  # Hopper
        ((10, 0), "problem"),  # Blackwell
        ((12, 0), "problem"),
    ],
)
def test_the_build_of_the_public_registry_runs_on_cards_from_6_1_to_before_9(capability, level):
    (finding,) = check(capability)
    assert finding.level == level
    assert (level == "ok") == (finding.advice == "")


def test_a_card_without_code_computes_nothing_and_its_advice_says_where_to_look():
    computed = []
    (finding,) = check((9, 0), compute=computed.append)
    assert computed == []
    assert "compute capability 9.0" in finding.text and "code for 6.1 to 8.6 only" in finding.text
    assert "docs/installation.md" in finding.advice and "device=cpu" in finding.advice


def test_of_other_builds_only_the_computing_tells():
    (finding,) = check((9, 0), version="3.3.1", cuda="12.6")
    assert finding.level == "ok" and finding.text.endswith("it computes")


def test_a_card_that_fails_is_a_problem_with_the_last_line_of_the_message():
    def fail(number):
        raise OSError("C++ stack\n(External) CUDA error(209), no kernel image is available\n\n")

    (finding,) = check((12, 0), version="3.3.1", cuda="12.6", compute=fail)
    assert finding.level == "problem"
    assert finding.text.endswith("OSError: (External) CUDA error(209), no kernel image is available")


def test_a_card_that_computes_wrongly_is_a_problem():
    (finding,) = check((8, 0), compute=lambda number: 0.0)
    assert finding.level == "problem" and "1 + 1 gives 0.0" in finding.text


def test_every_card_is_asked_by_its_number():
    numbers = []
    findings = check((8, 0), (9, 0), (8, 6), compute=lambda number: numbers.append(number) or 2.0)
    assert numbers == [0, 2]
    assert [finding.level for finding in findings] == ["ok", "problem", "ok"]


def test_without_a_gpu_there_is_nothing_to_say():
    assert check() == []
