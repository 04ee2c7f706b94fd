"""What Gymnasium writes down of an environment: values that go to JSON."""

from __future__ import annotations

import copy
import os
from enum import Enum
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec


def plain(value: Any) -> Any:
    """The same value with numbers, arrays, paths and choices as JSON knows them, in dicts, lists and tuples, too."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


class PlainSpec:
    """The attribute ``spec`` of an environment, which Gymnasium sets: its arguments are kept as plain values."""

    def __get__(self, env: Any, owner: type | None = None) -> EnvSpec | None:
        return None if env is None else env.__dict__.get("spec")

    def __set__(self, env: Any, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec = copy.copy(spec)
            spec.kwargs = plain(spec.kwargs)
        env.__dict__["spec"] = spec
