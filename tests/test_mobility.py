"""The fields of a scenario that say how devices move, and the files of sites and positions."""

import json
import math

import numpy as np
import pytest

from offload_gym.mobility import load_sites, load_tracks, sites_of
from offload_gym.scenario import described, difference, make_scenario, paths_from, with_absolute_paths


@pytest.fixture
def write(tmp_path):
    def file(text, name="file.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


def test_sites_in_degrees_become_metres_about_their_mean(write):
    path = write("site_id,latitude,longitude\n7,-37.81,144.97\n8,-37.83,144.95\n")
    sites = load_sites(path)
    assert sites.origin == pytest.approx((-37.82, 144.96))
    # 0.01 degrees are pi / 18,000 radians: 6,371,008.8 m * 1.745329e-4 = 1,111.95 m to the north, and cos(37.82
    # degrees) = 0.789940 of that to the east.
    np.testing.assert_allclose(sites.xy_m, [[878.37, 1111.95], [-878.37, -1111.95]], atol=0.01)
    tracks = load_tracks(write("device,time_s,latitude,longitude\na,0,-37.82,144.97\n", "ways.csv"), sites.origin)
    np.testing.assert_allclose(tracks.rows, [[0.0, 878.37, 0.0]], atol=0.01)


def test_sites_on_both_sides_of_180_degrees_are_neighbours(write):
    sites = load_sites(write("latitude,longitude\n0,179.99\n0,-179.98\n"))
    # 0.03 degrees apart on the equator are 3 * 1,111.95 m; the origin is between them, at 180.005 degrees.
    np.testing.assert_allclose(sites.xy_m, [[-1667.92, 0.0], [1667.92, 0.0]], atol=0.01)
    rows = "device,time_s,latitude,longitude\na,0,0,179.99\na,1,0,-179.98\n"
    tracks = load_tracks(write(rows, "ways.csv"), sites.origin)
    np.testing.assert_allclose(tracks.rows[:, 1:], sites.xy_m)


def test_sites_in_metres_stay_where_they_are(write):
    path = write("name;x_m;y_m\na;12,5;-3\nb;1e3;0\n")
    assert load_sites(path).xy_m.tolist() == [[12.5, -3.0], [1000.0, 0.0]]
    assert load_sites(path).origin is None
    scenario = make_scenario("stream", mobility="waypoint", sites_path=path, num_sites=77)
    assert len(sites_of(scenario.to_dict()).xy_m) == 2


def test_tracks_are_sorted_by_device(write):
    tracks = load_tracks(write("time_s,device,y_m,x_m\n5,b,1,2\n0,a,3,4\n6,b,5,6\n\n1,a,7,8\n"))
    assert tracks.rows.tolist() == [[5, 2, 1], [6, 6, 5], [0, 4, 3], [1, 8, 7]]
    assert tracks.start.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the file of sites .* has no row; it needs 'x_m', 'y_m' or 'latitude', 'longitude'"),
        ("x_m,z_m\n1,2\n", r"the file of sites .* has the columns 'x_m', 'z_m'; it needs 'x_m', 'y_m' or"),
        ("x_m,y_m\n", r"the file of sites .* has no row of positions; it must have at least 1"),
        ("x_m,y_m\n1,2\n3,nan\n", r"the file of sites .*, row 3: 'y_m' is 'nan'; it must be from -1e\+07 to 1e\+07"),
        ("x_m,y_m\n1,inf\n", r"the file of sites .*, row 2: 'y_m' is 'inf'; it must be from"),
        ("x_m,y_m\n1e8,1\n", r"the file of sites .*, row 2: 'x_m' is '1e8'; it must be from -1e\+07 to 1e\+07"),
        ("x_m,y_m\n1\n", r"the file of sites .*, row 2: 'y_m' is ''; it must be from"),
        ("x_m,y_m,x_m\n1,2,3\n", r"the file of sites .* has 2 columns 'x_m'; it must have one"),
        (
            "x_m,y_m,latitude,longitude\n1,2,3,4\n",
            r"the file of sites .* has positions in metres and in degrees; it must have one of both",
        ),
        ("latitude,longitude\n91,0\n", r"the file of sites .*, row 2: 'latitude' is '91'; it must be from -90 to 90"),
        ("latitude,longitude\n1,-181\n", r".* 'longitude' is '-181'; it must be from -180 to 180"),
    ],
)
def test_bad_sites(write, text, message):
    with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
        make_scenario("stream", mobility="waypoint", sites_path=write(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,x_m,y_m\n0,1,2\n", r".* has the columns 'time_s', 'x_m', 'y_m'; it needs 'device'"),
        ("device,x_m\na,1\n", r".* it needs 'time_s' and 'x_m', 'y_m' or 'latitude', 'longitude'"),
        (
            "device,time_s,x_m,y_m\na,1,0,0\nb,0,0,0\na,1,5,5\n",
            r".*, row 4: 'time_s' is '1'; it must be finite and above that of the device's row before it",
        ),
        ("device,time_s,x_m,y_m\na,nan,0,0\n", r".*, row 2: 'time_s' is 'nan'; it must be finite"),
        ("device,time_s,x_m,y_m\na,0,zero,0\n", r".*, row 2: 'x_m' is 'zero'; it must be from"),
        ("device,time_s,x_m,y_m\na,0,0,0\n,1,0,0\n", r".*, row 3: 'device' is ''; it must say which device is there"),
        ("device,time_s,x_m,y_m,device\na,0,0,0,b\n", r".* has 2 columns 'device'; it must have one"),
        (
            "device,time_s,latitude,longitude\na,0,1,1\n",
            r".* has the columns latitude and longitude, and the sites have x_m and y_m; both must have the same",
        ),
    ],
)
def test_bad_positions(write, text, message):
    with pytest.raises(ValueError, match=rf"^the file of positions {message}[^\n]*$"):
        make_scenario("stream", mobility="recorded", positions_path=write(text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mobility": "fly"}, r"mobility is 'fly'; it must be one of 'none', 'waypoint', 'roads', 'recorded'"),
        ({"mobility": 3}, r"mobility is 3; it must be one of"),
        ({"speed_m_per_s": (0.0, 2.0)}, r"speed_m_per_s is \(0.0, 2.0\); low must be above 0"),
        ({"pause_s": (-1.0, 2.0)}, r"pause_s is \(-1.0, 2.0\); low must be at least 0"),
        (
            {"speed_m_per_s": (1.0, 1e12)},
            r"speed_m_per_s is \(1.0, 1000000000000.0\); both must be from 0.001 to",
        ),
        ({"speed_m_per_s": (1e-9, 1.0)}, r"speed_m_per_s is \(1e-09, 1.0\); both must be from 0.001 to 10000"),
        ({"pause_s": (0.0, 1e300)}, r"pause_s is \(0.0, 1e\+300\); both must be from 0 to 1e\+07"),
        ({"road_spacing_m": 0}, r"road_spacing_m is 0; it must be from 1 to 1e\+07"),
        ({"road_spacing_m": 1e-17}, r"road_spacing_m is 1e-17; it must be from 1 to 1e\+07"),
        ({"site_spacing_m": math.inf}, r"site_spacing_m is inf; it must be from 1 to 1e\+07"),
        (
            {"area_m": 300.0},
            r"area_m is 300.0; it must be a pair \(width, height\) of numbers from 1 to 1e\+07",
        ),
        ({"area_m": (300.0, 0.0)}, r"area_m is \(300.0, 0.0\); it must be a pair"),
        ({"area_m": (1e200, 1e200)}, r"area_m is \(1e\+200, 1e\+200\); it must be a pair"),
        ({"area_m": (1e-6, 1e-6)}, r"area_m is \(1e-06, 1e-06\); it must be a pair"),
        ({"num_sites": 0}, r"num_sites is 0; it must be a whole number, at least 1"),
        ({"num_sites": 10_001}, r"num_sites is 10001; it must be at most 10,000"),
        ({"carrier_hz": 3.5}, r"carrier_hz is 3.5; it must be from 5e\+08 to 1e\+11"),
        ({"bandwidth_hz": 0.0}, r"bandwidth_hz is 0.0; it must be finite and above 0"),
        ({"shadowing_db": -1}, r"shadowing_db is -1; it must be finite and at least 0"),
        ({"shadowing_m": 0.0}, r"shadowing_m is 0.0; it must be finite and above 0"),
        ({"handover_hysteresis_db": math.nan}, r"handover_hysteresis_db is nan; it must be finite and at least 0"),
        ({"positions_path": "a.csv"}, r"positions_path is 'a.csv'; with mobility='waypoint' it must be None"),
        ({"mobility": "recorded"}, r"positions_path is None; mobility='recorded' needs the path of a CSV file"),
        ({"sites_path": 4}, r"sites_path is 4; it must be the path of a CSV file"),
        ({"sites_path": "nowhere.csv"}, r"the file of sites nowhere.csv cannot be read"),
        ({"mobility": "none", "num_sites": 3}, r"num_sites is 3; with mobility='none' it must be 1"),
        ({"mobility": "none", "sites_path": "a.csv"}, r"sites_path is 'a.csv'; with mobility='none' it must be None"),
        ({"radio": "constant"}, r"radio is 'constant'; with mobility='waypoint' it must be 'random'"),
        ({"outage_share": 0.1}, r"outage_share is 0.1; with mobility='waypoint' it must be 0.0"),
        ({"further_edge_rate_ratio": (0.5, 1)}, r"further_edge_rate_ratio is \(0.5, 1.0\); with mobility='waypoint'"),
        ({"transmit_w": 0}, r"transmit_w is 0.0; with mobility='waypoint' it must be above 0"),
    ],
)
def test_bad_fields(changes, message):
    with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
        make_scenario("stream", **{"mobility": "waypoint", **changes})


def test_files_are_described_and_found_as_traces_are(write, tmp_path):
    ways = [write(f"device,time_s,x_m,y_m\na,0,0,0\na,9,{x},0\n", name) for x, name in ((1, "a"), (1, "b"), (2, "c"))]
    sites = [write(f"x_m,y_m\n0,{y}\n", f"sites-{y}.csv") for y in (1, 2)]
    given = [
        make_scenario("stream", mobility="recorded", positions_path=way, sites_path=site)
        for way, site in ((ways[0], sites[0]), (ways[1], sites[0]), (ways[2], sites[0]), (ways[0], sites[1]))
    ]
    assert difference(described(given[0]), given[1]) is None
    assert difference(described(given[0]), given[2])[0] == "positions_path"
    assert difference(described(given[0]), given[3])[0] == "sites_path"
    assert str(tmp_path) not in json.dumps(described(given[0]))
    here = given[0].to_dict() | {"positions_path": "a", "sites_path": "sites-1.csv"}
    assert make_scenario(**paths_from(tmp_path, here)) == given[0]
    assert with_absolute_paths(given[0]) == given[0]
    assert given[0].label == "stream, sites-1.csv, a"
