"""Devices that move, in plain Python: the same random numbers, but ways as lists of corners, and every formula anew."""

import bisect
import math

from naive_stream_sampling import Numbers, begin, between

STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # east, north, west, south


def numbers_at(start):
    numbers = Numbers.__new__(Numbers)
    numbers.start, numbers.position = start, 0
    return numbers


def path_loss_db(distance_m, carrier_ghz):
    """3GPP TR 38.901, table 7.4.1-1, UMi street canyon, NLOS, heights 10 and 1.5 m; the distance is in the plane."""
    d3 = math.sqrt(distance_m**2 + (10 - 1.5) ** 2)
    breakpoint_m = 4 * (10 - 1) * (1.5 - 1) * carrier_ghz * 1e9 / 3e8
    if distance_m <= breakpoint_m:
        sight = 32.4 + 21 * math.log10(d3) + 20 * math.log10(carrier_ghz)
    else:
        sight = 32.4 + 40 * math.log10(d3) + 20 * math.log10(carrier_ghz)
        sight -= 9.5 * math.log10(breakpoint_m**2 + (10 - 1.5) ** 2)
    none = 35.3 * math.log10(d3) + 22.4 + 21.3 * math.log10(carrier_ghz) - 0.3 * (1.5 - 1.5)
    return max(sight, none)


def snr_db(distance_m, scenario):
    loss = path_loss_db(max(distance_m, 10), scenario.carrier_hz / 1e9)
    noise_dbm = -174 + 10 * math.log10(scenario.bandwidth_hz) + 5
    return 10 * math.log10(1000 * scenario.transmit_w) - loss - noise_dbm


def rate_bps(snr, bandwidth_hz):
    """3GPP TR 36.942, annex A.2, uplink."""
    if snr < -10:
        return 0.0
    return bandwidth_hz * min(0.4 * math.log2(1 + 10 ** (snr / 10)), 2.0)


def mean_distance(a, b):
    """Of two uniform points of a rectangle: twice a sum over the differences' triangular densities."""
    n, total = 400, 0.0
    for i in range(n):
        x, weight = a * (i + 0.5) / n, 2 * (1 - (i + 0.5) / n) / n
        total += weight * sum(math.hypot(x, b * (j + 0.5) / n) * 2 * (1 - (j + 0.5) / n) / n for j in range(n))
    return total


def rectangle(scenario, sites):
    """Left, bottom, width and height of where devices move."""
    xs, ys = [x for x, _ in sites], [y for _, y in sites]
    if scenario.area_m is None:
        width, height = (max(v) - min(v) + scenario.site_spacing_m for v in (xs, ys))
    else:
        width, height = scenario.area_m
    if scenario.mobility == "roads":
        block = scenario.road_spacing_m
        width, height = (max(1, round(side / block)) * block for side in (width, height))
    return (max(xs) + min(xs) - width) / 2, (max(ys) + min(ys) - height) / 2, width, height


def waypoint_corners(u, area, scenario, mean_m, until_s):
    """Corners (time, x, y) of a way between random points."""
    left, bottom, width, height = area
    (low, high), (short, long) = scenario.speed_m_per_s, scenario.pause_s

    def point():
        x = left + u.next() * width
        return x, bottom + u.next() * height

    trip_s = mean_m * (math.log(high / low) / (high - low) if high > low else 1 / low)
    pause_s = (short + long) / 2
    if u.next() < pause_s / (pause_s + trip_s):
        here = point()
        whole_s = math.sqrt(between((short**2, long**2), u.next()))
        corners = [(0.0, *here), (whole_s * (1 - u.next()), *here)]
    else:
        while True:
            start, here = point(), point()
            if u.next() * math.hypot(width, height) < math.dist(start, here):
                break
        share = u.next()
        at = tuple(between(pair, share) for pair in zip(start, here, strict=True))
        speed = low * (high / low) ** u.next()
        corners = [(0.0, *at), (math.dist(at, here) / speed, *here)]
        corners.append((corners[-1][0] + between((short, long), u.next()), *here))
    while corners[-1][0] <= until_s:
        there, speed = point(), between((low, high), u.next())
        corners.append((corners[-1][0] + math.dist(here, there) / speed, *there))
        here = there
        corners.append((corners[-1][0] + between((short, long), u.next()), *here))
    return corners


def road_corners(u, area, scenario, until_s):
    left, bottom, width, height = area
    block = scenario.road_spacing_m
    columns, rows = round(width / block), round(height / block)
    streets = [("x", i % columns, i // columns) for i in range(columns * (rows + 1))]
    streets += [("y", i // rows, i % rows) for i in range(rows * (columns + 1))]
    axis, column, row = streets[int(u.next() * len(streets))]
    forward, share = u.next() < 0.5, u.next()
    crossing, other = [column, row], [column + (axis == "x"), row + (axis == "y")]
    heading = {"x": 0, "y": 1}[axis] + (0 if forward else 2)
    at = [between(pair, share) for pair in zip(crossing, other, strict=True)]
    crossing = other if forward else crossing
    speed = between(scenario.speed_m_per_s, u.next())
    corners = [(0.0, left + at[0] * block, bottom + at[1] * block)]
    inside = lambda c, h: 0 <= c[0] + STEPS[h][0] <= columns and 0 <= c[1] + STEPS[h][1] <= rows  # noqa: E731
    while corners[-1][0] <= until_s:
        place = (left + crossing[0] * block, bottom + crossing[1] * block)
        corners.append((corners[-1][0] + math.dist(corners[-1][1:], place) / speed, *place))
        ways = [h for h in (heading, (heading + 1) % 4, (heading + 3) % 4) if inside(crossing, h)]
        chance = u.next()
        if len(ways) == 3:
            heading = ways[0] if chance < 0.5 else ways[1] if chance < 0.75 else ways[2]
        elif len(ways) == 2:
            heading = ways[0] if chance < 0.5 else ways[1]
        else:
            (heading,) = ways
        crossing = [c + step for c, step in zip(crossing, STEPS[heading], strict=True)]
    return corners


def track_corners(u, tracks, until_s):
    """``tracks``: lists of (time, x, y); the corners of going forth and back on one of them."""
    track = tracks[int(u.next() * len(tracks))]
    first, duration = track[0][0], track[-1][0] - track[0][0]
    begun = u.next() * 2 * duration
    if duration == 0:
        return [(0.0, *track[0][1:]), (until_s, *track[0][1:])]
    corners, turn = [], -begun
    while turn <= until_s:
        corners += [(turn + t - first, x, y) for t, x, y in track]
        turn += duration
        corners += [(turn + track[-1][0] - t, x, y) for t, x, y in track[::-1]]
        turn += duration
    return corners


def position(corners, t):
    after = min(max(bisect.bisect_right([corner[0] for corner in corners], t), 1), len(corners) - 1)
    (t0, *one), (t1, *other) = corners[after - 1], corners[after]
    share = (t - t0) / (t1 - t0) if t1 > t0 else 0.0
    return tuple(between(pair, share) for pair in zip(one, other, strict=True))


def draw(scenario, sites, tracks, mean_m, start, d, num_slots):
    """(positions, sites, uplink rates) of device d in all slots; ``start`` is that of the stream."""
    u, until_s = numbers_at(begin(start, 1, d)), num_slots * scenario.slot_s
    if scenario.mobility == "waypoint":
        corners = waypoint_corners(u, rectangle(scenario, sites), scenario, mean_m, until_s)
    elif scenario.mobility == "roads":
        corners = road_corners(u, rectangle(scenario, sites), scenario, until_s)
    else:
        corners = track_corners(u, tracks, until_s)
    places = [position(corners, s * scenario.slot_s) for s in range(num_slots)]
    fading = begin(start, 2, d)
    at_first, later = numbers_at(begin(fading, 1, 0)), numbers_at(fading)
    shadows = [scenario.shadowing_db * at_first.normal(a) for a in range(len(sites))]
    attached, rates, own = [], [], None
    for s, place in enumerate(places):
        moved = math.dist(place, places[s - 1]) if s else 0.0
        if moved > 0:
            rho = math.exp(-moved / scenario.shadowing_m)
            even = len(sites) + len(sites) % 2
            shadows = [
                rho * db + math.sqrt(1 - rho**2) * scenario.shadowing_db * later.normal(s * even + a)
                for a, db in enumerate(shadows)
            ]
        levels = [snr_db(math.dist(place, site), scenario) + db for site, db in zip(sites, shadows, strict=True)]
        if own is None or max(levels) > levels[own] + scenario.handover_hysteresis_db:
            own = levels.index(max(levels))
        attached.append(own)
        rates.append(rate_bps(levels[own], scenario.bandwidth_hz))
    rates[-1] = max(rates[-1], rate_bps(-10, scenario.bandwidth_hz))
    return places, attached, rates
