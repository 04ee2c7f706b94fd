import pytest

import offload_gym
from offload_gym import load_trace


def written(folder, text, name="trace.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mbps(trace, step_s=1.0):
    """The rates of the trace's steps, in Mbit/s."""
    return (trace.rates_bps(step_s) / 1e6).round(9).tolist()


# Each file with the rate of each of its seconds in Mbit/s, as the comment works it out.
FILES = {
    # samples at 0, 5 and 10 s; the last lasts 5 s as the one before
    "times": ("time,mbps\n0,20\n5,35\n10,10\n", [20] * 5 + [35] * 5 + [10] * 5),
    "times from another zero": ("time,mbps\n180,20\n182,35\n", [20, 20, 35, 35]),
    "uneven times": ("time,mbps\n0,20\n1.5,40\n2,10\n", [20, (10 + 20) / 1, 10]),  # 1.5 s at 20, 0.5 at 40, 0.5 at 10
    "milliseconds": ("time_ms,mbps\n0,20\n2000,35\n", [20, 20, 35, 35]),
    "milliseconds in brackets": ("Time (ms),Mbps\n0,20\n2000,35\n", [20, 20, 35, 35]),
    "minutes": ("time_minutes,mbps\n0,20\n0.05,35\n", [20] * 3 + [35] * 3),  # 0.05 min are 3 s
    "a time stamp": ("TIME_STAMP,mbps\n0,20\n2,35\n", [20, 20, 35, 35]),
    "Unix time": ("timestamp,mbps\n1453121790,20\n1453121792,35\n", [20, 20, 35, 35]),
    "Unix time in ms": ("timestamp,mbps\n1453121790686,20\n1453121792686,35\n", [20, 20, 35, 35]),
    "Unix time in ns": ("unix_time,mbps\n1453121790686000000,20\n1453121792686000000,35\n", [20, 20, 35, 35]),
    "ISO times": ("Timestamp,mbps\n2020-01-31 23:59:59,20\n2020-02-01T00:00:01+00:00,35\n", [20, 20, 35, 35]),
    "TimeStamp": ("TimeStamp,mbps\n0,20\n2,35\n", [20, 20, 35, 35]),
    "time_stamp": ("time_stamp,mbps\n0,20\n2,35\n", [20, 20, 35, 35]),
    "hours": ("Time (h),mbps\n0,20\n0.001,35\n", [20, 20, 20, (0.6 * 20 + 0.4 * 35)] + [35] * 3),  # 3.6 s, 7.2 in all
    "a date and time by another name": (
        "when,mbps\n2020-01-31 23:59:59,20\n2020-02-01T00:00:01,35\n",
        [20, 20, 35, 35],
    ),
    "date beside time": ("date,time,mbps\n2020-01-31,09:59:59,20\n2020-01-31,10:00:01,35\n", [20, 20, 35, 35]),
    "least and greatest beside": ("min,max,mbps\n1,5,3\n2,9,4\n", [3, 4]),
    "clock": ("time,mbps\n09:59:59,20\n10:00:01,35\n", [20, 20, 35, 35]),
    "one sample with a time": ("time,mbps\n7,20\n", [20]),
    # a sample of 100 ms in a second of outage, and the sums of binary fractions that make no rate of a bit a second
    "tenths": (
        "t,mbps\n" + "".join(f"{1e9 + k / 10},{9 if k < 10 or k == 25 else 0}\n" for k in range(40)),
        [9, 0, 0.9, 0],
    ),
    "a time to ignore": ("measured,latency_ms,mbps\nx,5,1\ny,4,2\n", [1, 2]),
    "decimal comma": ("mbps\n0,8\n12,5\n", [0.8, 12.5]),
    "semicolons": ("time;mbps\n0;0,8\n2;12,5\n", [0.8, 0.8, 12.5, 12.5]),
    "tabs": ("time\tmbps\n0\t0.8\n2\t12,5\n", [0.8, 0.8, 12.5, 12.5]),
    "said separator": ("sep=;\nmbps;place\n0,8;bus\n", [0.8]),
    "quotation marks": ('"time","mbps"\n"0","1"\n"1","2"\n', [1, 2]),
    "spaces": ("time mbps\n0 1\n1 2\n", [1, 2]),
    "empty rows and cells at the end": ("\nmbps,\n1,\n2,\n,\n\n", [1, 2]),
    "byte order mark": ("\ufeffmbps\n3\n", [3]),
    "bytes": ("time;rate (MB/s)\n0;1,5\n", [12]),
    "bits in capitals": ("RATE_MBPS\n2\n", [2]),
    "camel case": ("throughputKbps\n2000\n", [2]),
    # NYU-METS: 500 kbit/s, 250 bit/s
    "units beside": ("0.57,Mbits/sec\r\n500,Kbits/sec\r\n250,bits/sec\r\n0,Mbits/sec\r\n", [0.57, 0.5, 0.00025, 0]),
    # Pensieve: the first second has 0.5 s of each; 2.2 s in all are 2 s
    "two columns": ("0.0\t4.0\n0.5\t2.0\n1.35\t2.0\n", [3, 2]),
    "two columns with spaces": ("0.474 3\n1.474 5\n", [3, 5]),
    "two columns with decimal commas": ("0,0;4,5\n1,0;2,5\n", [4.5, 2.5]),
    # Mahimahi: 2 packets until 1 s, 1 until 2 s, none until 3 s, 3 until 3.5 s; 12,000 bits each, the last in 0.5 s
    "Mahimahi": ("0\n1000\n1001\n3001\n3500\n3500\n", [0.024, 0.012, 0, 0.072]),
    "Mahimahi of one line": ("1\n", [12]),  # a packet a millisecond, as mahimahi's README says
    # a log of G-NetTrack: kbit/s, two samples in second 0 and in the last, none in second 2
    "5G log": (
        "Timestamp,CellID,DL_bitrate,UL_bitrate,State\n2019.12.16_13.40.04,3,1000,10,D\n2019.12.16_13.40.04,3,3000,20,D\n"
        "2019.12.16_13.40.05,3,5000,30,D\n2019.12.16_13.40.07,3,-,-,D\n2019.12.16_13.40.08,3,0,2000,D\n"
        "2019.12.16_13.40.08,3,8000,0,D\n",
        [0.015, 0.03, 0.03, 0.03, 1],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_files_are_read_as(tmp_path, name):
    text, expected = FILES[name]
    trace = load_trace(written(tmp_path, text))
    assert mbps(trace) == pytest.approx(expected, abs=1e-9)
    # an outage is exactly one, not a rate that rounding left
    assert [rate == 0 for rate in trace.rates_bps()] == [rate == 0 for rate in expected]


LOG = FILES["5G log"][0]


def test_the_downlink_of_a_log(tmp_path):
    # Until 13.40.08 the sample of 13.40.05 holds, 3 s; the mean of the last two is 4 Mbit/s, from 07 to 08 it was 1 s.
    trace = load_trace(written(tmp_path, LOG), link="downlink")
    assert mbps(trace) == [2, 5, 5, 5, 4]
    assert trace.num_samples == 5
    assert trace.taken_for == "'DL_bitrate' in kbit/s at the times of 'Timestamp', 1 of them missing"


def test_missing_samples_do_not_shift_the_links(tmp_path):
    path = written(tmp_path, "time,up_mbps,down_mbps\n0,-,1\n1,-,2\n2,7,3\n3,8,4\n4,-,5\n")
    assert mbps(load_trace(path)) == [7, 7, 7, 8, 8]
    assert mbps(load_trace(path, link="downlink")) == [1, 2, 3, 4, 5]


OPTIONS = [
    ("a,b\n1,2\n3,4\n", {"column": "b", "unit": "Gbit/s"}, [2000, 4000]),
    ("a,b\n1,2\n3,4\n", {"column": 1, "unit": "kbit/s", "step_s": 2}, [0.001] * 2 + [0.003] * 2),
    ("time,rate\n0,2\n2,4\n", {"unit": "Mbit/s"}, [2, 2, 4, 4]),
    ("time,mbps\n0,2\n20,4\n", {"step_s": 0.5}, [3]),
    ("mbps,mbps\n1,2\n", {"column": "2"}, [2]),
    ("mbps\n500\n", {"unit": "kbit/s"}, [0.5]),  # what is asked for counts
    ("3\n5\n", {"unit": "Mbit/s"}, [3, 5]),
    ("23,10,0\n30.4,9,0\n", {"column": 1, "unit": "Mbit/s"}, [23, 30.4]),
    ("0 2000\n2 4000\n", {"unit": "kbit/s"}, [2, 2, 4, 4]),
    ("0 2\n2 4\n", {"column": 2}, [2, 2, 4, 4]),
    ("DL_bitrate\n4000\n", {"column": "DL_bitrate"}, [4]),
    ("mbps,ul_mbps,dl_mbps\n1,2,3\n", {"link": "downlink"}, [3]),
    ("mbps,dl_mbps\n1,3\n", {}, [1]),
]


@pytest.mark.parametrize(("text", "options", "expected"), OPTIONS)
def test_options(tmp_path, text, options, expected):
    assert mbps(load_trace(written(tmp_path, text), **options)) == expected


REFUSED = [
    ("kbps\n1,234\n2,345\n", {}, r"row 2: 'kbps' is '1,234', which may be 1.234 or 1234; write it without a comma"),
    ("", {}, r"trace\.csv is empty"),
    ("\n\n", {}, r"trace\.csv is empty"),
    ("mbps\n", {}, r"has a single row, 'mbps', and no numbers"),
    ("mbps\n1\nfast\n", {}, r"row 3: 'mbps' is 'fast'; it must be a number, at least 0 and at most 1e\+15 bit/s"),
    ("mbps\n1\n2\n-3\n", {}, r"row 4: 'mbps' is '-3'; it must be a number, at least 0"),
    ("mbps\n1\nnan\n", {}, r"row 3: 'mbps' is 'nan'; it must be a number"),
    ("mbps\n1\ninf\n", {}, r"row 3: 'mbps' is 'inf'; it must be a number"),
    ("mbps\n1\n1e308\n", {}, r"row 3: 'mbps' is '1e308'; it must be .* at most 1e\+15 bit/s"),
    ("mbps\n1\n1_000\n", {}, r"row 3: 'mbps' is '1_000'"),
    ("mbps\n1\n-\n3\n", {}, r"row 3: 'mbps' is '-'; it must be a number, as the file has no times"),
    ("mbps\n1\n\n3\n", {}, r"row 3 is empty; only the last rows may be"),
    ("a,mbps\n1,1\n,\n3,3\n", {}, r"row 3 is empty"),
    ("a,mbps\n1,1\n2,\n", {}, r"row 3: 'mbps' is ''; it must be a number"),
    ("mbps,mbps\n1,2\n", {}, r"has 2 columns of rates, 'mbps', 'mbps'; trace_column must say which"),
    ("mbps,mbps\n1,2\n", {"column": "mbps"}, r"has 2 columns 'mbps'; trace_column must be a number from 1"),
    ("time,time,mbps\n1,1,2\n", {}, r"has two columns 'time'"),
    (
        "play_time,mbps\n0,1\n5,1\n",
        {},
        r"the column 'play_time', whose name does not say .* trace_step_s reads the file without",
    ),
    ("second,mbps\n0,1\n1\n", {}, r"row 3 has 1 cells; the first row has 2"),
    ("mbps,a\n0,8,2\n", {}, r"row 2 has 3 cells; the first row has 2"),
    ('mbps,a\n"0,8",2\n', {}, r"'mbps' is '0,8'; it must be .*, with a point for a comma"),
    ("mbps;a\n1.000,8;2\n", {}, r"'mbps' is '1\.000,8'"),
    ("time,mbps\n0,1\n2,1\n1,1\n", {}, r"row 4: 'time' is '1'; it must be at least that of the row before, '2'"),
    ("time,mbps\n0,1\nlater,1\n", {}, r"row 3: 'time' is 'later'; it must be a time"),
    ("time,mbps\n0,1\n-,1\n", {}, r"row 3: 'time' is '-'; it must be a time"),
    ("time,mbps\n10:00,1\n25:00,1\n", {}, r"row 3: 'time' is '25:00'; it must be a time"),
    (
        "epoch,mbps\n0,1\n5,2\n",
        {},
        r"has the column 'epoch', whose name does not say of what times .* trace_step_s reads",
    ),
    ("rtt_ms,hour,mbps\n3,0,1\n4,5,2\n", {}, r"has the column 'hour', whose name does not say of what times"),
    ("time,mbps\n0,1\n1e9,1\n", {}, r"lasts 2e\+09 s; it must last at most 10,000,000 .*time_ms"),
    ("time,mbps\n0,-\n1,-\n", {}, r"has no rate: all of 'mbps' is '-'"),
    ("kbps,speed (Mbit/s)\n1,2\n", {}, r"has 2 columns of rates, 'kbps', 'speed \(Mbit/s\)'"),
    (
        "Throughput\n1\n",
        {},
        r"no column whose name says a unit of rates, .* its columns are 'Throughput'; trace_column",
    ),
    ("Throughput\n1\n", {"column": "Throughput"}, r"does not say the unit of 'Throughput'; trace_unit must"),
    ("DL_bitrate\n1\n", {}, r"has no uplink; trace_column can say that 'DL_bitrate' stands for it"),
    ("UL_bitrate\n1\n", {"link": "downlink"}, r"has no downlink; downlink_trace_column can say that 'UL_bitrate'"),
    (
        "mbps\n1\n",
        {"column": "rate"},
        r"trace_column is 'rate'; .*trace\.csv has no such column, its columns are 'mbps'",
    ),
    ("mbps\n1\n", {"column": 2}, r"trace_column is '2'; .* has no such column"),
    ("1.5\n0.5\n", {}, r"row 1: column 1 is '1\.5'; it must be a whole number of milliseconds"),
    ("3\n2\n", {}, r"row 2: column 1 is '2'; it must be a whole number of milliseconds, not below the one before"),
    ("0\n0\n", {}, r"has packets at 0 ms alone"),
    ("1\n2\n", {"step_s": 1}, r"has one column without a header; trace_unit must say what its numbers are"),
    ("1,Mbits/sec\n2,furlongs\n", {}, r"row 2: column 2 is 'furlongs'; it must be a unit such as"),
    ("1,Mbits/sec\n2,Mbits/sec\n", {"unit": "bit/s"}, r"has a unit in each row; trace_unit must be None"),
    ("1,2,3\n4,5,6\n", {}, r"has 3 columns without a header; trace_column must be a number of one"),
    ("mbps\n1\n", {"link": "sideways"}, r"link is 'sideways'; it must be one of uplink, downlink"),
    ('mbps\n"1\n', {}, r"trace\.csv is not CSV"),
    ("x" * 200_000, {}, r"trace\.csv"),  # longer than a CSV cell may be
]


@pytest.mark.parametrize(("text", "options", "message"), REFUSED)
def test_what_is_refused_is_said_in_one_sentence(tmp_path, text, options, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        load_trace(path, **options)
    assert str(path) in str(error.value) or "link" in options
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfem\x00", "is a text in UTF-16, not a text in UTF-8; save it as a text in UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_file(tmp_path, content, message):
    path = tmp_path / "trace.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"trace\.csv {message}"):
        load_trace(path)


def test_a_trace_is_said_in_one_line(tmp_path):
    # 5 samples in 2 + 1 + 1 + 60 + 60 s; the mean is (2 * 4 + 0 + 1 * 4 + 60 * 2 + 60 * 1) / 124 = 192 / 124
    trace = load_trace(written(tmp_path, "time,mbps\n0,4\n2,0\n3,4\n4,2\n64,1\n"))
    assert trace.summary == (
        "'mbps' in Mbit/s at the seconds of 'time' (a gap of 60 s after 4 s): 5 samples, 124 s, 1.548 Mbit/s in the "
        "mean and 4 in the best second, 0.8% of the seconds in an outage"
    )
    assert trace.start_s.tolist() == [0, 2, 3, 4, 64]
    assert trace.rate_bps.tolist() == [4e6, 0, 4e6, 2e6, 1e6]
    assert isinstance(trace, offload_gym.Trace)
    # so is that no column was taken for a time
    trace = load_trace(written(tmp_path, "Zeit;mbps\n0;1\n5;2\n"))
    assert trace.taken_for == "'mbps' in Mbit/s, 1 s apart (no column is a time)"
    # Unix times in ms are said; packets are the samples of Mahimahi
    assert "Unix times in ms of 'ts'" in load_trace(written(tmp_path, "ts,mbps\n1453121790686,1\n")).taken_for
    trace = load_trace(written(tmp_path, "500\n1000\n1000\n"))
    assert trace.summary == (
        "packets of 1,500 bytes at milliseconds (Mahimahi): 3 samples, 1 s, 0.036 Mbit/s in the mean and 0.036 in the "
        "best second"
    )


def test_rates_of_other_steps(tmp_path):
    trace = load_trace(written(tmp_path, "mbps\n4\n8\n0\n"))
    assert mbps(trace, 0.5) == [4, 4, 8, 8, 0, 0]
    assert mbps(trace, 2.0) == [6, 0]  # 3 s are 2 steps of 2 s, of which the trace fills 1.5
    assert mbps(trace, 60.0) == [4]
    assert trace.rates_bps(1.0) is trace.rate_bps
