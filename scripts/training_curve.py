"""Draws the losses of a metrics.parquet as SVG: training_curve.py METRICS.parquet OUT.svg"""

import sys

import polars as pl

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 260, 46, 34, 12
COLOURS = {"train": "#9aa5b1", "heldout": "#0b6e99"}


def main(source, destination):
    metrics = pl.read_parquet(source)
    last_step = metrics["step"].max()
    low, high = metrics["loss"].min() // 0.5 * 0.5, metrics["loss"].max()

    def x(step):
        return LEFT + (WIDTH - LEFT - 90) * step / last_step

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    tick = low
    while tick <= high:
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - 90}" stroke="#e3e7eb"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#52606d">{tick:g}</text>')
        tick += 1
    for split, name in [("train", "training"), ("heldout", "held-out")]:
        rows = metrics.filter(pl.col("split") == split).select("step", "loss").rows()
        points = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in rows)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[split]}" stroke-width="2"/>')
        shift = 14 if split == "heldout" else -4
        end = y(rows[-1][1]) + shift
        parts.append(f'<text x="{WIDTH - 84}" y="{end:.1f}" fill="{COLOURS[split]}">{name} {rows[-1][1]:.2f}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}" fill="#52606d">loss in nats per token over {last_step} steps</text></svg>')
    with open(destination, "w") as file:
        file.write("\n".join(parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
