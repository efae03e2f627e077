import platform

from ppreid.doctor.packages import check_packages


def test_versions_of_what_is_installed_are_listed():
    (finding,) = check_packages()
    assert finding.level == "ok"
    for text in (f"Python {platform.python_version()}", "paddle ", "numpy ", "faiss ", "numba ", "PIL "):
        assert text in finding.text


def test_a_missing_and_a_broken_package_are_problems_with_the_name_to_install(tmp_path, monkeypatch):
    (tmp_path / "brokenpackage.py").write_text("raise RuntimeError('compiled for numpy 1\\nand more')\n")
    monkeypatch.syspath_prepend(tmp_path)
    packages = {"numpy": "numpy", "nopackage": "no-package", "brokenpackage": "broken-package"}
    fine, missing, broken = check_packages(packages)
    assert fine.level == "ok" and "numpy" in fine.text
    assert missing.level == broken.level == "problem"
    assert "No module named 'nopackage'" in missing.text and "install no-package" in missing.advice
    assert broken.text == "brokenpackage cannot be imported: RuntimeError: compiled for numpy 1"
