"""The methods paragraph: sentences from configuration facts, with the works they rest on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expressway import methods, stages
from expressway.core.foreign_text import count, short, visible
from expressway.models.evaluation.bootstrap import DRAWS
from expressway.reporting.open_dataset import OpenDataset
from expressway.reporting.results import Summary
from expressway.reporting.sections.provenance import Model, Variant, distinct

WORKS = {
    "expressway": (
        "Expressway: from raw video to facial-expression models, one cached step at a time "
        "(software)."
    ),
    "snakemake": (
        "Mölder et al. Sustainable data analysis with Snakemake. F1000Research 10:33, 2021."
    ),
    "open_clip": ("Ilharco et al. OpenCLIP. Zenodo, 2021. doi 10.5281/zenodo.5143773."),
    "mediapipe": (
        "Lugaresi et al. MediaPipe: a framework for building perception pipelines. arXiv "
        "1906.08172, 2019."
    ),
    "insightface": (
        "Guo et al. Sample and computation redistribution for efficient face detection. ICLR "
        "2022. arXiv 2105.04714."
    ),
    **{name: found for name in methods.names() if (found := methods.describe(name).citation)},
}
RECIPE_WORDS = {
    "batch_size": "batch size",
    "optimiser": "optimiser",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "schedule": "schedule",
}
PROTOCOLS = {
    "zero_shot": "zero-shot",
    "supervised": "with supervision",
    "open_set": "on open sets",
    "leave_one_out": "on classes left out of training",
    "compound": "on compound emotions",
    "regression": "by regression",
}


def paragraphs(
    datasets: Sequence[OpenDataset],
    variants: Sequence[Variant],
    summaries: Sequence[Summary],
    models: Sequence[Model],
    versions: Mapping[str, str],
) -> list[str]:
    """Plain text for a paper's methods section; names in brackets refer to `works`."""
    prepared = [
        *(_dataset(dataset) for dataset in datasets),
        _preparation(versions),
        *(_stage(variant) for variant in distinct(variants)),
    ]
    parts = [prepared, _methods(summaries, models), _protocol(summaries)]
    return [visible(" ".join(sentences), 20_000) for sentences in parts if sentences]


def works(variants: Sequence[Variant], summaries: Sequence[Summary]) -> list[str]:
    """The works to cite for what this report used."""
    used = {"expressway", "snakemake"} | {str(s.facts["method"]) for s in summaries}
    used |= {str(v.config.get("detector")) for v in variants}
    used |= {n for v in variants if v.stage in stages.NAMES for n in stages.get(v.stage).cites}
    if summaries:
        used |= {"clip", "open_clip"}
    return [f"[{name}] {work}" for name, work in WORKS.items() if name in used]


def _dataset(dataset: OpenDataset) -> str:
    videos = {clip.video for clip in dataset.clips if clip.video}
    subjects = {clip.subject for clip in dataset.clips if clip.subject}
    people = f" of {_several(len(subjects), 'subject')}" if subjects else ""
    return (
        f"The data set {visible(dataset.name, 60)} holds {_several(len(dataset.clips), 'clip')} "
        f"from {_several(len(videos), 'recording')}{people}; every stage could use "
        f"{count(dataset.complete)} of them."
    )


def _several(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def _preparation(versions: Mapping[str, str]) -> str:
    version = versions.get("expressway")
    return (
        f"Clips were prepared with Expressway{f' {version}' if version else ''} [expressway], "
        "run by Snakemake [snakemake]."
    )


def _stage(variant: Variant) -> str:
    if variant.stage in stages.NAMES and (written := stages.get(variant.stage).sentence):
        return written(variant.config)
    settings = ", ".join(f"{key} {short(value)}" for key, value in variant.config.items())
    return f"Stage {variant.stage} ({variant.variant}): {settings}."


def _methods(summaries: Sequence[Summary], models: Sequence[Model]) -> list[str]:
    cards = {str(model.facts.get("method")): model.facts for model in reversed(models)}
    sentences = []
    for method in dict.fromkeys(str(s.facts["method"]) for s in summaries):
        mine = [s for s in summaries if s.facts["method"] == method]
        name = methods.describe(method).phrase if method in methods.names() else visible(method, 60)
        cite = f" [{method}]" if method in WORKS else ""
        trained = f" ({count(mine[0].trainable)} trained parameters)" if mine[0].trainable else ""
        ways = _listed(_ways(mine))
        sentences.append(f"{name[:1].upper()}{name[1:]}{cite}{trained} was evaluated {ways}.")
        if mine[0].trainable:
            sentences.append(_training(cards.get(method, {}), mine[0]))
    return sentences


def _ways(summaries: Sequence[Summary]) -> list[str]:
    """Each protocol and data set once, with its prompt sets."""
    prompts: dict[tuple[str, str], list[str]] = {}
    for summary in summaries:
        key = str(summary.facts["protocol"]), str(summary.facts["dataset"])
        named = summary.facts.get("prompts")
        prompts.setdefault(key, []).extend([str(named)] if named else [])
    return [
        f"{PROTOCOLS.get(protocol, protocol)} ({_told(dataset, dict.fromkeys(named))})"
        for (protocol, dataset), named in prompts.items()
    ]


def _told(dataset: str, prompts: Iterable[str]) -> str:
    sets = [visible(name, 60) for name in prompts]
    return f"{visible(dataset, 60)}{f'; prompts {_listed(sets)}' if sets else ''}"


def _training(card: Mapping[str, Any], summary: Summary) -> str:
    """How the method was trained, as its first model's recipe says."""
    recipe = card.get("recipe") or {}
    rule = visible(summary.facts.get("selection") or "not stated", 60)
    known = [
        f"{label} {short(recipe[key])}"
        for key, label in RECIPE_WORDS.items()
        if recipe.get(key) is not None
    ]
    epochs = f" for {short(recipe['epochs'])} epochs" if recipe.get("epochs") else ""
    settings = f" with {', '.join(known)}" if known else ""
    return f"It was trained{epochs}{settings}; selection rule: {rule}."


MEASURED = {
    "classes": "unweighted (UAR) and weighted average recall (WAR), pooled over all test clips",
    "open_set": "AUROC, OSCR and closed-set accuracy (equal scores counted half), averaged over "
    "splits into known and unknown classes",
    "leave_one_out": "the recall of the class left out of training, among all classes, averaged "
    "over such classes",
    "regression": "Pearson (PCC) and concordance correlation (CCC), MAE and RMSE, by clip and by "
    "subject",
}


def _protocol(summaries: Sequence[Summary]) -> list[str]:
    if not summaries:
        return []
    splits = max(len(summary.splits) for summary in summaries)
    seeds = len({m.facts.get("seed") for summary in summaries for m in summary.members})
    several = f" and {seeds} seeds" if seeds > 1 else ""
    kinds = dict.fromkeys(summary.kind for summary in summaries)
    return [
        f"We report {'; '.join(MEASURED[kind] for kind in kinds)}; each also as mean ± sample "
        f"standard deviation over {'up to ' if len(kinds) > 1 else ''}{splits} test "
        f"{'splits' if splits > 1 else 'split'}{several}, with 95 % percentile intervals from "
        f"{count(DRAWS)} bootstrap draws over clips and over subjects."
    ]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
