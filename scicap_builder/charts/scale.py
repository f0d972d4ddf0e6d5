"""Axes of our own renderer: values in, places in 0..1 and tick labels out."""

from dataclasses import dataclass

import numpy as np

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A numeric axis from `low` to `high`, or one of `names` at 0, 1, 2, …"""

    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    def place(self, values: object) -> np.ndarray:
        """Values -> 0..1 along the axis."""
        numbers = np.asarray(values, dtype=float)
        if self.log:
            bottom = np.log(self.low)
            return (np.log(np.maximum(numbers, self.low * 1e-3)) - bottom) / (np.log(self.high) - bottom)
        return (numbers - self.low) / (self.high - self.low)

    def ticks(self, wanted: int, form: str) -> list[tuple[float, str]]:
        """(value, label), about `wanted` of them. `form`: plain, comma or short, for large numbers; power or e for decades."""
        if self.names:
            return [(float(index), name) for index, name in enumerate(self.names)]
        if self.log:
            return self._decades(wanted, form)
        step = nice_step((self.high - self.low) / max(wanted, 2))
        first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
        digits = max(0, -int(np.floor(np.log10(step) + 1e-9)) + (1 if step_has_half(step) else 0))
        return [(index * step, number(index * step, digits, form)) for index in np.arange(first, last + 1)]

    def _decades(self, wanted: int, form: str) -> list[tuple[float, str]]:
        first, last = int(np.ceil(np.log10(self.low) - 1e-9)), int(np.floor(np.log10(self.high) + 1e-9))
        stride = max(1, (last - first) // max(wanted, 2))
        found = []
        for exponent in range(first, last + 1, stride):
            value = 10.0**exponent
            if form == "comma" and -4 < exponent < 6:
                label = number(value, max(0, -exponent), form)
            elif form == "short":
                label = f"1e{exponent}"
            else:
                label = "10" + str(exponent).translate(SUPERSCRIPTS)
            found.append((value, label))
        return found


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below `rough`."""
    power = 10.0 ** np.floor(np.log10(rough))
    return float(power * next(step for step in STEPS if step * power >= rough * 0.999))


def step_has_half(step: float) -> bool:
    """Whether a step is 2.5 times a power of ten, which needs one digit more."""
    return bool(abs(step / 10.0 ** np.floor(np.log10(step) + 1e-9) - 2.5) < 1e-6)


def number(value: float, digits: int, form: str) -> str:
    """`value` with `digits` decimals, large ones with commas ("12,000") or short ("12k")."""
    value = value if abs(value) > 1e-12 else 0.0
    if form == "short" and digits == 0 and abs(value) >= 10_000 and value % 100 == 0:
        return f"{value / 1000:g}k"
    return f"{value:,.{digits}f}" if form == "comma" and abs(value) >= 1000 else f"{value:.{digits}f}"
