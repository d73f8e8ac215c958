"""One run of a measure: figures and points of plots by name, and what of a window goes into them."""

import msgspec

from folkmoot.bench.window import Window, by_second, curve_of, times_of


class Run(msgspec.Struct, kw_only=True):
    """One run: figures by name, points of plots by name; where there are `refusals`, no figures but conditions."""

    figures: dict[str, float] = msgspec.field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = msgspec.field(default_factory=dict)
    refusals: list[str] = msgspec.field(default_factory=list)


def fanned_out(window: Window) -> dict[str, float]:
    """What deliveries cost the one that was watched, and how long they took."""
    tally = window.tally
    return {
        "deliveries_per_cpu_s": tally.in_window / window.cpu_s,
        "deliveries_per_s": tally.in_window / window.seconds,
        "deliveries": float(tally.delivered),
        "messages": float(tally.sent),
        "frame_bytes": float(tally.frame_bytes),
        **times_of("latency", tally.deliveries),
    }


def series_of(whose: str, window: Window) -> dict[str, list[tuple[float, float]]]:
    """The plots of deliveries."""
    tally = window.tally
    return {f"{whose}_latency": curve_of(tally.deliveries), f"{whose}_by_second": by_second(tally)}
