"""A recording of ten minutes, cut into clips by the importer, decoded in bounded memory."""

import subprocess
import sys

import yaml
from project import ROOT

from expressway.core.store import ShardReader
from expressway.core.subprocesses import ffmpeg_binary

LIMIT = 1 << 30
# Runs a command and prints, behind what it said, the memory of its largest process in kB.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def expressway(folder, *arguments):
    """Run a command; return what it said and the bytes of its largest process."""
    words = ["-m", "expressway", *map(str, arguments)]
    command = [sys.executable, "-c", MEASURED, sys.executable, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, _, kilobytes = done.stdout.strip().rpartition("\n")
    return said, int(kilobytes) * 1024


def test_ten_minutes_in_segments(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    source = "testsrc2=size=640x360:rate=10:duration=600"
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50"]
    command = [ffmpeg_binary(), "-loglevel", "error", "-f", "lavfi", "-i", source, *codec]
    subprocess.run([*command, str(videos / "interview.mp4")], check=True)
    (tmp_path / "config").mkdir()
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config |= {"datasets": [], "models": {}, "evaluations": {}, "comparisons": []}
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(config))
    expressway(tmp_path, "import", "folder", videos, "--name", "long", "--segment", "10")

    stage = ("stage", "frames", "--dataset", "long", "--variant", "native", "--cores", "2")
    said, largest = expressway(tmp_path, *stage)
    assert "60 ok" in said
    assert largest < LIMIT
    shard = ShardReader(tmp_path / "results/long/frames/native/00000.parquet")
    assert len(shard) == 60
    assert {len(shard.row(i, ["source_index"])["source_index"]) for i in range(60)} == {100}
