"""A stage whose clips misbehave on purpose: what a clip does is written in its id."""

import os
import time

import pyarrow as pa

from expressway.core.errors import RowFailure, SystemicError
from expressway.core.stage import Stage, StageConfig


class SampleConfig(StageConfig):
    batch_size: int = 3
    timeout_seconds: float = 2.0


def open_sample(config, runtime):
    def compute(rows):
        for row in rows:
            behave(row.clip.id.split("-")[0])
        return [{"text": f"{row.clip.id} {value(row)}"} for row in rows]

    return compute


def value(row):
    return row.inputs["frames"]["text"] if "frames" in row.inputs else row.source.name


def behave(what):
    if what == "die":
        os._exit(9)
    if what == "hang":
        time.sleep(60)
    if what == "noface":
        raise RowFailure("no_face", "no face in 10 frames")
    if what == "bug":
        raise KeyError("unexpected")
    if what == "disk":
        raise OSError(28, "No space left on device")
    if what == "gpu":
        raise SystemicError("no GPU")


def schema(config):
    return pa.schema([pa.field("text", pa.string())])


PROCESSES = Stage("frames", SampleConfig, schema, open_sample, "processes", packages=("numpy",))
BATCHES = Stage("faces", SampleConfig, schema, open_sample, "batches")


def open_counting(config, runtime):
    compute = open_sample(config, runtime)

    def counted(rows):
        with open(os.environ["SAMPLE_CALLS"], "a") as calls:
            calls.writelines(f"{row.clip.id}\n" for row in rows)
        return compute(rows)

    return counted


def open_company(config, runtime):
    return lambda rows: [{"text": f"{value(row)}, one of {len(rows)}"} for row in rows]


JOURNAL = Stage("captions", SampleConfig, schema, open_counting, "batches", journal=True)
COUNTING = Stage("captions", SampleConfig, schema, open_counting, "batches")
