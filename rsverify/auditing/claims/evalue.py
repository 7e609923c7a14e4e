"""`audit_e_value`: hand it an e-value or an e-process, learn whether it is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from rsverify._core.check import FloatArray, check_choice, check_takes, shown
from rsverify._core.types import AuditEstimandName, EInputName
from rsverify.auditing.caller import as_floats, name_of
from rsverify.auditing.claims.e_exact import combination_rows, count_row, longest, path_rows
from rsverify.auditing.claims.levels import (
    Levels,
    Options,
    Words,
    at_levels,
    check_levels,
    told,
)
from rsverify.auditing.claims.null import AT, Null, check_null, mover, null_scenarios, restricted
from rsverify.auditing.company import COMPANY, prepare
from rsverify.auditing.design import FLOAT_ERRORS, Progress, Record, check_told
from rsverify.auditing.estimand import Data, Estimand, Generator, Parameters, find_estimand
from rsverify.auditing.fitting import probe
from rsverify.auditing.report import AuditReport, Row, with_mixing
from rsverify.auditing.scenario import Law, Scenario
from rsverify.auditing.simulation.blocks import generator
from rsverify.auditing.simulation.search import two_point_laws
from rsverify.auditing.suites import law_in_words
from rsverify.auditing.task import PROBE, Task, answered
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE, Witness, combine

__all__ = ["audit_e_value"]

INPUTS: tuple[EInputName, ...] = (
    "data",
    "e-values",
    "independent e-values",
    "sequential e-values",
)
LARGEST_COMBINED = 10
MORE_LAWS = 16
BUDGET = 4  # times the replications of other claims
STREAM = "e-values"
WORDS = Words(
    "e-value",
    "e-value",
    "E[min(e, {b:g})]",
    "whether the e-value has an expectation of at most 1 under the null",
    "E[e], or a level",
    "are counted",
    "the expectation of the e-value, cut off at {b:g}, is",
    expectation=True,
    argument="e",
)


@FLOAT_ERRORS
def audit_e_value(
    e: Callable[..., object],
    *,
    null: Null | None = None,
    estimand: AuditEstimandName | Estimand = "mean",
    inputs: EInputName = "data",
    n: int,
    alpha: Levels = 0.05,
    scenarios: Mapping[str, Parameters] | None = None,
    replications: int | None = None,
    tolerance: float = TOLERANCE,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> AuditReport:
    """Find out whether an e-value has expectation at most 1, with a stated error.

    Parameters
    ----------
    e : callable
        ``e(data)`` returns one e-value for each row of `data`, or, for samples, one for each
        observation: an e-process, which claims E[e] <= 1 at every stopping time. A function of a
        single row is called row by row. With other `inputs` the rows are e-values, and `e` is a
        rule that makes one of them.
    null : float or (float, float)
        The null hypothesis, as `rsverify.audit_test` takes it.
    estimand : str or Estimand, default "mean"
        What the null is about, and how data look.
    inputs : {"data", "e-values", "independent e-values", "sequential e-values"}, default "data"
        What the rows are: data; or `n` e-values with any dependence, independent, or each with
        expectation at most 1 given those before it. `null` and `estimand` then have no use.
    n : int
        Sample size per replication, or the number of e-values, at most 10.
    alpha : float or sequence of float, default 0.05
        For what is simulated: E[min(e, 1/alpha)] is held against 1.
    scenarios : mapping of str to mapping, optional
        Name to the parameters of the estimand's `draw`, all in the null.
    replications : int, optional
        Maximum replications per scenario and level. Default: about 4000/alpha, at least 80,000.
    tolerance : float, default 0.2
        "supported" means an expectation of at most 1 + tolerance.
    false_alarm : float, default 1e-3
        The probability of a false verdict of what is simulated.
    seed : int, default 0
        Of the random numbers.
    n_jobs : int, default 1
        Processes, through joblib.
    progress : callable, optional
        ``progress(done, total)`` of the simulation.

    Returns
    -------
    AuditReport
        Under `miscoverage` its rows have an expectation, or, where `measure` says so, the
        probability alpha E[min(e, 1/alpha)], which must be at most alpha.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range, or `e` fails on every call.

    Notes
    -----
    *Guarantee.* Counts: the expectation is enclosed over the whole null. Samples: it is summed over
    all paths of distributions of two or three points, for a process over all stopping times
    (its Snell envelope), up to the length named in the row, and whether e_t changes with later
    observations is seen. Longer samples and other distributions are simulated: e >= U/alpha, U
    uniform, has probability alpha E[min(e, 1/alpha)], for a process until it reaches 1/alpha
    [1]_. A valid e-value is refuted with probability at most `false_alarm`, by sums never; one
    whose expectation of min(e, 1/alpha) is above 1 + tolerance in a scenario is supported with
    probability at most `false_alarm`. What lies above 1/alpha, a simulation does not see.

    References
    ----------
    .. [1] A. Ramdas and T. Manole, Randomized and exchangeable improvements of Markov's,
       Chebyshev's and Chernoff's inequalities, 2023, arXiv:2304.02611, Theorem 1.2.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import audit_e_value
    >>> def wealth(x):
    ...     return np.cumprod(1 + (x - 0.5), axis=1)
    >>> asked = {"null": (None, 0.5), "n": 8}
    >>> print(audit_e_value(wealth, **asked).verdict)
    supported
    >>> report = audit_e_value(lambda x: np.maximum.accumulate(wealth(x), axis=1), **asked)
    >>> print(report.verdict)
    refuted
    >>> print(audit_e_value(lambda e: e.prod(axis=1), inputs="e-values", n=2).verdict)
    refuted
    """
    if not callable(e):
        raise TypeError(f"e={shown(e)} must be a callable")
    check_takes(name_of(e), e, ("data",))
    check_choice("inputs", inputs, INPUTS)
    levels = check_levels(alpha)
    progress = check_told(progress)
    options = Options(n, replications, tolerance, false_alarm, seed, n_jobs, progress)
    design = options.design(name_of(e), inputs, levels[0], 1.0)
    if inputs != "data":
        if null is not None or scenarios is not None:
            raise ValueError(f"null and scenarios must be None for inputs={inputs!r}")
        if design.n > LARGEST_COMBINED:
            raise ValueError(f"n={design.n} must be at most {LARGEST_COMBINED} e-values")
        rows, failures = combination_rows(e, inputs, design.n)
        record = design.record(kind="e-value", method="exact", aim=WORDS.aim)
        verdict = combine([r.verdict for r in rows])
        notes = ["exact: summed over all points of the joint distributions in the table"]
        return AuditReport(verdict, rows, failures, None, record, notes)
    if null is None:
        raise ValueError("null=None must be the null hypothesis, as (None, 0.5): at most 0.5")
    thing = find_estimand(estimand)
    region = check_null(null, thing.space)
    suite = null_scenarios(thing, region, design.n, min(levels), scenarios)
    claim = _Claim(e, thing, suite, options, region, min(levels))
    exact = claim.exact(by_sums=scenarios is None)
    if exact is not None and (exact.verdict == "refuted" or claim.counted):
        return exact
    rest = suite if exact is None else claim.not_summed
    if not rest:
        return cast(AuditReport, exact)
    claim = replace(claim, suite=rest)
    drawn = at_levels(levels, claim.simulated, _words(levels), {"null": list(region)})
    return drawn if exact is None else _joined(exact, drawn)


def _words(levels: tuple[float, ...]) -> Words:
    text = f"P(e >= U/{levels[0]:g})" if len(levels) == 1 else "P(e >= U/a)"
    return replace(WORDS, event="e >= U/{a:g}", measure=text)


def _joined(exact: AuditReport, drawn: AuditReport) -> AuditReport:
    """Return the report of sums and of a simulation together."""
    return replace(
        drawn,
        verdict=combine([exact.verdict, drawn.verdict]),
        rows=exact.rows + drawn.rows,
        failures=exact.failures + drawn.failures,
        design={**drawn.design, "method": "exact (the rows without replications) and simulation"},
        notes=[*exact.notes, *drawn.notes],
    )


@dataclass(frozen=True)
class _Claim:
    """An e-value and what it is audited with."""

    e: Callable[..., object]
    thing: Estimand
    suite: Mapping[str, Parameters]
    options: Options
    region: tuple[float, float]
    level: float

    @property
    def counted(self) -> bool:
        """Whether the expectation is enclosed over the whole null."""
        return self.thing.model is not None

    @property
    def not_summed(self) -> dict[str, Parameters]:
        """Return the distributions of which not all paths can be summed."""
        return {
            name: p
            for name, p in self.suite.items()
            if "law" not in p or longest(cast(Law, p["law"])) < self.options.n
        }

    def exact(self, *, by_sums: bool) -> AuditReport | None:
        """Return the report of sums, None where there is nothing to sum."""
        design = self.options.design(name_of(self.e), self.thing.name, self.level, 1.0)
        scenarios = [Scenario(name, p) for name, p in self.suite.items()]
        data = probe(self.thing, design, scenarios, COMPANY, PROBE)
        try:
            caller = prepare(
                _Plain(self.e),
                data,
                self.level,
                "lower",
                replace(self.thing, space=(-math.inf, math.inf)),
                name=design.bound,
            )
        except (TypeError, ValueError) as error:
            raise type(error)(WORDS.told(str(error))) from error
        if caller.chunk is not None or not by_sums:
            return None
        witness: Witness | None = None
        notes: list[str] = []
        if self.thing.model is not None:
            model = restricted(self.thing, self.region).model
            assert model is not None
            found = count_row(caller, model(design.n), design)
            if found is None:
                return None
            row, failures, witness, note = found
            rows, notes = [row], [note]
        else:
            rows, failures = path_rows(
                caller, {**self.suite, **self._drawn()}, design.n, self.thing.truth
            )
            if not rows:
                return None
            notes = ["exact: summed over all paths, of the rows without replications"]
        record: Record = {
            **design.record(kind="e-value", method="exact", aim=WORDS.aim),
            "null": list(self.region),
        }
        verdict = combine([r.verdict for r in rows])
        report = AuditReport(verdict, rows, failures, witness, record, notes)
        return told(with_mixing(report, caller.mixed), WORDS)

    def _drawn(self) -> dict[str, Parameters]:
        """Return more distributions of two points at the ends of the null."""
        move = mover(self.thing)
        if move is None or self.thing.name == "binary-mean":
            return {}
        rng = generator(self.options.seed, STREAM, 1)
        found: dict[str, Parameters] = {}
        for end in {v for v in self.region if math.isfinite(v)}:
            for u in rng.random((MORE_LAWS, 3)):
                law = move(cast(Law, two_point_laws(u)["law"]), end)
                if law is not None:
                    found[AT + law_in_words(law)] = {"law": law}
        return found

    def simulated(self, level: float, share: float) -> AuditReport:
        """Return the report of a simulation at one level."""
        base = self.thing

        def draw(rng: Generator, replications: int, n: int, **parameters: object) -> Data:
            data = base.draw(rng, replications, n, **parameters)
            extra = np.zeros((replications, 1, *data.shape[2:]))
            extra.reshape(replications, -1)[:, 0] = 1.0 - rng.random(replications)
            return np.concatenate([data, extra], axis=1)

        kind = base.draw(np.random.default_rng(0), 1, self.options.n, **_first(self.suite))
        claim = Estimand(
            draw,
            lambda **_: -math.log(level),
            self.suite,
            name=f"e-value, {base.name}",
            sequential=base.sequential,
        )
        design = self.options.design(name_of(self.e), claim.name, level, share, BUDGET)
        task = Task(
            _Reaching(self.e, kind, level),
            claim,
            design,
            "simulation",
            n_jobs=self.options.n_jobs,
            progress=self.options.progress,
        )
        report = answered(task)
        rows = [self._with_truth(row) for row in report.rows]
        unseen = f"of the simulated e-values what is above {1.0 / level:g} is not seen"
        return replace(report, rows=rows, notes=[*report.notes, unseen])

    def _with_truth(self, row: Row) -> Row:
        known = self.suite.get(row.scenario)
        return row if known is None else replace(row, truth=float(self.thing.truth(**known)))


def _first(suite: Mapping[str, Parameters]) -> Parameters:
    return next(iter(suite.values()))


def checked(value: object) -> FloatArray:
    """Return e-values as floats, or raise where one is negative or no number."""
    out = as_floats(value, "e-value")
    if (out < 0.0).any():
        raise ValueError("an e-value is negative: is it the logarithm of one?")
    return out


class _Plain:
    """An e-value as a lower limit."""

    def __init__(self, e: Callable[..., object]) -> None:
        self.e = e

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        del alpha
        return checked(self.e(data))


class _Reaching:
    """An e-value as a lower limit, log e, of the truth -log alpha; at the end log (e/U).

    The uniform number U is in the last slice of the data along the axis of observations.
    """

    def __init__(self, e: Callable[..., object], kind: Data, level: float) -> None:
        self.e, self.kind, self.level = e, kind, level

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        del alpha
        single = data.ndim == self.kind.ndim - 1
        rows = data[None] if single else data
        plain = rows[:, :-1].astype(self.kind.dtype)
        u = rows[:, -1].reshape(len(rows), -1)[:, 0]
        value = checked(self.e(plain[0] if single else plain))
        path = value.ndim == (1 if single else 2)
        if path and value.shape[-1] == 1 != self.kind.shape[1]:  # one e-value, in a column
            value, path = value[..., 0], False
        with np.errstate(divide="ignore"):
            log = np.clip(np.log(value), -800.0, 690.0)  # infinite: reached for sure; 0: never
        log = log + 4e-12 * np.abs(log) + 2e-12  # a tie is reached
        if not path:
            out: FloatArray = log - np.log(u[0] if single else u)
            return out
        log = log[None] if single else log
        out = np.concatenate([log, (log[:, -1] - np.log(u))[:, None]], axis=1)
        return out[0] if single else out
