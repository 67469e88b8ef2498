"""The methods paragraph: sentences from configuration facts, with the works they rest on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expressway.models.evaluation.metrics.recalls import DRAWS
from expressway.reporting.drawing.text import count, visible
from expressway.reporting.sections.coverage import OpenDataset
from expressway.reporting.sections.provenance import Model, Variant, distinct, short
from expressway.reporting.sections.results import Summary

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
    "arpl": "Chen, Peng, Wang and Tian. Adversarial reciprocal points learning for open set "
    "recognition. TPAMI 2022. arXiv 2103.00953.",
    "hesp": "Liu, Huang, Liu, Zhan, Chen and Chen. Open-set video-based facial expression "
    "recognition with human expression-sensitive prompting. ACM MM 2024. arXiv 2404.17100.",
}
METHODS = {
    "clip": "CLIP without training",
    "linear": "a linear probe on frozen CLIP features",
    "emoclip": "EmoCLIP",
    "downstream": "EmoCLIP's video encoder under a head of its own",
    "expclip": "Exp-CLIP",
    "finecliper": "FineCLIPER",
    "hesp": "HESP",
    "arpl": "ARPL on frozen CLIP features",
    "mllm": "a label-constrained multimodal language model",
}
RECIPE_WORDS = {
    "batch_size": "batch size",
    "optimiser": "optimiser",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "schedule": "schedule",
}
READERS = {"attention": "hesp", "teacher_embeddings": "expclip"}
PROTOCOLS = {
    "zero_shot": "zero-shot",
    "supervised": "with supervision",
    "open_set": "on open sets",
    "leave_one_out": "on classes left out of training",
    "compound": "on compound emotions",
    "regression": "by regression",
}
DETECTORS = {"mediapipe": "MediaPipe", "insightface": "InsightFace (SCRFD)"}


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
    used |= {READERS[v.stage] for v in variants if v.stage in READERS}
    if any(v.stage == "visual_features" for v in variants) or summaries:
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
    writers = {
        "frames": _frames,
        "faces": _faces,
        "landmarks": _landmarks,
        "visual_features": _visual_features,
        "text_embeddings": _text_embeddings,
        "parsing": _parsing,
        "captions": _captions,
        "attention": _attention,
        "teacher_embeddings": _teacher,
    }
    if variant.stage in writers:
        return writers[variant.stage](variant.config)
    settings = ", ".join(f"{key} {short(value)}" for key, value in variant.config.items())
    return f"Stage {variant.stage} ({variant.variant}): {settings}."


def _frames(config: Mapping[str, Any]) -> str:
    rate, most = config.get("rate"), config.get("maximum")
    pace = f"at {rate:g} frames per second" if rate else "at their native frame rate"
    limit = f", at most {most} per clip" if most else ""
    return f"Frames were decoded with ffmpeg {pace}{limit}."


def _faces(config: Mapping[str, Any]) -> str:
    size = config.get("size", 224)
    if config.get("align") == "as_is":
        return f"The images are face crops already and were resized to {size} by {size} pixels."
    policy = {
        "longest": "the one seen longest was kept",
        "largest": "the largest was kept",
        "central": "the most central was kept",
    }.get(str(config.get("policy")), "one was kept")
    way = "a square around its box" if config.get("align") == "box" else "a similarity transform"
    return (
        f"Faces were detected with {_detector(config)} and followed over frames; of several faces "
        f"{policy}, and it was brought to {size} by {size} pixels by {way}."
    )


def _detector(config: Mapping[str, Any]) -> str:
    name = str(config.get("detector", "the configured detector"))
    cite = f" [{name}]" if name in WORKS else ""
    return f"{DETECTORS.get(name, visible(name, 60))}{cite}"


def _landmarks(config: Mapping[str, Any]) -> str:
    return f"Sixty-eight landmarks per frame were located with {_detector(config)}."


def _visual_features(config: Mapping[str, Any]) -> str:
    views = config.get("views", 1)
    several = f", {views} views of each" if views and views > 1 else ""
    return (
        f"Each face went through the frozen image tower of {short(config.get('backbone'))} "
        f"[clip, open_clip]{several}."
    )


SOURCES = {
    "manifest.caption": "The data set's captions",
    "captions.raw": "Generated captions",
    "captions.refined": "Refined captions",
}


def _text_embeddings(config: Mapping[str, Any]) -> str:
    source = SOURCES.get(str(config.get("source")), "Texts")
    return f"{source} were embedded by {_text_encoder(config)}."


def _text_encoder(config: Mapping[str, Any]) -> str:
    if config.get("encoder") == "transformers":
        return f"the text encoder {short(config.get('model'))}"
    return f"the text tower of {short(config.get('backbone'))}"


def _parsing(config: Mapping[str, Any]) -> str:
    way = {
        "regions": "drawing regions around the landmarks",
        "transformers": f"the segmentation model {short(config.get('model'))}",
        "import": "a parser of its own, whose output was imported",
    }.get(str(config.get("parser")), visible(config.get("parser"), 60))
    return f"Faces were parsed into eleven classes by {way}."


def _captions(config: Mapping[str, Any]) -> str:
    captioner = str(config.get("captioner"))
    refined = "they were then freed of names of emotions"
    if captioner == "action_units":
        return f"Captions were made from movements of the landmarks by rules; {refined}."
    model = (config.get(captioner) or {}).get("model")
    return (
        f"Captions were written by {short(model)} from up to {config.get('frames')} frames of a "
        f"clip (prompt {short(config.get('prompt'))}); {refined}."
    )


def _attention(config: Mapping[str, Any]) -> str:
    if config.get("rule") == "centre":
        return "The window of visual prompts was the middle of the face [hesp]."
    return (
        f"For each clip and class we found the window whose patches, averaged over "
        f"{config.get('frames')} frames, are most similar to the class's text under "
        f"{short(config.get('backbone'))} [hesp]."
    )


def _teacher(config: Mapping[str, Any]) -> str:
    if config.get("teacher") == "blip2":
        return f"The teacher [expclip] was {short(config.get('model'))}, shown the face crops."
    source = SOURCES.get(str(config.get("source")), "texts").lower()
    return f"As a teacher [expclip], {source} went through {_text_encoder(config)}."


def _methods(summaries: Sequence[Summary], models: Sequence[Model]) -> list[str]:
    cards = {str(model.facts.get("method")): model.facts for model in reversed(models)}
    sentences = []
    for method in dict.fromkeys(str(s.facts["method"]) for s in summaries):
        mine = [s for s in summaries if s.facts["method"] == method]
        name = METHODS.get(method, visible(method, 60))
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
