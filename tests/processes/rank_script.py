"""What test_distributed.py runs in two processes; prints one line of JSON."""

import json

import numpy as np
import paddle

from ppreid.base.errors import TrainingError
from ppreid.processes.collectives import (
    arrays_from_first,
    batch_of_all,
    digest,
    facts_from_first,
    rows_to_first,
    sum_gradients,
    tensors_from_first,
)
from ppreid.processes.ranks import joined_ranks

paddle.set_device("cpu")
found = {}
with joined_ranks() as ranks:
    rank = ranks.rank
    found["values"] = ranks.gather({"from": rank}, "test")
    uneven = np.full((2 + rank, 3), rank, dtype=np.float32)
    found["rows"] = rows_to_first(uneven, ranks).tolist()
    found["first has none"] = rows_to_first(uneven[: 2 * rank], ranks).tolist()
    labels, centroids = arrays_from_first(lambda: (np.arange(4), np.eye(2, dtype=np.float32)), ranks)
    found["labels"], found["centroids"], found["kind"] = labels.tolist(), centroids.tolist(), labels.dtype.name
    found["facts"] = facts_from_first(lambda: {"mAP": 0.1 + 0.2}, ranks, "test")
    found["batch"] = batch_of_all(paddle.full([2, 1], float(rank)), ranks).tolist()

    paddle.seed(rank)
    model = paddle.nn.Linear(3, 2)
    tensors_from_first(model.state_dict().values(), ranks)
    found["weights"] = digest(tensor.numpy() for tensor in model.state_dict().values())
    (model(paddle.full([1, 3], rank + 1.0)) ** 2).sum().backward()
    sum_gradients(model.parameters(), ranks)
    found["gradient"], found["weight"] = model.weight.grad.tolist(), model.weight.tolist()
    found["bias"] = model.bias.tolist()

    ranks.agree("constants", lambda: 7)
    try:
        ranks.agree("numbers", lambda: rank)
    except TrainingError as error:
        found["disagreement"] = str(error)
print(json.dumps(found))
