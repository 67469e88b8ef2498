"""The methods paragraph: sentences from configuration facts, with the works they rest on."""

from collections.abc import Mapping, Sequence
from typing import Any

from expressway.evaluation.statistics import DRAWS
from expressway.reporting.coverage import OpenDataset
from expressway.reporting.provenance import Variant, distinct, short
from expressway.reporting.results import Summary
from expressway.reporting.text import count, visible

WORKS = {
    "expressway": "Expressway: from raw video to facial-expression models, one cached step at a "
    "time (software).",
    "snakemake": "Mölder et al. Sustainable data analysis with Snakemake. F1000Research 10:33, "
    "2021.",
    "clip": "Radford et al. Learning transferable visual models from natural language "
    "supervision. ICML 2021. arXiv 2103.00020.",
    "open_clip": "Ilharco et al. OpenCLIP. Zenodo, 2021. doi 10.5281/zenodo.5143773.",
    "mediapipe": "Lugaresi et al. MediaPipe: a framework for building perception pipelines. "
    "arXiv 1906.08172, 2019.",
    "insightface": "Guo et al. Sample and computation redistribution for efficient face "
    "detection. ICLR 2022. arXiv 2105.04714.",
    "emoclip": "Foteinopoulou and Patras. EmoCLIP: a vision-language method for zero-shot video "
    "facial expression recognition. FG 2024. arXiv 2310.16640.",
    "expclip": "Zhao, Cao, Gong and Patras. Enhancing zero-shot facial expression recognition by "
    "LLM knowledge transfer. WACV 2025. arXiv 2405.19100.",
    "finecliper": "Chen, Huang, Dong, Zheng and Shao. FineCLIPER: multi-modal fine-grained CLIP "
    "for dynamic facial expression recognition with AdaptERs. ACM MM 2024. arXiv 2407.02157.",
    "hesp": "Liu, Huang, Liu, Zhan, Chen and Chen. Open-set video-based facial expression "
    "recognition with human expression-sensitive prompting. ACM MM 2024. arXiv 2404.17100.",
}
METHODS = {
    "clip": "CLIP without training",
    "linear": "a linear probe on frozen CLIP features",
    "emoclip": "EmoCLIP",
    "expclip": "Exp-CLIP",
    "finecliper": "FineCLIPER",
    "hesp": "HESP",
    "arpl": "ARPL on frozen CLIP features",
    "mllm": "a label-constrained multimodal language model",
}
DETECTORS = {"mediapipe": "MediaPipe", "insightface": "InsightFace (SCRFD)"}


def paragraph(
    datasets: Sequence[OpenDataset],
    variants: Sequence[Variant],
    summaries: Sequence[Summary],
    versions: Mapping[str, str],
) -> str:
    """Plain text for a paper's methods section; names in brackets refer to `works`."""
    sentences = [
        *(_dataset(dataset) for dataset in datasets),
        _preparation(versions),
        *(_stage(variant) for variant in distinct(variants)),
        *_methods(summaries),
        *_protocol(summaries),
    ]
    return visible(" ".join(sentence for sentence in sentences if sentence), 20_000)


def works(variants: Sequence[Variant], summaries: Sequence[Summary]) -> list[str]:
    """The works to cite for what this report used."""
    used = {"expressway", "snakemake"} | {str(s.facts["method"]) for s in summaries}
    used |= {str(v.config.get("detector")) for v in variants}
    if any(v.stage == "visual_features" for v in variants) or summaries:
        used |= {"clip", "open_clip"}
    return [work for name, work in WORKS.items() if name in used]


def _dataset(dataset: OpenDataset) -> str:
    videos = {clip.video for clip in dataset.clips if clip.video}
    subjects = {clip.subject for clip in dataset.clips if clip.subject}
    people = f" of {count(len(subjects))} subjects" if subjects else ""
    return (
        f"The data set {visible(dataset.name, 60)} holds {count(len(dataset.clips))} clips from "
        f"{count(len(videos))} recordings{people}; every stage could use "
        f"{count(dataset.complete)} of them."
    )


def _preparation(versions: Mapping[str, str]) -> str:
    version = versions.get("expressway")
    return (
        f"Clips were prepared with Expressway{f' {version}' if version else ''} [expressway], "
        "run by Snakemake [snakemake]."
    )


def _stage(variant: Variant) -> str:
    special = {"frames": _frames, "faces": _faces, "landmarks": _landmarks}
    features = {"visual_features": "image", "text_embeddings": "text"}
    if variant.stage in special:
        return special[variant.stage](variant.config)
    if variant.stage in features:
        return _features(features[variant.stage], variant)
    settings = ", ".join(f"{key} {short(value)}" for key, value in variant.config.items())
    return f"Stage {variant.stage} ({variant.variant}): {settings}."


def _frames(config: Mapping[str, Any]) -> str:
    rate = config.get("rate") or config.get("fps")
    pace = f"at {rate:g} frames per second" if rate else "at their native frame rate"
    most = config.get("max_frames") or config.get("maximum")
    limit = f", at most {most} per clip" if most else ""
    return f"Frames were decoded with ffmpeg {pace}{limit}."


def _faces(config: Mapping[str, Any]) -> str:
    detector = str(config.get("detector", "the configured detector"))
    policy = config.get("policy")
    size = config.get("size") or config.get("crop_size") or 224
    kept = f"; of several tracks the {policy} one was kept" if policy else ""
    name = DETECTORS.get(detector, visible(detector, 60))
    return (
        f"Faces were detected with {name} [{detector}] and tracked over frames{kept}; "
        f"each face was aligned to {size} by {size} pixels."
    )


def _landmarks(config: Mapping[str, Any]) -> str:
    source = config.get("detector")
    name = f" by {DETECTORS.get(str(source), source)}" if source else ""
    return f"Sixty-eight landmarks per frame were located{name}."


def _features(kind: str, variant: Variant) -> str:
    backbone = variant.config.get("backbone", "the configured backbone")
    named = backbone.get("model", backbone) if isinstance(backbone, Mapping) else backbone
    model = short(named)
    return f"Frozen {kind} features ({variant.variant}) came from {model} [clip, open_clip]."


def _methods(summaries: Sequence[Summary]) -> list[str]:
    sentences = []
    for method in dict.fromkeys(str(s.facts["method"]) for s in summaries):
        mine = [s for s in summaries if s.facts["method"] == method]
        name = METHODS.get(method, visible(method, 60))
        cite = f" [{method}]" if method in WORKS else ""
        ways = _listed([f"{s.facts['protocol']} on {s.facts['dataset']}" for s in mine])
        trained = mine[0].trainable
        cost = f" ({count(trained)} trained parameters)" if trained else ""
        rule = mine[0].facts.get("selection")
        chosen = f", selection rule: {visible(rule, 60)}" if rule and trained else ""
        sentences.append(f"{name[:1].upper()}{name[1:]}{cite}{cost} was evaluated {ways}{chosen}.")
    return sentences


def _protocol(summaries: Sequence[Summary]) -> list[str]:
    if not summaries:
        return []
    splits = max(len(summary.splits) for summary in summaries)
    seeds = len({m.facts.get("seed") for summary in summaries for m in summary.members})
    several = f" and {seeds} seeds" if seeds > 1 else ""
    return [
        "We report unweighted (UAR) and weighted average recall (WAR) as mean ± sample standard "
        f"deviation over {splits} test {'splits' if splits > 1 else 'split'}{several}, and pooled "
        f"over all test clips with 95 % percentile intervals from {count(DRAWS)} bootstrap draws "
        "over clips and over subjects."
    ]


def _listed(words: Sequence[str]) -> str:
    words = [visible(word.replace("_", "-"), 60) for word in dict.fromkeys(words)]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
