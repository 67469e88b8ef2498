"""Manifests: every problem at once, with its line; shards; row digests."""

import pytest

from expressway.core.errors import ManifestError, RowFailure
from expressway.core.manifest import (
    DatasetConfig,
    contained,
    read_manifest,
    read_splits,
    rows_digest,
    shard_names,
    shard_rows,
    split_names,
)

CONFIG = DatasetConfig(
    manifest="m.csv", root=".", labels={"emotion": ["anger", "happiness"]}, targets=["score"]
)
HEADER = "id,path,kind,video,start,end,subject,sha256,caption,caption_2,emotion,score\n"


def manifest(tmp_path, text, header=HEADER, encoding="utf-8", newline="\n"):
    path = tmp_path / "m.csv"
    path.write_bytes((header + text).replace("\n", newline).encode(encoding))
    return path


def test_rows_become_clips(tmp_path):
    path = manifest(
        tmp_path, 'a,a.mp4,video,v1,0.5,2,s1,,"She smiles, broadly",,anger,1.5\nb,b.mp4,,,,,,,,,,\n'
    )
    first, second = read_manifest(path, CONFIG)
    assert first.captions == ("She smiles, broadly",)
    assert (first.start, first.end, first.subject) == (0.5, 2.0, "s1")
    assert first.labels == {"emotion": "anger"}
    assert first.targets == {"score": 1.5}
    assert (second.kind, second.video, second.labels, second.start) == ("video", "b.mp4", {}, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_spreadsheets_are_read(tmp_path, encoding, newline):
    path = manifest(tmp_path, "ä\n".replace("ä", "a,ä ö.mp4,,,,,,,,,,"), HEADER, encoding, newline)
    assert read_manifest(path, CONFIG)[0].path == "ä ö.mp4"


def test_all_problems_at_once_with_line_numbers(tmp_path):
    path = manifest(
        tmp_path,
        "a,a.mp4,video,,,,,,,,anger,\n"
        "A,b.mp4,vidoe,,,,,,,,hapiness,x\n"
        "c,../c.mp4,,,5,2,,,,,,\n"
        "d d,/etc/passwd,,,,,,,,,,\n"
        "e,a.mp4,,,,,,,,,,\n"
        "f,http://x/y.mp4,,,,,,,,,,\n",
    )
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, CONFIG)
    text = str(caught.value)
    for expected in (
        "line 3: score is 'x'; expected a number",
        "line 3: kind 'vidoe'; did you mean 'video'?",
        "line 3: emotion 'hapiness' is unknown; did you mean 'happiness'?",
        "line 3: id 'A' stands already in line 2",
        "line 4: path '../c.mp4' leaves the data set's root",
        "line 4: end 2.0 is not after start 5.0",
        "line 5: id 'd d'",
        "line 5: path '/etc/passwd' is absolute",
        "line 6: file 'a.mp4' (same stretch) stands under another id in line 2",
        "line 7: path 'http://x/y.mp4' is absolute",
    ):
        assert expected in text, text


def test_stretches_of_one_file_are_no_duplicates(tmp_path):
    path = manifest(tmp_path, "a,r.mp4,,,0,5,,,,,,\nb,r.mp4,,,5,9,,,,,,\n")
    assert len(read_manifest(path, CONFIG)) == 2


def test_odd_encoding_names_the_line(tmp_path):
    path = manifest(tmp_path, "a,a.mp4,,,,,,,ok,,,\nb,b.mp4,,,,,,,难过,,,\n", encoding="gbk")
    with pytest.raises(ManifestError, match="line 3: byte 0x.. is not UTF-8"):
        read_manifest(path, CONFIG)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("id,file,emotion,score\n", "column 'path' is required"),
        ("id,path,emotin,score\n", "unknown column 'emotin'; did you mean 'emotion'?"),
        ("id,path,emotion\n", "column 'score' is named in the data set's config but missing"),
    ],
)
def test_odd_headers(tmp_path, header, expected):
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(tmp_path, "", header), CONFIG)
    assert expected in str(caught.value)


def test_rows_of_another_width_are_refused(tmp_path):
    with pytest.raises(ManifestError, match="line 2: the row and the header differ"):
        read_manifest(manifest(tmp_path, "a,a.mp4\n"), CONFIG)


def test_splits(tmp_path):
    clips = read_manifest(manifest(tmp_path, "a,a,,,,,,,,,,\nb,b,,,,,,,,,,\n"), CONFIG)
    path = tmp_path / "splits.csv"
    path.write_text("clip_id,scheme,split,part\na,folds,f1,train\nb,folds,f1,test\na,x,y,test\n")
    rows = read_splits(path, clips)
    assert split_names(rows, "folds") == ["f1"]


def test_split_problems_come_together(tmp_path):
    clips = read_manifest(manifest(tmp_path, "a,a,,,,,,,,,,\n"), CONFIG)
    path = tmp_path / "splits.csv"
    path.write_text(
        "clip_id,scheme,split,part\na,folds,f1,train\na,folds,f1,test\nz,folds,f1,tset\n"
    )
    with pytest.raises(ManifestError) as caught:
        read_splits(path, clips)
    text = str(caught.value)
    assert "line 3: clip 'a' is test here and train in line 2 of the same split" in text
    assert "line 4: clip 'z' is not in the manifest" in text
    assert "line 4: part 'tset'; did you mean 'test'?" in text


def test_links_out_of_the_root_are_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(RowFailure, match="link out of the data set's root"):
        contained(root, "link.mp4", follow_symlinks=False)
    assert contained(root, "link.mp4", follow_symlinks=True).read_bytes() == b"x"
    with pytest.raises(RowFailure, match="leaves"):
        contained(root, "a/../../secret.mp4", follow_symlinks=True)


def test_shards_are_runs_of_rows(tmp_path):
    text = "".join(f"c{i},{i}.mp4,,,,,,,,,,\n" for i in range(5))
    clips = read_manifest(manifest(tmp_path, text), CONFIG)
    assert shard_names(5, 2) == ["00000", "00001", "00002"]
    assert [c.id for c in shard_rows(clips, 2, "00002")] == ["c4"]
    assert shard_names(0, 2) == []


def test_digest_sees_the_columns_that_are_read_and_no_others(tmp_path):
    def digest(text, columns, contents):
        return rows_digest(read_manifest(manifest(tmp_path, text), CONFIG), columns, contents)

    base = digest("a,a.mp4,,,,,,,one,,anger,\n", ("id", "sha256"), {"a.mp4": "1"})
    assert digest("a,a.mp4,,,,,,,two,,happiness,\n", ("id", "sha256"), {"a.mp4": "1"}) == base
    assert digest("a,a.mp4,,,,,,,one,,anger,\n", ("id", "sha256"), {"a.mp4": "2"}) != base
    captions = digest("a,a.mp4,,,,,,,one,,anger,\n", ("id", "caption"), {})
    assert digest("a,a.mp4,,,,,,,one,two,anger,\n", ("id", "caption"), {}) != captions
