"""What no module of ours may do: unpickle, unpack archives, start shells, run a stranger's code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MODULES = {"pickle", "dill", "joblib", "shelve", "marshal", "zipfile", "tarfile", "telnetlib"}
CALLS = {"eval", "exec", "os.system", "os.popen", "shutil.unpack_archive", "yaml.unsafe_load"}
# call -> keyword that must stand there, with its value
DEMANDED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def name_of(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def keyword(call: ast.Call, name: str) -> object:
    found = next((each.value for each in call.keywords if each.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else None


def offences(text: str) -> list[str]:
    """Return what a module does that it must not."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names]
            found += [f"imports {n}" for n in names if n.split(".")[0] in MODULES]
        if isinstance(node, ast.Call):
            found += _call_offences(node)
    return found


def _call_offences(call: ast.Call) -> list[str]:
    name = name_of(call.func)
    found = [f"calls {name}"] if name in CALLS else []
    if keyword(call, "shell") is True:
        found.append(f"{name} with a shell")
    if keyword(call, "trust_remote_code") is True:
        found.append(f"{name} trusts remote code")
    if name in DEMANDED:
        wanted, value = DEMANDED[name]
        if keyword(call, wanted) is not value:
            found.append(f"{name} without {wanted}={value}")
    if name == "yaml.load" and "_SafeLoader" not in ast.unparse(call):
        found.append("yaml.load without the safe loader")
    if name.endswith(".from_pretrained"):
        found += _remote_code(call, name)
    return found


def _remote_code(call: ast.Call, name: str) -> list[str]:
    """A loader of hub models says False itself, or by the mapping that it unpacks."""
    unpacked = any(each.arg is None for each in call.keywords)
    said = keyword(call, "trust_remote_code") is False
    return [] if said or unpacked else [f"{name} without trust_remote_code=False"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "src").as_posix())
def test_no_module_runs_what_it_reads(path: Path) -> None:
    assert offences(path.read_text("utf-8")) == []


def test_mappings_that_loaders_unpack_say_that_remote_code_stays_off() -> None:
    """The other half of ``from_pretrained(**where)``: the mapping has one origin."""
    unpacking = re.compile(r"from_pretrained\([^)]*\*\*(\w+)")
    found = {path: unpacking.findall(path.read_text("utf-8")) for path in SOURCES}
    assert sum(map(len, found.values())) > 5
    for path, names in found.items():
        for name in set(names):
            assert re.search(rf"with source\(.*\) as {name}:", path.read_text("utf-8")), path
    assert (
        '"trust_remote_code": False' in (ROOT / "src/expressway/networks/pretrained.py").read_text()
    )


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import zipfile as z",
        "eval(text)",
        "import os\nos.system('ls')",
        "subprocess.run(line, shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "AutoModel.from_pretrained(name)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert offences(code)


def test_rules_quote_every_word_that_a_user_may_choose() -> None:
    counted = 0
    for path in sorted((ROOT / "workflow").rglob("*.smk")):
        for shell in re.findall(r"shell:\n((?: +\".*\"\n)+)", path.read_text("utf-8")):
            for placeholder in re.findall(r"{([^}]*)}", shell):
                counted += 1
                # numbers that Snakemake makes itself
                assert placeholder.endswith(":q") or placeholder in ("threads", "resources.gpu")
    assert counted > 40


def test_templates_mark_nothing_as_safe_but_our_own_style_and_script() -> None:
    for path in (ROOT / "src/expressway/reporting/templates").glob("*.j2"):
        marked = re.findall(r"{{ *([^}]*?) *\| *safe", path.read_text("utf-8"))
        assert set(marked) <= {"style", "script"}, path.name


def test_the_page_on_security_names_tests_and_code_that_are_there() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    rows = [line.split("|") for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [row[1].strip() for row in rows] == [str(number) for number in range(1, 11)]
    for _, _, _, code, tests, _ in rows:
        for name in re.findall(r"`([^`]+)`", tests):
            assert (ROOT / "tests" / name).exists(), name
        for name in re.findall(r"`([^`]+)`", code):
            assert (ROOT / "src/expressway" / name).exists() or (ROOT / name).exists(), name
