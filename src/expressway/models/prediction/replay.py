"""Prepare single files as a model's training data was prepared.

``model.json`` names the configuration of every stage above the model. The stages are opened once
and run in this process; their shard tables are those of the workflow.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from expressway import stages
from expressway.core.config import validate
from expressway.core.errors import USABLE, ConfigError
from expressway.core.manifest import Clip
from expressway.core.model_card import ModelCard
from expressway.core.rows import Job
from expressway.core.runner import run as run_stage
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Source, Stage, StageConfig
from expressway.core.store import Store

SHARD = "00000"
# Servers (host or host:port, commas between) that a model.json may have shown faces to.
TRUSTED_SERVERS = "EXPRESSWAY_TRUSTED_SERVERS"
# Fewer clips than these take no time worth telling of.
MINIMUM_CLIPS_FOR_PROGRESS = 10


class Preparation:
    """The stages above a model, each opened once.

    No frames are written: a long video's would fill the disk. They are decoded where faces are
    looked for, as with ``keep: false``.
    """

    def __init__(self, configs: Mapping[str, StageConfig], runtime: Runtime, quiet: bool) -> None:
        """Args: ``configs``: stage -> configuration, upstream first."""
        self.configs, self.runtime, self.quiet = configs, runtime, quiet
        self.frames: dict[str, Outcome] = {}
        self.stages = {name: self._opened(stages.get(name)) for name in configs}

    @property
    def folder_rate(self) -> float:
        """Frames per second that folders of frames are taken to have."""
        return float(getattr(self.configs.get("frames"), "folder_rate", 25.0))

    def _opened(self, stage: Stage) -> Stage:
        """Return a stage that runs in this process and keeps what it loaded."""
        kept: list[RowFunction] = []

        def open_once(config: Any, runtime: Runtime) -> RowFunction:
            kept[:] = kept or [stage.open(config, runtime)]
            return self._noted(kept[0]) if stage.name == "frames" else kept[0]

        return replace(stage, open=open_once, parallel="batches")

    def _noted(self, function: RowFunction) -> RowFunction:
        """Return the row function of frames; what is wrong with them is kept."""

        def noted(rows: list[Row]) -> list[Outcome]:
            outcomes = function(rows)
            for row, outcome in zip(rows, outcomes, strict=True):
                self.frames[row.clip.id] = {
                    name: outcome.get(name) for name in ("status", "error_message")
                }
            return outcomes

        return noted

    def run(self, clips: Sequence[Clip], root: Path, folder: Path) -> dict[str, Path]:
        """Write one shard table per stage into ``folder``; return stage -> table."""
        self.frames.clear()
        tables: dict[str, Path] = {}
        for name in [name for name in self.configs if name != "frames"]:
            config = self.configs[name]
            tables[name] = folder / name / f"{SHARD}.parquet"
            run_stage(
                Job(
                    stage=self.stages[name],
                    config=config,
                    clips=clips,
                    root=root,
                    inputs={
                        above: Source(stage=self.stages[above], config=self.configs[above])
                        if above == "frames"
                        else Source(path=tables[above])
                        for above in config.upstream()
                    },
                    output=tables[name],
                    footer={},
                    runtime=self.runtime,
                    follow_symlinks=True,
                    quiet=self.quiet or len(clips) < MINIMUM_CLIPS_FOR_PROGRESS,
                )
            )
        return tables

    def state(
        self, clip: Clip, opened: Mapping[str, Store], lost: str | None
    ) -> tuple[str, str | None]:
        """Return status and message: of the stage where a clip was lost, or first damaged."""
        rows = [store.state(clip.id) for store in opened.values()]
        states = [self.frames.get(clip.id, {}), *rows]
        troubled = [state for state in states if state.get("status") not in (None, "ok")]
        if lost is None:
            return ("degraded", troubled[0]["error_message"]) if troubled else ("ok", None)
        failed = [state for state in troubled if state["status"] not in USABLE]
        if not failed:
            return "invalid", lost
        return failed[0]["status"], failed[0]["error_message"]


def recorded(card: ModelCard, wanted: Sequence[str], where: str) -> dict[str, StageConfig]:
    """Return stage -> configuration of ``wanted`` and of all stages above, upstream first.

    Imported weights come without a record of stages: theirs have their defaults.

    Raises:
        ConfigError: the record does not fit this program, one stage has two variants in it, or it
            names a server that the user does not.
    """
    found: dict[str, StageConfig] = {}
    waiting: list[tuple[str, str | None]] = [(stage, None) for stage in wanted]
    while waiting:
        name, variant = waiting.pop()
        facts = {"backbone": card.backbone["model"]} if name == "visual_features" else {}
        facts |= card.stores.get(name, {})
        named = facts.pop("variant", variant)
        if variant not in (None, named):
            raise ConfigError(
                f"{where}: the model reads {name}/{named} and {name}/{variant}; model.json holds "
                "the configuration of one of them only, so a file cannot be prepared by it"
            )
        found[name] = validate(stages.get(name).config, facts, f"{where}: stores.{name}")
        _check_server(found[name], where)
        waiting += found[name].upstream().items()
    return {name: found[name] for name in stages.NAMES if name in found}


def _check_server(config: StageConfig, where: str) -> None:
    """Refuse to show faces and a key to whatever address a model's file names.

    Whoever made the file chose the address and the variable that holds the key.
    """
    options = getattr(config, "openai", None)
    if options is None:
        return
    server = urlsplit(options.base_url).netloc
    if server not in os.environ.get(TRUSTED_SERVERS, "").split(","):
        raise ConfigError(
            f"{where}: this model has faces described by {options.base_url}, with the key in "
            f"{options.key_variable}; if you trust that server, set {TRUSTED_SERVERS}={server}"
        )
