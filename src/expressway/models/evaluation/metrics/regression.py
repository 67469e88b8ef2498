"""Numbers of regression: how predicted values follow the true ones, and how raters agree.

Deviations are population ones (division by n). Nothing is added to denominators: where one is
zero the number is undefined (NaN), and ``why_undefined`` says why.
"""

from collections.abc import Callable

import numpy as np

from expressway.models.evaluation.bootstrap import Array, Measure

# float32 predictions of one value differ by rounding: a relative variance below this is none
NOTHING = 1e-12


def pearson_correlation(truth: Array, guess: Array) -> Measure:
    """Return PCC: covariance over the product of the deviations."""
    moments = _moments(truth, guess)

    def measure(times: Array) -> Array:
        _, _, varied_truth, varied_guess, shared = moments(times)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(shared / np.sqrt(varied_truth * varied_guess))

    return measure


def concordance_correlation(truth: Array, guess: Array) -> Measure:
    """Return CCC: twice the covariance over both variances and the squared distance of means."""
    moments = _moments(truth, guess)

    def measure(times: Array) -> Array:
        mean_truth, mean_guess, varied_truth, varied_guess, shared = moments(times)
        spread = varied_truth + varied_guess + (mean_truth - mean_guess) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(2 * shared / spread)

    return measure


def mean_absolute_error(truth: Array, guess: Array) -> Measure:
    """Return MAE in the units of the target."""
    errors = np.abs(guess - truth)
    return lambda times: _mean(times, errors)


def root_mean_squared_error(truth: Array, guess: Array) -> Measure:
    """Return RMSE in the units of the target."""
    squares = (guess - truth) ** 2
    return lambda times: np.sqrt(_mean(times, squares))


METRICS: dict[str, Callable[[Array, Array], Measure]] = {
    "pearson_correlation": pearson_correlation,
    "concordance_correlation": concordance_correlation,
    "mean_absolute_error": mean_absolute_error,
    "root_mean_squared_error": root_mean_squared_error,
}


def value(metric: str, truth: Array, guess: Array) -> float:
    """Return a metric of (clips,) true and predicted values; NaN where it is undefined."""
    return float(METRICS[metric](truth, guess)(np.ones((1, len(truth))))[0])


def why_undefined(truth: Array, guess: Array) -> str:
    """Return why a correlation of these values has no value."""
    if len(truth) < 2:
        return "fewer than two values"
    ones = np.ones((1, len(truth)))
    _, _, varied_truth, varied_guess, _ = _moments(truth, guess)(ones)
    constant = [
        name
        for name, varied in (("the true values", varied_truth), ("the predictions", varied_guess))
        if varied[0] == 0
    ]
    return f"{' and '.join(constant)} are constant"


def _mean(times: Array, values: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(times @ values / times.sum(1))


def _moments(truth: Array, guess: Array) -> Callable[[Array], tuple[Array, ...]]:
    """Return a function from draws to both means, both variances, and the covariance."""
    origin = float(truth.mean()) if len(truth) else 0.0  # near zero, squares lose no digits
    a, b = truth - origin, guess - origin

    def moments(times: Array) -> tuple[Array, ...]:
        mean_a, mean_b = _mean(times, a), _mean(times, b)
        varied_a = _without_rounding(_mean(times, a * a) - mean_a**2, origin, a)
        varied_b = _without_rounding(_mean(times, b * b) - mean_b**2, origin, b)
        return mean_a, mean_b, varied_a, varied_b, _mean(times, a * b) - mean_a * mean_b

    return moments


def _without_rounding(variance: Array, origin: float, values: Array) -> Array:
    """Return variances with 0 for those that rounding alone explains."""
    largest = np.abs(values + origin).max(initial=0.0)
    return np.where(variance > NOTHING * largest**2, variance, 0.0)
