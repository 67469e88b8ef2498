"""Fingerprints of code: what computes counts, wherever it stands; prose does not."""

import textwrap

import pytest

from expressway.core import code

FILES = {
    "__init__.py": "",
    "a.py": '''
        """Doc."""
        from expressway.b import scaled as scale
        from expressway import c
        from expressway.core import errors


        def f(x):
            """Doc."""
            from expressway import b

            if x < 0:
                raise errors.Bad("negative", f"{x} is negative")
            print("computing")
            return scale(b.shifted(x)) + c.LIMIT  # why


        def unused(x):
            return x
        ''',
    "b.py": """
        def scaled(x):
            return 2 * x


        def shifted(x):
            return x + 1


        def other(x):
            return x + 3
        """,
    "c.py": "LIMIT = 60\nREST = 1\n",
    "core/errors.py": "class Bad(Exception):\n    pass\n",
    "core/__init__.py": "",
    "machine/__init__.py": "",
    "machine/pipes.py": "SECONDS = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package, read in place of ours."""
    folder = tmp_path / "expressway"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.setattr(code, "__file__", str(folder / "core/code.py"))
    forget()
    yield folder
    monkeypatch.undo()
    forget()


def forget():
    for cached in (code.code_fingerprint, code._source, code._module, code._definition):
        cached.cache_clear()


def fingerprint(entry="expressway.a:f"):
    forget()
    return code.code_fingerprint(entry)


def edit(package, name, old, new):
    text = (package / name).read_text()
    assert old in text
    (package / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.py", '"""Doc."""', '"""Other."""'),
        ("a.py", "# why", "# because"),
        ("a.py", "if x < 0:", "if  x<0 :"),
        ("a.py", "is negative", "is below zero"),
        ("a.py", '"computing"', '"at work"'),
        ("a.py", "from expressway import c\n", "import expressway.c as c\n"),
        ("a.py", "def unused(x):\n    return x", "def unused(x):\n    return -x"),
        ("b.py", "x + 3", "x + 4"),
        ("c.py", "REST = 1", "REST = 2"),
        ("core/errors.py", "pass", "code = 1"),
        ("machine/pipes.py", "1", "2"),
    ],
)
def test_what_does_not_decide_does_not_count(package, name, old, new):
    before = fingerprint()
    edit(package, name, old, new)
    assert fingerprint() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.py", "x < 0", "x < 1"),
        ("a.py", '"negative"', '"unreadable"'),
        ("b.py", "2 * x", "3 * x"),
        ("b.py", "x + 1", "x + 2"),
        ("c.py", "60", "61"),
    ],
)
def test_what_decides_counts(package, name, old, new):
    before = fingerprint()
    edit(package, name, old, new)
    assert fingerprint() != before


def test_neither_a_move_nor_an_alias_counts(package):
    before = fingerprint()
    (package / "room").mkdir()
    (package / "room/__init__.py").write_text("")
    (package / "b.py").rename(package / "room/numbers.py")
    edit(
        package,
        "a.py",
        "from expressway.b import scaled as scale",
        "from expressway.room import numbers",
    )
    edit(package, "a.py", "scale(b.shifted(x))", "numbers.scaled(numbers.shifted(x))")
    edit(package, "a.py", "    from expressway import b\n", "")
    assert fingerprint() == before


def test_parts_name_the_module_that_differs(package):
    before = code.code_parts(["expressway.a:f"])
    edit(package, "c.py", "60", "61")
    forget()
    after = code.code_parts(["expressway.a:f"])
    assert {name for name in before if before[name] != after[name]} == {"expressway.c"}


def test_a_module_asked_for_whole_counts_whole(package):
    before = fingerprint("expressway.b")
    edit(package, "b.py", "x + 3", "x + 4")
    assert fingerprint("expressway.b") != before


def test_methods_read_the_loop_that_trains_them_and_not_the_machine():
    forget()
    modules = code.code_modules("expressway.models.training.run:run")
    assert {"expressway.models.training.loop", "expressway.models.training.steps"} <= modules
    assert not {"expressway.models.training.machine.progress", "expressway.core.devices"} & modules
