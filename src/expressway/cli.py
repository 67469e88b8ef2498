"""The command line. Commands parse, call one function, and print; heavy imports stay inside."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from expressway.commands.import_data import app as import_app
from expressway.core.errors import ExpresswayError

app = typer.Typer(
    name="expressway",
    help="From raw video to facial-expression models, one cached step at a time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
demo_app = typer.Typer(help="The demo world: faces that we render.", no_args_is_help=True)
captions_app = typer.Typer(help="Captions: look before you train on them.", no_args_is_help=True)
app.add_typer(import_app, name="import")
app.add_typer(captions_app, name="captions")
app.add_typer(demo_app, name="demo")

ConfigOption = Annotated[
    Path, typer.Option("--config", help="workflow configuration", envvar="EXPRESSWAY_CONFIG")
]
CONFIG = Path("config/config.yaml")


def main() -> None:
    """Run the command line; errors of ours are printed without a traceback, exit status 1."""
    try:
        app()
    except ExpresswayError as error:
        sys.exit(f"error: {error}")


def _plan(config: Path) -> Any:
    from expressway.planning import settings as schema
    from expressway.planning.plan import Plan

    return Plan(schema.load(config))


@app.command()
def plan(
    table: Annotated[str | None, typer.Argument(help="a table: only what it needs")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Print what a run would do: jobs, disk and hours, from measured rates. Nothing runs."""
    from expressway.planning.costs import describe

    print(describe(_plan(config), table))


@app.command()
def validate(
    look_alikes: Annotated[
        bool, typer.Option("--look-alikes", help="compare faces across parts of each split, too")
    ] = False,
    config: ConfigOption = CONFIG,
) -> None:
    """Check the configuration, manifests, splits and files; list all problems at once."""
    from expressway.commands.validate import overlaps, problems

    found = problems(config)
    for line in found:
        print(line)
    if found:
        raise ExpresswayError(f"{len(found)} problem(s); mend them and run validate again")
    for line in overlaps(config, look_alikes):
        print(f"warning: {line}")
    print("no problems found")


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="frames, faces, landmarks, ...")],
    dataset: Annotated[str, typer.Option(help="data set")],
    variant: Annotated[str, typer.Option(help="variant of the stage")],
    shard: Annotated[str, typer.Option(help="shard, such as 00000")] = "00000",
    cores: Annotated[int, typer.Option(help="worker processes")] = 1,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    expect: Annotated[
        str, typer.Option(help="fingerprint that the caller planned for; refuse another")
    ] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Run one stage on one shard, as the workflow's jobs do."""
    from expressway import jobs

    counts = jobs.run_stage(_plan(config), dataset, name, variant, shard, cores, gpus, expect)
    print(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))


@app.command()
def coverage(
    name: Annotated[str, typer.Argument(help="stage")],
    dataset: Annotated[str, typer.Option(help="data set")],
    variant: Annotated[str, typer.Option(help="variant of the stage")],
    config: ConfigOption = CONFIG,
) -> None:
    """Count what a store lost and why; fail when it is more than the data set allows."""
    from expressway import jobs

    print(jobs.cover(_plan(config), dataset, name, variant))


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="a model of the configuration")],
    split: Annotated[str, typer.Option(help="split of its scheme")] = "all",
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
    gpus: Annotated[int, typer.Option(help="cards to train on together; 0: the CPU")] = 0,
    cores: Annotated[int, typer.Option(help="threads")] = 1,
    processes: Annotated[int, typer.Option(help="processes on the CPU")] = 1,
    nodes: Annotated[int, typer.Option(help="machines; start with srun or torchrun")] = 1,
    precision: Annotated[
        Literal["32-true", "bf16-mixed"], typer.Option(help="of the arithmetic; weights are fp32")
    ] = "32-true",
    workers: Annotated[
        int | None, typer.Option(help="processes that read clips; default: from cores")
    ] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Train one model on one split with one seed; an interrupted training goes on."""
    from expressway import jobs

    machine = (gpus, cores, processes, nodes, precision, workers)
    print(jobs.train(_plan(config), model, split, seed, *machine))


@app.command()
def predict_part(
    model: Annotated[str, typer.Argument(help="a model of the configuration")],
    evaluation: Annotated[str, typer.Argument(help="an evaluation of the configuration")],
    split: Annotated[str, typer.Option(help="split that the model was trained on")] = "all",
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    cores: Annotated[int, typer.Option(help="threads")] = 1,
    config: ConfigOption = CONFIG,
) -> None:
    """Write a trained model's predictions for the test clips of an evaluation."""
    from expressway import jobs

    print(jobs.predict(_plan(config), model, evaluation, split, seed, gpus, cores))


@app.command("predict")
def predict_file(
    file: Annotated[Path, typer.Argument(help="a video, an image, or a folder of frames")],
    model: Annotated[Path, typer.Option(help="run: results/models/MODEL/SPLIT-seedSEED")],
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write: film strip, classes over time")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="classes to choose from: a,b,c; default: the model's own")
    ] = "",
    prompts: Annotated[
        str | None, typer.Option(help="class prompt set; default: the model's own texts")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="seconds of a window; default: the model's own length")
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="seconds from window to window; default: --window")
    ] = None,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    cores: Annotated[int, typer.Option(help="threads")] = 1,
    config: ConfigOption = CONFIG,
) -> None:
    """Say what a trained model sees in one file; exit status 1 where there is nothing to see."""
    import json

    from expressway.models.prediction import predictor

    names = tuple(name.strip() for name in labels.split(",") if name.strip())
    texts = predictor.prompt_set(config, prompts, model, names) if prompts else None
    found = predictor.predict(model, file, names, texts, window, step, gpus, cores)
    print(json.dumps(found.facts(), ensure_ascii=False, indent=1) if as_json else found.text())
    if picture is not None:
        found.picture(picture)
    if not found.scores:
        raise typer.Exit(1)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="a model of the configuration")],
    evaluation: Annotated[str, typer.Argument(help="an evaluation of the configuration")],
    split: Annotated[str, typer.Option(help="split that the model was trained on")] = "all",
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
    config: ConfigOption = CONFIG,
) -> None:
    """Turn predictions into metrics with intervals (no torch needed)."""
    from expressway import jobs

    print(jobs.evaluate(_plan(config), model, evaluation, split, seed))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="model/evaluation")],
    b: Annotated[str, typer.Argument(help="model/evaluation")],
    config: ConfigOption = CONFIG,
) -> None:
    """Compare two results on the same clips: paired bootstrap of the difference."""
    from expressway import jobs

    print(jobs.compare(_plan(config), a, b))


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="name of the files in results/tables")] = "results",
    config: ConfigOption = CONFIG,
) -> None:
    """Write the results of all evaluations as csv, md, html and tex."""
    from expressway import pages

    for path in pages.table(_plan(config), name):
        print(path)


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="HTML file to write")] = Path(
        "results/report/index.html"
    ),
    dataset: Annotated[str | None, typer.Option(help="report on one data set only")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Write the report."""
    from expressway import pages

    print(pages.report(_plan(config), out, dataset))


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="a shard table")],
    rows: Annotated[int, typer.Option(help="rows to list")] = 10,
) -> None:
    """Print a shard table: rows by status, configuration, fingerprint, columns, first rows."""
    from expressway.commands.show import describe

    print(describe(file, rows))


@app.command()
def inspect(
    clip: Annotated[str, typer.Argument(help="id of a clip")],
    dataset: Annotated[str | None, typer.Option(help="its data set, where several have it")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file to write")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Write the page of one clip: what every stage made of it and every model said."""
    from expressway import pages

    print(pages.inspect(_plan(config), dataset, clip, out))


@app.command()
def adopt(
    accept: Annotated[
        list[str],
        typer.Option(help="stage, model or evaluation whose change you vouch for, in a ledger"),
    ] = [],  # noqa: B006 - typer reads the default, nothing changes it
    config: ConfigOption = CONFIG,
) -> None:
    """Count what is current after dvc pull or a clone; accept changes that change no result."""
    from expressway.commands.adopt import adopt

    print(adopt(_plan(config), accept))


@app.command()
def why(
    target: Annotated[
        str | None, typer.Argument(help="path of an output, or name of a stage, model, evaluation")
    ] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Say what a run would make and why: what differs from what each file was made of."""
    from expressway.commands.why import why

    print(why(_plan(config), target))


@app.command()
def doctor() -> None:
    """Check machine and folder: ffmpeg, torch, disk, DVC's cache, locks; name the remedies."""
    from expressway.commands.doctor import examine

    found = list(examine())
    for finding in found:
        print(finding)
    if any(finding.remedy for finding in found):
        raise ExpresswayError("run what stands behind each problem, then run doctor again")


@app.command()
def fetch(config: ConfigOption = CONFIG) -> None:
    """Load once all weights that jobs will load, where there is a network (a login node)."""
    from expressway.commands.fetch import fetch

    for line in fetch(_plan(config)):
        print(line)


@app.command()
def retry(
    stage: Annotated[str, typer.Option(help="frames, faces, captions, ...")],
    status: Annotated[str, typer.Option(help="statuses with commas: timeout,unreadable")],
    dataset: Annotated[str | None, typer.Option(help="one data set only")] = None,
    cores: Annotated[int, typer.Option(help="worker processes")] = 1,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    config: ConfigOption = CONFIG,
) -> None:
    """Compute failed rows of finished shards again; the others stay as they are."""
    from expressway.commands.retry import retry

    for line in retry(_plan(config), stage, status.split(","), dataset, cores, gpus):
        print(line)
    print("next: snakemake makes what stands on the changed shards")


@app.command()
def schema() -> None:
    """Write config/config.schema.json and the tables of keys in config/README.md anew."""
    from expressway.commands import schema as manual
    from expressway.planning.settings import json_schema

    Path("config/config.schema.json").write_text(json_schema(), "utf-8")
    page = Path("config/README.md")
    page.write_text(manual.rewrite(page), "utf-8")


@app.command()
def import_weights(
    method: Annotated[str, typer.Argument(help="emoclip, downstream, expclip, hesp")],
    file: Annotated[Path, typer.Argument(help="a release's checkpoint (.pth or .safetensors)")],
    out: Annotated[Path, typer.Option(help="model folder to write")],
    backbone: Annotated[
        str | None,
        typer.Option(help="frozen CLIP, such as ViT-B-32/openai; default: the file's own"),
    ] = None,
) -> None:
    """Read a published checkpoint into a model folder that evaluations load."""
    from expressway import methods

    print(methods.import_weights(method, file, out, backbone))


@captions_app.command("audit")
def captions_audit(
    dataset: Annotated[str, typer.Option(help="data set")],
    variant: Annotated[str, typer.Option(help="variant of captions")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write")] = None,
    clips: Annotated[int, typer.Option(help="clips to show")] = 24,
    seed: Annotated[int, typer.Option(help="which clips are drawn")] = 0,
    task: Annotated[str, typer.Option(help="label that captions should not give away")] = "emotion",
    scheme: Annotated[str, typer.Option(help="split scheme of the leak audit")] = "folds",
    config: ConfigOption = CONFIG,
) -> None:
    """Write a page of random clips with film strip, raw and refined caption, and the leak audit."""
    from expressway import pages

    print(pages.audit_captions(_plan(config), dataset, variant, out, clips, seed, task, scheme))


@demo_app.command("create")
def demo_create(
    out: Annotated[Path, typer.Option(help="folder to write")],
    clips: Annotated[int, typer.Option(help="number of clips")] = 440,
    seed: Annotated[int, typer.Option(help="seed of the world")] = 1,
    stills: Annotated[int, typer.Option(help="number of unlabelled stills")] = 0,
) -> None:
    """Make another world: manifest, splits, rendered clips and their ground truth."""
    from expressway.data import demo

    demo.create(out, clips, seed, stills)


@demo_app.command("render")
def demo_render(
    dataset: Annotated[str, typer.Option(help="a data set with a demo_seed")],
    shard: Annotated[str, typer.Option(help="shard, such as 00000")],
    cores: Annotated[int, typer.Option(help="worker processes")] = 1,
    config: ConfigOption = CONFIG,
) -> None:
    """Render the clips of one shard, as the workflow's jobs do."""
    from expressway import jobs

    jobs.render(_plan(config), dataset, shard, cores)


@demo_app.command("train-backbone")
def demo_train_backbone(
    out: Annotated[Path, typer.Option(help="folder to write")] = Path("data/demo/backbone"),
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
) -> None:
    """Train the demo's tiny CLIP on identities that occur in no demo clip."""
    from expressway.data import demo

    demo.train_backbone(out, seed)
