import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import paddle
import pytest
from launched import run_ranks

from ppreid.base.errors import ConfigError, Interrupted, TrainingError
from ppreid.processes import collectives
from ppreid.processes import hub as rank_hub
from ppreid.processes.device import use_device
from ppreid.processes.hub import Hub, Lines, accept_ranks, hello, send
from ppreid.processes.monitor import Monitor
from ppreid.processes.ranks import ALONE, Ranks, joined_ranks

pytestmark = pytest.mark.ranks


def test_with_one_process_everything_is_its_argument():
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    with joined_ranks() as ranks:
        assert ranks is ALONE and ranks.is_first
        assert ranks.gather(5, "test") == [5]
        ranks.agree("what nobody computes", lambda: pytest.fail("called"))
        ranks.end("")
    assert collectives.rows_to_first(rows, ALONE) is rows
    assert collectives.arrays_from_first(lambda: (rows,), ALONE) == (rows,)
    assert collectives.facts_from_first(lambda: {"a": 1}, ALONE, "test") == {"a": 1}
    model = paddle.nn.Linear(2, 1)
    before = model.weight.numpy()
    model(paddle.to_tensor(rows)).sum().backward()
    collectives.sum_gradients(model.parameters(), ALONE)
    collectives.tensors_from_first(model.state_dict().values(), ALONE)
    np.testing.assert_array_equal(model.weight.grad.numpy()[:, 0], rows.sum(axis=0))
    np.testing.assert_array_equal(model.weight.numpy(), before)
    features = collectives.batch_of_all(model(paddle.to_tensor(rows)), ALONE)
    assert features.stop_gradient and features.shape == [3, 1]


@pytest.fixture(scope="module")
def two_ranks():
    """What each of two real processes found."""
    done = run_ranks([Path(__file__).with_name("rank_script.py")])
    assert [code for code, _, _ in done] == [0, 0], done
    return [json.loads(output.splitlines()[-1]) for _, output, _ in done]


def test_two_processes_exchange_small_values(two_ranks):
    for found in two_ranks:
        assert found["values"] == [{"from": 0}, {"from": 1}]
        assert found["facts"] == {"mAP": 0.1 + 0.2}


def test_rows_arrive_in_the_order_of_the_ranks_on_rank_0(two_ranks):
    assert two_ranks[0]["rows"] == [[0.0] * 3] * 2 + [[1.0] * 3] * 3
    assert two_ranks[0]["first has none"] == [[1.0] * 3] * 2
    assert two_ranks[1]["rows"] == two_ranks[1]["first has none"] == []


def test_labels_and_weights_are_those_of_rank_0(two_ranks):
    for found in two_ranks:
        assert (found["labels"], found["kind"]) == ([0, 1, 2, 3], "int64")
        assert found["centroids"] == [[1.0, 0.0], [0.0, 1.0]]
        assert found["batch"] == [[0.0], [0.0], [1.0], [1.0]]
    assert two_ranks[0]["weights"] == two_ranks[1]["weights"]


def test_gradients_are_summed(two_ranks):
    weight, bias = np.array(two_ranks[0]["weight"]), np.array(two_ranks[0]["bias"])  # (3, 2), (2,)
    expected = np.zeros((3, 2))
    for image in (np.full(3, 1.0), np.full(3, 2.0)):  # of rank 0 and rank 1
        for i in range(3):
            for j in range(2):
                expected[i, j] += 2 * (image @ weight[:, j] + bias[j]) * image[i]
    for found in two_ranks:
        np.testing.assert_allclose(found["gradient"], expected, rtol=1e-5, atol=1e-6)
    assert two_ranks[0]["gradient"] == two_ranks[1]["gradient"]


def test_a_disagreement_names_the_rank(two_ranks):
    for found in two_ranks:
        assert "the numbers of rank 1 differ from those of rank 0" in found["disagreement"]


class Line:
    """One rank's end of its connection to a hub."""

    def __init__(self, connection):
        self.connection = connection
        self.lines = Lines(connection.fileno())
        self.unread = []

    def say(self, kind, **values):
        send(self.connection, {"kind": kind, **values})

    def hear(self):
        """The next message that is not only a sign of life."""
        while True:
            while self.unread:
                message = self.unread.pop(0)
                if message["kind"] != "alive":
                    return message
            assert not self.lines.closed, "the hub has ended"
            self.unread = self.lines.read()


@pytest.fixture
def lines():
    """Ends of the connections of three ranks to a hub that runs."""
    pairs = [socket.socketpair() for _ in range(3)]
    hub = threading.Thread(target=Hub({rank: pair[0] for rank, pair in enumerate(pairs)}).run, daemon=True)
    hub.start()
    yield [Line(pair[1]) for pair in pairs]
    for _, end in pairs:
        end.close()
    hub.join(60)
    assert not hub.is_alive()
    for end, _ in pairs:
        end.close()


def meet(line, value, limit=600.0):
    line.say("meet", value=value, what="test", limit=limit)


def test_a_meeting_gives_all_values_by_rank_again_and_again(lines):
    for meeting in range(3):
        for rank in (2, 0, 1):
            meet(lines[rank], [meeting, rank])
        for line in lines:
            assert line.hear() == {"kind": "met", "values": [[meeting, 0], [meeting, 1], [meeting, 2]]}


@pytest.mark.parametrize(("text", "signal"), [("DataError: gone", 0), ("stopped by SIGTERM", 15)])
def test_a_rank_that_ends_is_announced_to_the_others(lines, text, signal):
    meet(lines[0], 0)
    lines[1].say("end", text=text, signal=signal)
    for line in (lines[0], lines[2]):
        assert line.hear() == {"kind": "verdict", "text": f"rank 1: {text}", "signal": signal}


def test_a_rank_that_is_done_is_no_failure_unless_others_wait_for_it(lines):
    lines[1].say("end", text="", signal=0)
    lines[1].connection.close()
    meet(lines[0], 0)
    assert lines[0].hear()["text"] == "rank 1: ended before the others"


def test_ranks_that_are_done_may_leave_one_after_the_other():
    pairs = [socket.socketpair() for _ in range(3)]
    lines = [Line(end) for _, end in pairs]
    for line in lines:
        line.say("end", text="", signal=0)
        line.say("alive")
        line.connection.shutdown(socket.SHUT_WR)
    Hub({rank: pair[0] for rank, pair in enumerate(pairs)}).run()
    for (end, _), line in zip(pairs, lines, strict=True):
        end.close()
        heard = []
        while not line.lines.closed:
            heard += line.lines.read()
        assert {message["kind"] for message in heard} <= {"alive"}
        line.connection.close()


def test_a_connection_that_breaks_is_announced(lines):
    lines[2].connection.close()
    assert lines[0].hear() == {"kind": "verdict", "text": "rank 2: cannot be reached any more", "signal": 0}


def test_a_meeting_has_a_time_limit_that_names_who_is_missing(lines):
    meet(lines[0], 0, limit=0.1)
    meet(lines[2], 0, limit=0.2)
    assert "rank 1: did not come to the test" in lines[1].hear()["text"]


def test_silence_is_announced(lines, monkeypatch):
    monkeypatch.setattr(rank_hub, "SILENCE", 0.1)
    assert "was silent" in lines[0].hear()["text"]


def test_only_who_knows_the_token_is_let_in():
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = {}
        thread = threading.Thread(target=lambda: accepted.update(accept_ranks(server, 1, "secret")), daemon=True)
        thread.start()
        for greeting in (hello("guess!", 0), b"", hello("secret", 1), hello("secret", 0)):
            connection = socket.create_connection(server.getsockname())
            connection.sendall(greeting)
            connection.shutdown(socket.SHUT_WR)
            if greeting != hello("secret", 0):
                assert connection.recv(1) == b""
        thread.join(60)
        assert list(accepted) == [0]
        accepted[0].close()
        connection.close()


def test_one_gpu_for_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(ConfigError, match=r"device is 'gpu:0' for 2 processes; use device=gpu"):
        use_device("gpu:0")


def talks_to(lines):
    """Ranks whose monitor has said these lines and closed."""
    said = json.dumps("".join(json.dumps(line) + "\n" for line in lines))
    script = [sys.executable, "-c", f"import sys; sys.stdout.write({said})"]
    return Ranks(0, 2, Monitor(subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)))


@pytest.mark.parametrize(
    ("lines", "error", "says"),
    [
        ([], TrainingError, "none of them says why"),
        ([{"kind": "verdict", "text": "rank 1: gone", "signal": 0}], TrainingError, "rank 1: gone"),
        ([{"kind": "met", "values": []}, {"kind": "verdict", "text": "x", "signal": 15}], Interrupted, "SIGTERM"),
    ],
)
def test_a_broken_collective_is_explained(lines, error, says):
    ranks = talks_to(lines)
    with pytest.raises(error, match=says), collectives._failure_explained(ranks):
        raise RuntimeError("Connection reset by peer")
    ranks._monitor._process.communicate()


def test_a_verdict_behind_an_answer_is_kept():
    ranks = talks_to([{"kind": "met", "values": [1, 2]}, {"kind": "verdict", "text": "rank 1: gone", "signal": 0}])
    ranks._monitor._process.wait()  # both lines arrive at once
    assert ranks.gather(1, "test") == [1, 2]
    with pytest.raises(TrainingError, match="rank 1: gone"):
        ranks.gather(1, "test")
    ranks._monitor._process.communicate()
