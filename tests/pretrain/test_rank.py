"""Who a process is, by the variables of its launcher."""

import pytest

from anaume.pretrain.ranks.rank import first_host, take_srun_variables

STEP = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[007-008]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}


def test_a_task_of_srun_knows_its_rank_and_where_rank_0_listens() -> None:
    environment = dict(STEP)
    take_srun_variables(environment)
    assert environment == STEP | {
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "gpu007",
        "MASTER_PORT": "24567",
    }


def test_given_variables_stay() -> None:
    torchrun = STEP | {"RANK": "0", "WORLD_SIZE": "2"}
    address = STEP | {"MASTER_ADDR": "login", "MASTER_PORT": "29500"}
    for environment in (torchrun, address):
        taken = dict(environment)
        take_srun_variables(taken)
        assert environment.items() <= taken.items()
    assert "MASTER_ADDR" not in torchrun


@pytest.mark.parametrize(
    "environment", [{}, {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, STEP | {"SLURM_STEP_NUM_TASKS": "1"}]
)
def test_a_single_process_stays_one(environment: dict[str, str]) -> None:
    """A batch script sees the number of tasks of its job, but only `srun` starts them."""
    taken = dict(environment)
    take_srun_variables(taken)
    assert taken == environment


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("gpu[007-010,012],login1", "gpu007"),
        ("a-b[3]", "a-b3"),
        ("rack[1-2]n[1-4],x", "rack1n1"),
    ],
)
def test_first_host(nodes: str, host: str) -> None:
    assert first_host(nodes) == host
