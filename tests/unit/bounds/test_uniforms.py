"""Every function with `u` and `seed` treats the two alike."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rsverify.bounds

X = np.array([0.4, 0.6, 0.45, 0.55, 0.5, 0.52, 0.48, 0.5])
DATA: dict[str, tuple[Any, ...]] = {"x": (X,), "k": (7, 12)}


def randomized() -> dict[str, Callable[..., Any]]:
    """Return every public bound with a uniform number of its own."""
    found = {}
    for info in pkgutil.iter_modules(rsverify.bounds.__path__):
        module = importlib.import_module(f"rsverify.bounds.{info.name}")
        for name in getattr(module, "__all__", ()):
            function = getattr(module, name)
            if inspect.isfunction(function) and "u" in inspect.signature(function).parameters:
                found[name] = function
    return found


FUNCTIONS = randomized()


def limit(name: str, alpha: Any = 0.05, **options: Any) -> Any:
    function = FUNCTIONS[name]
    first = next(iter(inspect.signature(function).parameters))
    return function(*DATA[first], alpha, **options)


def test_all_of_them_are_found() -> None:
    assert {"betting_lower", "betting_upper"} <= FUNCTIONS.keys()
    assert {f"randomized_clopper_pearson_{side}" for side in ("lower", "upper")} <= FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_either_may_be_given_and_both_are_refused_in_the_same_words(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert parameters["seed"].annotation == "SeedLike | None"
    message = r"^u=0\.5 and seed=3 must not both be given: leave one of them out$"
    with pytest.raises(ValueError, match=message):
        limit(name, u=0.5, seed=3)
    with pytest.raises(ValueError, match=r"^u=1\.5 must be in "):
        limit(name, u=1.5)
    with pytest.raises(TypeError, match=r"^seed='a' must be an integer"):
        limit(name, seed="a")
    with pytest.raises(ValueError, match=r"^seed=-1 must not be negative"):
        limit(name, seed=-1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_seed_draws_one_number_for_each_limit_and_repeats(name: str) -> None:
    alphas = np.full((2, 3), 0.05)
    drawn = np.asarray(limit(name, alphas, seed=11))
    assert drawn.shape == (2, 3)
    assert len(np.unique(drawn)) == 6
    assert (drawn == limit(name, alphas, seed=11)).all()
    assert (drawn == limit(name, alphas, seed=np.random.default_rng(11))).all()
    generator = np.random.default_rng(11)
    assert (drawn == limit(name, alphas, seed=generator)).all()
    assert (drawn != limit(name, alphas, seed=generator)).any()  # it has moved on


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_seed_draws_could_have_been_given(name: str) -> None:
    drawn = float(np.random.default_rng(5).random())
    given = [limit(name, u=u) for u in (drawn, 1.0 - drawn)]
    assert limit(name, seed=5) in given
