"""The figure of RESULTS.md as SVG, with its values in tooltips."""

from xml.sax.saxutils import escape

from study.results import MANY, percent

STYLES = {"base": ("#52606d", "square"), "full": ("#b3400e", "circle"), "head": ("#8a6d00", "diamond"), "lora": ("#0b6e99", "triangle")}
NAMES = {"base": "untuned", "full": "full", "head": "head-only", "lora": "LoRA"}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 300, 220, 44, 28, 40, 24


def marker(shape, x, y, colour, filled, title):
    fill = colour if filled else "white"
    shapes = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"',
        "square": f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"',
        "diamond": f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"',
        "triangle": f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z"',
    }
    return f'{shapes[shape]} fill="{fill}" fill-opacity="0.8" stroke="{colour}" stroke-width="1.5"><title>{escape(title)}</title>{"</circle>" if shape == "circle" else "</rect>" if shape == "square" else "</path>"}'


def panel(left, top, title, points, x_range, x_label):
    """Points are (x, y, mode, filled, title); y is a share."""
    low, high = x_range
    scale_x = lambda x: left + LEFT + (WIDTH - LEFT - 8) * (x - low) / ((high - low) or 1)
    scale_y = lambda y: top + TOP + (HEIGHT - TOP - BOTTOM) * (1 - y)
    parts = [f'<text x="{left + LEFT}" y="{top + 16}" font-weight="600">{escape(title)}</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = scale_y(share)
        parts.append(f'<path d="M{left + LEFT} {y:.1f}H{left + WIDTH - 8}" stroke="#e3e7eb"/><text x="{left + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#52606d">{percent(share)}</text>')
    ticks = [low + (high - low) * part / 3 for part in range(4)]
    for tick in ticks:
        parts.append(f'<text x="{scale_x(tick):.1f}" y="{top + HEIGHT - BOTTOM + 16}" text-anchor="middle" fill="#52606d">{tick:.2f}</text>')
    parts.append(f'<text x="{left + (LEFT + WIDTH) / 2:.0f}" y="{top + HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    parts += [marker(STYLES[mode][1], scale_x(x), scale_y(y), STYLES[mode][0], filled, tooltip) for x, y, mode, filled, tooltip in points]
    return "".join(parts)


def legend(top, modes, filled, hollow):
    parts, x = [], LEFT
    for mode in modes:
        parts.append(marker(STYLES[mode][1], x, top, STYLES[mode][0], True, NAMES[mode]) + f'<text x="{x + 10}" y="{top + 4}">{NAMES[mode]}</text>')
        x += 90
    parts.append(f'<text x="{LEFT - 6}" y="{top + 22}" fill="#52606d">filled: {filled}; hollow: {hollow}</text>')
    return "".join(parts)


def figure(title, panels, modes, filled, hollow, columns=3):
    rows = -(-len(panels) // columns)
    width, height = min(columns, len(panels)) * (WIDTH + GAP), rows * (HEIGHT + GAP) + 44
    body = [draw((number % columns) * (WIDTH + GAP), (number // columns) * (HEIGHT + GAP)) for number, draw in enumerate(panels)]
    body.append(legend(height - 32, modes, filled, hollow))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(width, 700)} {height}" font-family="system-ui, sans-serif" font-size="11" role="img">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="white"/>{"".join(body)}</svg>\n'
    )


def frontier(study):
    """The share of repeated documents over test loss: every method at every rate, at its best and last checkpoint."""
    panels = []
    for corpus, model in study.pairs:
        points = []
        for method in study.select(corpus=corpus, model=model):
            for checkpoint in ("untuned",) if method.mode == "base" else method.tuned_checkpoints():
                share = method.share(checkpoint, min_copies=MANY)
                loss = method.test_loss(checkpoint)
                tooltip = f"{method.name} at {method.rate_label}, {checkpoint}: test loss {loss:.3f}, {share[0]} of {share[1]}"
                points.append((loss, share[0] / share[1], method.mode, checkpoint != "best", tooltip))
        x_range = min(point[0] for point in points), max(point[0] for point in points)
        panels.append(
            lambda left, top, title=f"{model} on {corpus}", points=points, x_range=x_range: panel(
                left, top, title, points, x_range, "test loss, nats per token"
            )
        )
    title = f"Share of the documents of {MANY} copies or more that are repeated word for word, against loss on test text"
    return figure(title, panels, list(STYLES), "last checkpoint", "best checkpoint, where some pass made validation loss better")
