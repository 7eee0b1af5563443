"""Names of units of length and time, as files spell them, in micrometres and seconds."""

from __future__ import annotations

from corpuscle.errors import FormatError

_SI = {
    "": 0, "deca": 1, "hecto": 2, "kilo": 3, "mega": 6, "giga": 9, "tera": 12, "peta": 15, "exa": 18, "zetta": 21,
    "yotta": 24, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15,
    "atto": -18, "zepto": -21, "yocto": -24,
}  # fmt: skip
_METRES = {f"{prefix}meter": power for prefix, power in _SI.items()}
_LENGTHS = {name: float(f"1e{power + 6}") for name, power in _METRES.items()} | {
    "angstrom": 1e-4, "Å": 1e-4, "pm": 1e-6, "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "mm": 1e3,
    "cm": 1e4, "m": 1e6, "inch": 25400.0, "foot": 304800.0, "yard": 914400.0, "mile": 1609344e3,
    "parsec": 3.0856775814913673e22,
}  # fmt: skip
_TIMES = {f"{prefix}second": float(f"1e{power}") for prefix, power in _SI.items()} | {
    "s": 1.0, "ms": 1e-3, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0, "day": 86400.0,
}  # fmt: skip
_NONE = ("", "pixel", "px", "index", "frame", "arbitrary", "none")


def factor(unit: object, *, time: bool = False) -> float | None:
    """How many micrometres, or seconds, one of `unit` is; None where it is no unit at all (absent, or ``pixel``).

    >>> factor("nanometer"), factor("pixel"), factor("minute", time=True)
    (0.001, None, 60.0)

    Raises a FormatError (rule ``unit-unknown``) for a name that nobody knows.
    """
    if unit is None or (isinstance(unit, str) and unit in _NONE):
        return None
    known = _TIMES if time else _LENGTHS
    if not isinstance(unit, str) or unit not in known:
        raise FormatError(
            f"{str(unit)[:80]!r} is no unit of {'time' if time else 'length'}",
            fix="use an SI name, like micrometer or second",
            rule="unit-unknown",
        )
    return known[unit]
