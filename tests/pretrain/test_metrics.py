import json
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.pretrain.metrics import Meter, append, rewind
from anaume.run import CheckpointName


def test_rewind_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    for stage, step in [("one", 0), ("one", 10), ("one", 20), ("two", 0), ("two", 10)]:
        append(file, {"stage": stage, "step": step})
    with file.open("a") as stream:
        stream.write('{"stage": "two", "st')  # cut short by a kill
    rewind(file, ["one", "two"], CheckpointName("two", 5))
    rewound = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(r["stage"], r["step"]) for r in rewound] == [("one", 0), ("one", 10), ("one", 20), ("two", 0)]
    rewind(file, ["one", "two"], CheckpointName("one", 10))
    assert len(file.read_text().splitlines()) == 2
    rewind(file, ["one", "two"], None)
    assert file.read_text() == ""


def test_meter_counts_real_tokens_and_utilisation() -> None:
    meter = Meter()
    meter.add(seconds=1.0, tokens=90, flops=30.0)
    meter.add(seconds=3.0, tokens=70, flops=10.0)
    rates = meter.rates(peak=100.0)
    assert rates["tokens_per_second"] == 40
    assert rates["mfu"] == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [b"\xff", b'{"stage": "one"', b"[1]", b'{"stage": "one", "step": "4"}', b"[" * 100_000])
def test_a_damaged_line_is_dropped_at_the_end_and_named_elsewhere(tmp_path: Path, bad: bytes) -> None:
    file, good = tmp_path / "metrics.jsonl", b'{"stage": "one", "step": 1}\n'
    file.write_bytes(good + bad + b"\n")
    rewind(file, ["one"], CheckpointName("one", 1))
    assert file.read_bytes() == good
    file.write_bytes(good + bad + b"\n" + good)
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: .*not a metrics line"):
        rewind(file, ["one"], CheckpointName("one", 1))
    assert file.read_bytes() == good + bad + b"\n" + good
