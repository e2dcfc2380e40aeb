"""A scoring job scores every pair once, through interruptions of any kind."""

import signal
import time

import numpy as np
import pytest

from fakes import killed_job
from fakes.killed_job import PIECES, run, score
from fakes.processes import Program
from sketch_prompt.evaluation.pairwise import Piece, ScoringJob

EXPECTED = np.concatenate([score(piece) for piece in PIECES])


def finished(folder):
    return sorted(folder.glob("scores-*/*.npy"))


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_job_goes_on_where_it_was(tmp_path, kind):
    process = Program(killed_job.__file__, tmp_path, 0.3)
    deadline = time.monotonic() + 120
    while len(finished(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(kind)
    assert process.wait(60) != 0
    assert "pair" in process.stderr.read()
    kept = {path: path.stat().st_mtime_ns for path in finished(tmp_path)}
    assert 3 <= len(kept) < len(PIECES)
    scores, scored = run(tmp_path, 0.0)
    assert len(scored) == len(PIECES) - len(kept)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    np.testing.assert_array_equal(scores, EXPECTED)
    assert run(tmp_path, 0.0)[1] == []


def test_without_a_folder_everything_stays_in_memory():
    scores, scored = run(None, 0.0)
    np.testing.assert_array_equal(scores, EXPECTED)
    assert len(scored) == len(PIECES)


def test_jobs_of_other_pairs_share_a_folder(tmp_path):
    run(tmp_path, 0.0)
    lists = [Piece(np.arange(2), np.array([[1, 2, 3], [4, 5, 6]]))]
    job = ScoringJob(lists, lambda piece: piece.photos.astype(np.float32), tmp_path, progress=False)
    assert job.pairs == 6 and ScoringJob(PIECES, score).pairs == 240
    assert [scores.tolist() for _, scores in job.run()] == [[[1, 2, 3], [4, 5, 6]]]
    assert run(tmp_path, 0.0)[1] == []


def test_the_bar_counts_pairs_and_tells_the_time_left(tmp_path, capsys):
    run(tmp_path, 0.0)
    first = finished(tmp_path)[0]
    first.unlink()
    run(tmp_path, 0.0)
    shown = capsys.readouterr().err
    assert "240/240" in shown and "pair/s" in shown
