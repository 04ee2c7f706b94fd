"""A moment of a stream whose devices move, as the environment draws it: the last seconds, and beside them the map."""

from __future__ import annotations

import base64
import io
from typing import Any

from matplotlib.image import imsave

from offload_gym.envs.stream import StreamEnv
from offload_gym.seeds import seed_for
from offload_gym.streams.playing import play
from offload_gym.streams.policies import make_stream_policy

PRESET, POLICY = "stream_mobile", "queue-price"


def moving(seed: int) -> dict[str, Any]:
    """The picture as an address that holds it, and what is said of it."""
    env = StreamEnv(PRESET, render_mode="rgb_array")
    env.reset(seed=int(seed_for("test", seed, 5).generate_state(1)[0]))
    streams, half = env.streams, env.scenario.num_jobs // 2
    decisions = play(streams, make_stream_policy(POLICY, PRESET), num_threads=1).decisions[0, :half, 0]
    for location in decisions.tolist():
        env.step(location)
    file = io.BytesIO()
    imsave(file, env.render(), format="png")
    return {
        "image": f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}",
        "policy": POLICY,
        "now": f"{streams.arrival_s[0, half]:.1f} s",
        "devices": env.scenario.num_devices,
        "sites": env.scenario.num_sites,
    }
