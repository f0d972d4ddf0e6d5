"""Charts drawn by several plotting libraries as PDFs whose every text and its role is known, for scoring text readers.

matplotlib draws in this process; gnuplot and R (base graphics, ggplot2) where they are installed (Debian: gnuplot-nox,
r-base-core, r-cran-ggplot2). Not the project's own chart corpus: other words, other styles, other libraries.
"""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

X_NAMES = (
    "Distance from the source (km)",
    "Dose [mg/kg]",
    "Iterations",
    "Wavelength (nm)",
    "log10(N)",
    "Depth",
    "t / s",
)
Y_NAMES = (
    "Reflectance (%)",
    "Survival fraction",
    "Mean squared error",
    "Counts per bin",
    "ΔG [kJ/mol]",
    "F1 score",
    "σ (MPa)",
)
TITLES = (
    "Effect of cooling rate",
    "Site B, winter 2014",
    "Benchmark on held-out sets",
    "α-phase only",
    "Pooled estimates",
)
SERIES = (
    "control",
    "treated",
    "model A",
    "model B (ours)",
    "n = 250",
    "upper bound",
    "Smith et al.",
    "no prior",
    "quartz",
    "3D-CNN",
)
GROUPS = ("Oak", "Beech", "Pine", "Larch", "Maple", "Birch")
NOTES = ("p < 0.01", "onset", "limit", "R2 = 0.87")


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """One chart: its page as PDF, and each text on it with its role."""

    name: str
    library: str
    pdf: bytes
    texts: tuple[tuple[str, str], ...]
    """(role, text as printed)"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a chart shows, before a library draws it."""

    title: str
    x: str
    y: str
    series: tuple[str, ...]
    groups: tuple[str, ...]
    """Names under the bars; empty: numbers on the x-axis."""
    note: str
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    curves: tuple[tuple[float, ...], ...]
    """One value for each x-tick, in the range of `y_ticks`."""

    def texts(self) -> tuple[tuple[str, str], ...]:
        """All texts of a chart that prints its ticks by `number`."""
        found = [("x-axis", self.x), ("y-axis", self.y), *(("legend", name) for name in self.series)]
        found += [("title", self.title)] if self.title else []
        found += [("annotation", self.note)] if self.note else []
        found += [("x-tick", text) for text in (self.groups or tuple(map(number, self.x_ticks)))]
        return (*found, *(("y-tick", number(value)) for value in self.y_ticks))


def number(value: float) -> str:
    """A tick as all libraries print it here."""
    return f"{value:g}"


def plan(rng: np.random.Generator, *, grouped: bool) -> Plan:
    """A chart by chance. The ticks of the two axes never share a text, so that a text tells its role."""
    pick = lambda items, count=1: [str(v) for v in rng.choice(items, count, replace=False)]  # noqa: E731
    step_x, count_x = float(rng.choice([1, 5, 20, 100])), int(rng.integers(4, 8))
    step_y, low = float(rng.choice([0.2, 0.25, 7, 30, 150])), float(rng.choice([0.35, 2.5]))
    x_ticks = tuple(round(step_x * (i + 1), 6) for i in range(count_x))
    y_ticks = tuple(round(low + step_y * i, 6) for i in range(int(rng.integers(4, 7))))
    names = pick(SERIES, int(rng.integers(2, 5)))
    groups = tuple(pick(GROUPS, count_x)) if grouped and count_x <= len(GROUPS) else ()
    curves = tuple(
        tuple(float(v) for v in rng.uniform(y_ticks[0], y_ticks[0] + 0.75 * (y_ticks[-1] - y_ticks[0]), count_x))
        for _ in names
    )
    return Plan(
        title=pick(TITLES)[0] if rng.random() < 0.5 else "",
        x=pick(X_NAMES)[0],
        y=pick(Y_NAMES)[0],
        series=tuple(names),
        groups=groups,
        note=pick(NOTES)[0] if rng.random() < 0.4 else "",
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        curves=curves,
    )


def draw_matplotlib(count: int, seed: int) -> list[DrawnChart]:
    """Lines, points and bars; every third chart has four panels with letters."""
    from matplotlib import rc_context

    charts = []
    for index in range(count):
        rng = np.random.default_rng([seed, index, 0])
        look = {
            "font.size": float(rng.choice([7, 8, 10])),
            "font.family": str(rng.choice(["DejaVu Sans", "DejaVu Serif"])),
            "pdf.fonttype": 42,
            "axes.grid": bool(rng.random() < 0.4),
        }
        with rc_context(look):
            charts.append(_matplotlib_chart(rng, index, 4 if index % 3 == 2 else 1))
    return charts


def _matplotlib_chart(rng: np.random.Generator, index: int, panels: int) -> DrawnChart:
    from matplotlib.figure import Figure

    width, height = float(rng.uniform(3.4, 6.0)), float(rng.uniform(2.6, 4.0))
    figure = Figure(figsize=(width, height) if panels == 1 else (1.6 * width, 1.6 * height), layout="constrained")
    texts: list[tuple[str, str]] = []
    for number_, axes in enumerate(np.ravel(figure.subplots(1 if panels == 1 else 2, 1 if panels == 1 else 2))):
        shown = plan(rng, grouped=rng.random() < 0.4)
        _fill_axes(axes, shown, rng)
        texts += shown.texts()
        if panels > 1:
            axes.text(-0.12, 1.04, f"({'abcd'[number_]})", transform=axes.transAxes, fontweight="bold")
            texts.append(("panel", f"({'abcd'[number_]})"))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf")
    return DrawnChart(f"matplotlib-{index}", "matplotlib", buffer.getvalue(), tuple(texts))


def _fill_axes(axes: object, shown: Plan, rng: np.random.Generator) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    for name, curve in zip(shown.series, shown.curves, strict=True):
        if shown.groups:
            offset = shown.series.index(name) - len(shown.series) / 2
            axes.bar([i + 0.2 * offset for i in range(len(curve))], curve, width=0.18, label=name)
        elif rng.random() < 0.5:
            axes.plot(shown.x_ticks, curve, str(rng.choice(["-", "--", "-o", ":"])), label=name)
        else:
            axes.scatter(shown.x_ticks, curve, s=12, label=name)
    if shown.groups:
        axes.set_xticks(range(len(shown.groups)), shown.groups, rotation=float(rng.choice([0, 0, 45, 90])))
    else:
        axes.set_xticks(shown.x_ticks, [number(v) for v in shown.x_ticks])
    axes.set_yticks(shown.y_ticks, [number(v) for v in shown.y_ticks])
    axes.set_ylim(shown.y_ticks[0] - 0.1, shown.y_ticks[-1] * 1.05)
    axes.set_xlabel(shown.x)
    axes.set_ylabel(shown.y)
    if shown.title:
        axes.set_title(shown.title)
    if shown.note:
        axes.annotate(shown.note, (0.06, 0.9), xycoords="axes fraction")
    axes.legend(
        loc=str(rng.choice(["upper right", "lower left", "best"])), fontsize="small", frameon=bool(rng.random() < 0.6)
    )


def draw_gnuplot(count: int, seed: int) -> list[DrawnChart]:
    """Lines with points, by gnuplot's pdfcairo; none where gnuplot is missing."""
    if not shutil.which("gnuplot"):
        return []
    charts = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            rng = np.random.default_rng([seed, index, 1])
            shown, out = plan(rng, grouped=False), Path(folder) / f"{index}.pdf"
            script = _gnuplot_script(shown, out, rng)
            subprocess.run(["gnuplot"], input=script, text=True, check=True, capture_output=True, timeout=60)
            charts.append(DrawnChart(f"gnuplot-{index}", "gnuplot", out.read_bytes(), shown.texts()))
    return charts


def _gnuplot_script(shown: Plan, out: Path, rng: np.random.Generator) -> str:
    ticks = lambda values: ", ".join(f'"{number(v)}" {v}' for v in values)  # noqa: E731
    data = "\n".join(
        f"$d{n} << EOD\n" + "\n".join(f"{x} {y}" for x, y in zip(shown.x_ticks, curve, strict=True)) + "\nEOD"
        for n, curve in enumerate(shown.curves)
    )
    plots = ", ".join(f'$d{n} with linespoints title "{name}"' for n, name in enumerate(shown.series))
    size = f"{rng.uniform(8, 14):.1f}cm,{rng.uniform(6, 9):.1f}cm"
    font = f"{rng.choice(['Helvetica', 'Times'])},{rng.choice([8, 10])}"
    return f"""set encoding utf8
set terminal pdfcairo size {size} font "{font}" noenhanced
set output "{out}"
{f'set title "{shown.title}"' if shown.title else ""}
{f'set label "{shown.note}" at graph 0.05,0.93' if shown.note else ""}
set xlabel "{shown.x}"
set ylabel "{shown.y}"
set xtics ({ticks(shown.x_ticks)})
set ytics ({ticks(shown.y_ticks)})
set yrange [{shown.y_ticks[0] - 0.05}:{shown.y_ticks[-1] * 1.25}]
set key {rng.choice(["top right", "outside right", "bottom left"])} {rng.choice(["box", "nobox"])}
{data}
plot {plots}
"""


def draw_r(count: int, seed: int) -> list[DrawnChart]:
    """Base graphics (turned y-ticks, as R has them) and ggplot2 by turns; none where R or ggplot2 is missing."""
    if not shutil.which("Rscript"):
        return []
    with tempfile.TemporaryDirectory() as folder:
        shown, script = [], ["have <- requireNamespace('ggplot2', quietly=TRUE)"]
        for index in range(count):
            rng = np.random.default_rng([seed, index, 2])
            shown.append(plan(rng, grouped=False))
            script.append((_base_r if index % 2 else _ggplot)(shown[-1], Path(folder) / f"{index}.pdf", rng))
        path = Path(folder) / "draw.R"
        path.write_text("\n".join(script), encoding="utf-8")
        subprocess.run(["Rscript", "--vanilla", str(path)], check=True, capture_output=True, timeout=300)
        return [
            DrawnChart(f"r-{index}", "R base" if index % 2 else "ggplot2", file.read_bytes(), made.texts())
            for index, made in enumerate(shown)
            if (file := Path(folder) / f"{index}.pdf").exists()
        ]


def _r(values: Sequence[float] | Sequence[str]) -> str:
    return "c(" + ", ".join(f'"{v}"' if isinstance(v, str) else repr(v) for v in values) + ")"


def _base_r(shown: Plan, out: Path, rng: np.random.Generator) -> str:
    lines = "\n".join(
        f"lines({_r(shown.x_ticks)}, {_r(curve)}, type='b', col={n + 1}, lty={n + 1}, pch={n + 1})"
        for n, curve in enumerate(shown.curves)
    )
    count = len(shown.series)
    place = rng.choice(["topright", "bottomleft"])
    return f"""cairo_pdf("{out}", width={rng.uniform(4, 6):.1f}, height={rng.uniform(3.5, 5):.1f})
plot({_r(shown.x_ticks)}, {_r(shown.curves[0])}, type="n", axes=FALSE, xlab="{shown.x}", ylab="{shown.y}", main="{shown.title}",
     ylim=c({shown.y_ticks[0]}, {shown.y_ticks[-1]}))
axis(1, {_r(shown.x_ticks)}, {_r([number(v) for v in shown.x_ticks])}, gap.axis=0)
axis(2, {_r(shown.y_ticks)}, {_r([number(v) for v in shown.y_ticks])}, gap.axis=0)
box()
{lines}
legend("{place}", legend={_r(shown.series)}, col=1:{count}, lty=1:{count}, pch=1:{count}, cex=0.8)
{f'text({shown.x_ticks[0]}, {shown.y_ticks[-1]}, "{shown.note}", adj=c(0, 1))' if shown.note else ""}
invisible(dev.off())
"""


def _ggplot(shown: Plan, out: Path, rng: np.random.Generator) -> str:
    rows = [
        (x, y, name)
        for name, curve in zip(shown.series, shown.curves, strict=True)
        for x, y in zip(shown.x_ticks, curve, strict=True)
    ]
    place = f"x={shown.x_ticks[0]}, y={shown.y_ticks[-1]}"
    note = f' + ggplot2::annotate("text", {place}, label="{shown.note}", hjust=0, size=3)' if shown.note else ""
    title = f', title="{shown.title}"' if shown.title else ""
    theme = f"theme_{rng.choice(['grey', 'bw', 'classic'])}()"
    labels_x, labels_y = _r([number(v) for v in shown.x_ticks]), _r([number(v) for v in shown.y_ticks])
    return f"""if (have) {{
d <- data.frame(x={_r([r[0] for r in rows])}, y={_r([r[1] for r in rows])}, s={_r([r[2] for r in rows])})
p <- ggplot2::ggplot(d, ggplot2::aes(x, y, colour=s)) + ggplot2::geom_line() + ggplot2::geom_point() +
  ggplot2::scale_x_continuous("{shown.x}", breaks={_r(shown.x_ticks)}, labels={labels_x}) +
  ggplot2::scale_y_continuous("{shown.y}", breaks={_r(shown.y_ticks)}, labels={labels_y},
    limits=c({shown.y_ticks[0]}, {shown.y_ticks[-1]})) +
  ggplot2::labs(colour=NULL{title}) + ggplot2::{theme}{note}
cairo_pdf("{out}", width={rng.uniform(4.5, 6.5):.1f}, height={rng.uniform(3, 4.5):.1f})
print(p)
invisible(dev.off())
}}
"""


LIBRARIES: tuple[Callable[[int, int], list[DrawnChart]], ...] = (draw_matplotlib, draw_gnuplot, draw_r)
