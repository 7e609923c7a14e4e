"""Import paths of version 0.1 lead to the same objects, with a warning."""

import importlib
import inspect
import pickle
import sys
import warnings

import pytest

import rsverify
from rsverify._core.moved import AUDIT, MOVED, SPLIT


@pytest.fixture(autouse=True)
def as_before():
    """The function is a function again, and nothing is imported under an old name."""
    yield
    for name in ("__path__", "__spec__", *AUDIT):
        vars(rsverify.audit).pop(name, None)
    for name in ("rsverify.audit", *MOVED, *SPLIT):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_warns_and_is_the_new_module(old: str) -> None:
    if old.startswith("rsverify.smoothing"):
        pytest.importorskip("torch")
    sys.modules.pop(old, None)
    if old.startswith("rsverify.audit."):
        with pytest.warns(DeprecationWarning, match="rsverify.audit is a function"):
            importlib.import_module("rsverify.audit")

    with pytest.warns(DeprecationWarning, match=MOVED[old].replace(".", r"\.")):
        module = importlib.import_module(old)

    assert module is importlib.import_module(MOVED[old])


@pytest.mark.parametrize("old", SPLIT)
def test_an_old_path_of_several_modules_warns_and_has_their_names(old: str) -> None:
    sys.modules.pop(old, None)

    with pytest.warns(DeprecationWarning, match=" and ".join(SPLIT[old]).replace(".", r"\.")):
        module = importlib.import_module(old)

    for new in map(importlib.import_module, SPLIT[old]):
        assert set(new.__all__) <= set(module.__all__)
        assert all(getattr(module, name) is getattr(new, name) for name in new.__all__)


def test_every_public_name_of_the_old_module_of_certificates_is_found() -> None:
    sys.modules.pop("rsverify.certificate", None)
    with pytest.warns(DeprecationWarning, match="rsverify.certificates.counts"):
        module = importlib.import_module("rsverify.certificate")
    wanted = {"ABSTAIN", "Certificate", "certify_counts", "margin_lower_bounds"}
    assert wanted <= set(dir(module))


@pytest.mark.parametrize(
    "line",
    [
        "import rsverify.audit",
        "import rsverify.audit.report",
        "import rsverify.audit.paper as paper",
        "from rsverify.audit import audit",
        "from rsverify.audit import AuditReport, Estimand, Failure, capital_from_bets",
        "from rsverify.audit.estimand import Estimand",
        "from rsverify.audit.run import audit as run",
    ],
)
def test_the_package_of_audits_answers_under_its_old_name_and_stays_a_function(line: str) -> None:
    names: dict[str, object] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(line, names)
    said = [str(warning.message) for warning in caught]
    assert all(warning.category is DeprecationWarning for warning in caught)
    assert said[0].startswith("rsverify.audit is a function, and its package")
    assert len(said) == 1 + ("audit." in line)
    for name in AUDIT.keys() & names.keys():
        assert names[name] is getattr(importlib.import_module(AUDIT[name]), name)
    assert inspect.isfunction(rsverify.audit)
    assert rsverify.audit is importlib.import_module("rsverify.auditing.api").audit
    assert pickle.loads(pickle.dumps(rsverify.audit)) is rsverify.audit
    found = rsverify.audit("clopper_pearson_lower", estimand="proportion", n=3, alpha=0.1)
    assert found.verdict == "supported"


def test_what_was_never_there_is_not_found() -> None:
    match = "rsverify.audit is a function"
    with pytest.warns(DeprecationWarning, match=match), pytest.raises(ModuleNotFoundError):
        importlib.import_module("rsverify.audit.nothing")


@pytest.mark.parametrize("name", ["LayerBound", "lipschitz_bound", "lipschitz_report"])
def test_names_of_a_module_that_is_a_package_now(name: str) -> None:
    pytest.importorskip("torch")
    package = importlib.import_module("rsverify.smoothing.lipschitz")
    with pytest.warns(
        DeprecationWarning, match=f"lipschitz.{name} is now .*lipschitz.bound.{name}"
    ):
        found = getattr(package, name)
    assert found is getattr(importlib.import_module("rsverify.smoothing.lipschitz.bound"), name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018
