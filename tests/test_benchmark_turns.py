"""Benchmarks that share a device: timed one at a time where they are told to."""

import fcntl
import threading

from benchmarks.common import time_in_turn


def test_a_benchmark_waits_for_the_one_that_is_timed(tmp_path, monkeypatch):
    path, called = tmp_path / "lock", threading.Event()
    monkeypatch.setenv("BENCHMARK_LOCK", str(path))
    thread = threading.Thread(target=lambda: time_in_turn({"case": called.set}, rounds=2))
    with open(path, "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread.start()
        assert not called.wait(0.3)
    assert called.wait(10)
    thread.join()
    assert len(time_in_turn({"case": called.set}, rounds=2)["case"]) == 2  # it was given back


def test_without_a_lock_nothing_waits(monkeypatch):
    monkeypatch.delenv("BENCHMARK_LOCK", raising=False)
    assert len(time_in_turn({"a": int, "b": int}, rounds=3)["b"]) == 3
