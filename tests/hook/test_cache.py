"""The bytecode cache: every doubt is a miss, every trouble is an uncached run."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from minpy.options import Options
from minpy.transform import cache

OPTIONS = Options()
SOURCE = b"answer = 42\n"


def entry(source: bytes = SOURCE, path: str = "m.py", **notes: object) -> cache.Entry:
    return cache.Entry(compile(source, path, "exec"), **notes)  # type: ignore[arg-type]


def store(source: bytes = SOURCE, path: str = "m.py", options: Options = OPTIONS) -> Path:
    assert cache.store(source, path, options, entry(source, path, edits=3)) == ""
    return Path(cache.entry_path(path, options))


def value(found: cache.Entry | None) -> object:
    if found is None:
        return None
    names: dict[str, object] = {}
    exec(found.code, names)
    return names["answer"]


def test_what_was_stored_is_found_with_its_notes() -> None:
    kept = cache.Entry(compile(SOURCE, "m.py", "exec"), 0, "why", True, 7)
    cache.store(SOURCE, "m.py", OPTIONS, kept)
    found = cache.load(SOURCE, "m.py", OPTIONS)
    assert found is not None and value(found) == 42
    assert (found.edits, found.reason, found.failed, found.line) == (0, "why", True, 7)


def test_an_entry_is_a_checked_hash_pyc() -> None:
    from importlib.util import MAGIC_NUMBER, source_hash

    data = store().read_bytes()
    assert data[:4] == MAGIC_NUMBER
    assert int.from_bytes(data[4:8], "little") == 0b11
    assert data[8:16] == source_hash(SOURCE)
    assert isinstance(marshal.loads(data[16:]), CodeType)


def test_only_the_same_content_hits_however_quickly_it_changed() -> None:
    file = store()
    stamp = os.stat(file).st_mtime_ns
    other = b"answer = 43\n"
    assert len(other) == len(SOURCE)
    assert cache.load(other, "m.py", OPTIONS) is None
    store(other)
    os.utime(file, ns=(stamp, stamp))  # an edit within the clock's grain
    assert value(cache.load(other, "m.py", OPTIONS)) == 43
    assert cache.load(SOURCE, "m.py", OPTIONS) is None


def test_options_that_change_the_text_have_entries_of_their_own() -> None:
    store()
    operators = Options(policy="prefer_mxnet")
    assert cache.load(SOURCE, "m.py", operators) is None
    assert cache.load(SOURCE, "m.py", Options(verbose=1, strict=True, threads=2)) is not None


def test_a_new_version_schema_or_rewriter_reads_no_old_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    store()
    for name, new in (("VERSION", "9.9"), ("REWRITE_SCHEMA", 99), ("_rewriter_stamp", "0" * 16)):
        with monkeypatch.context() as patch:
            patch.setattr(cache, name, new)
            assert cache.load(SOURCE, "m.py", OPTIONS) is None
    assert cache.load(SOURCE, "m.py", OPTIONS) is not None


def test_the_same_relative_name_in_another_folder_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    store()
    monkeypatch.chdir(tmp_path / "other")
    assert cache.load(SOURCE, "m.py", OPTIONS) is None


def test_the_same_content_at_another_path_carries_that_path() -> None:
    for path in ("/a/m.py", "/b/m.py"):
        store(path=path)
    for path in ("/a/m.py", "/b/m.py"):
        found = cache.load(SOURCE, path, OPTIONS)
        assert found is not None and found.code.co_filename == path


def test_an_entry_of_another_path_under_this_name_is_a_miss() -> None:
    other = store(path="/a/m.py")
    other.rename(cache.entry_path("/b/m.py", OPTIONS))
    assert cache.load(SOURCE, "/b/m.py", OPTIONS) is None


@pytest.mark.parametrize(
    "path", ["/p/é中 文.py", "/p/" + "x" * 300 + ".py", "/p/..py", "/p/a\udce9.py", "/p/new\nline.py"]
)
def test_any_file_name_has_a_place(path: str) -> None:
    file = store(path=path)
    assert file.name.isascii() and len(file.name) < 150 and file.exists()
    assert value(cache.load(SOURCE, path, OPTIONS)) == 42


def damaged() -> dict[str, bytes]:
    good = store().read_bytes()
    plain_pyc = good[:4] + bytes(4) + bytes(8) + marshal.dumps(compile(SOURCE, "m.py", "exec"))
    unchecked = good[:4] + (1).to_bytes(4, "little") + good[8:]

    def signed(data: bytes) -> bytes:
        return data + cache.source_hash(data)

    notes = marshal.dumps((0, "", False, 1))
    size = len(notes).to_bytes(4, "little")
    cases = {
        "empty": b"",
        "garbage": os.urandom(500),
        "other magic": bytes(4) + good[4:],
        "timestamp pyc": plain_pyc,
        "unchecked": unchecked,
        "zeros": bytes(len(good)),
        "trailing": good + b"x",
        "not code": signed(good[:16] + marshal.dumps("a string") + notes + size),
        "garbage marshal": signed(good[:16] + b"\xe3garbage" + notes + size),
        "no notes": signed(good[:16] + marshal.dumps(compile(SOURCE, "m.py", "exec")) + bytes(4)),
        "notes of another kind": signed(
            good[:16] + marshal.dumps(compile(SOURCE, "m.py", "exec")) + marshal.dumps([1]) + b"\6\0\0\0"
        ),
        "notes longer than the file": signed(good[:16] + marshal.dumps(1) + b"\xff\xff\xff\x7f"),
    }
    cases |= {f"cut at {n}": good[:n] for n in range(0, len(good), 7)}
    for place in range(0, len(good), 5):
        cases[f"bit flipped at {place}"] = good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]
    return cases


def test_a_damaged_entry_is_a_miss_and_is_repaired() -> None:
    file = store()
    for name, data in damaged().items():
        file.write_bytes(data)
        assert cache.load(SOURCE, "m.py", OPTIONS) is None, name
    store()
    assert value(cache.load(SOURCE, "m.py", OPTIONS)) == 42


def test_a_folder_in_the_place_of_an_entry(tmp_path: Path) -> None:
    os.makedirs(cache.entry_path("m.py", OPTIONS))
    assert cache.load(SOURCE, "m.py", OPTIONS) is None
    assert cache.store(SOURCE, "m.py", OPTIONS, entry()) != ""
    assert not [name for name in os.listdir(cache.bytecode_dir()) if name.endswith(".tmp")]


def test_a_cache_folder_that_is_a_file_means_uncached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "file"))
    assert cache.load(SOURCE, "m.py", OPTIONS) is None
    assert "file" in cache.store(SOURCE, "m.py", OPTIONS, entry())
    assert cache.cache_size() == (0, 0) and cache.clear() == 0
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_is_full_means_uncached_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in cache.store(SOURCE, "m.py", OPTIONS, entry())
    assert os.listdir(cache.bytecode_dir()) == []


def test_a_read_only_folder_means_uncached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By the call that fails, because the administrator may write into any folder.
    def refuse(path: object, *args: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in cache.store(SOURCE, "m.py", OPTIONS, entry())
    assert cache.load(SOURCE, "m.py", OPTIONS) is None


def test_dont_write_bytecode_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert cache.store(SOURCE, "m.py", OPTIONS, entry()) == ""
    assert cache.cache_size() == (0, 0)


def test_no_cache_neither_writes_nor_reads() -> None:
    uncached = Options(cache=False)
    assert cache.store(SOURCE, "m.py", uncached, entry()) == "" and cache.cache_size() == (0, 0)
    store()
    assert cache.load(SOURCE, "m.py", uncached) is None


def test_the_folder_is_the_one_platformdirs_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs import user_cache_dir

    monkeypatch.delenv("MINPY_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    for chosen in (None, str(tmp_path / "xdg"), "", "relative"):
        if chosen is None:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", chosen)
        if chosen != "relative":  # which the specification says to ignore, and platformdirs does not
            assert cache.cache_dir() == user_cache_dir("minpy")
        assert os.path.isabs(cache.cache_dir())


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINPY_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.cache_dir() == cache.bytecode_dir() == ""
    assert cache.load(SOURCE, "m.py", OPTIONS) is None
    assert "MINPY_CACHE_DIR" in cache.store(SOURCE, "m.py", OPTIONS, entry())
    assert cache.cache_size() == (0, 0)


def test_pycache_prefix_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "prefix"))
    assert cache.bytecode_dir().startswith(str(tmp_path / "cache")), (
        "MINPY_CACHE_DIR is the more particular wish"
    )
    monkeypatch.delenv("MINPY_CACHE_DIR")
    assert store().is_relative_to(tmp_path / "prefix")
    assert value(cache.load(SOURCE, "m.py", OPTIONS)) == 42
    (tmp_path / "blocked").write_text("")
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "blocked"))
    assert cache.store(SOURCE, "m.py", OPTIONS, entry()) != ""


def test_size_and_clear_count_what_is_there() -> None:
    files = [store(path=f"/{n}.py") for n in range(3)]
    leftover = files[0].with_name(files[0].name + ".1-ab.tmp")  # of a process that was killed
    leftover.write_bytes(b"xy")
    foreign = files[0].with_name("README")
    foreign.write_text("not ours")
    assert cache.cache_size() == (4, sum(os.path.getsize(file) for file in [*files, leftover]))
    assert cache.clear() == 4
    assert cache.cache_size() == (0, 0) and foreign.exists()


def test_optimized_code_has_entries_of_its_own(tmp_path: Path) -> None:
    script = (
        "from minpy.transform import cache; from minpy.options import Options\n"
        "source = b'answer = __debug__, __doc__\\n'\n"
        "found = cache.load(source, '/m.py', Options())\n"
        "print(found is not None)\n"
        "cache.store(source, '/m.py', Options(), cache.Entry(compile(source, '/m.py', 'exec')))\n"
        "names = {}; exec(cache.load(source, '/m.py', Options()).code, names); print(names['answer'][0])\n"
    )
    root = str(Path(cache.__file__).parents[2])
    outputs = []
    for flags in ([], ["-O"], ["-OO"], []):
        done = subprocess.run(
            [sys.executable, *flags, "-c", script],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        outputs.append(done.stdout.split())
    assert outputs == [["False", "True"], ["False", "False"], ["False", "False"], ["True", "True"]]


RACER = """
import sys, os
from minpy.transform import cache
from minpy.options import Options
me = int(sys.argv[1])
sources = [("answer = %d\\n" % n + "# " + "x" * 50000 * (n % 2)).encode() for n in range(4)]
bad = 0
for turn in range(400):
    source = sources[(turn + me) % 4]
    found = cache.load(source, "/m.py", Options())
    if found is not None:
        names = {}
        exec(found.code, names)
        bad += names["answer"] != (turn + me) % 4
    # clear() of another may take our temporary file away: then there is trouble, and no entry.
    cache.store(source, "/m.py", Options(), cache.Entry(compile(source, "/m.py", "exec")))
    if turn % 50 == 0:
        cache.clear()
print(bad)
"""


def test_processes_that_race_for_one_entry_never_read_half_of_it() -> None:
    root = str(Path(cache.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(n)], stdout=subprocess.PIPE, text=True, env=env)
        for n in range(3)
    ]
    outputs = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert outputs == ["0", "0", "0"]
    left = os.listdir(cache.bytecode_dir())
    assert len(left) <= 1 and not any(name.endswith(".tmp") for name in left)
